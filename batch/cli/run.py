"""promptmill run and resume: do a job, show how it goes, say how it ended."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Literal

import click

from batch.cli.console import command_line, say
from batch.cli.options import as_words, directory_argument, overrides, run_options

if TYPE_CHECKING:
    from batch.app import RunReport
    from batch.events import Observer

Changed = Literal["rerun", "keep"] | None


@click.command("run")
@click.argument("job", metavar="JOB.toml")
@run_options
@click.option("--fresh", is_flag=True, help="Start over; what was done before is set aside.")
@click.pass_context
def run_command(
    ctx: click.Context,
    job: str,
    limit: int | None,
    settings: tuple[str, ...],
    retry_failed: bool,
    max_failures: str | None,
    changed: Changed,
    quiet: bool,
    fresh: bool,
) -> None:
    """Run a job, or go on with it.

    Rows that are done already are not sent again. Ctrl-C lets the requests in flight end and
    stops; the same command goes on. Results are in the job's run directory.

    \b
    Examples:
      promptmill run jobs/tickets.toml
      promptmill run jobs/tickets.toml --limit 100 --set run.concurrency=16
      promptmill run jobs/tickets.toml --retry-failed
    """
    if fresh and changed:
        raise click.UsageError("--fresh starts over, so nothing is left for --changed to decide; use one of them")
    from batch import app
    from batch.job import load

    loaded = load(job, overrides(settings, limit, max_failures))
    options = app.RunOptions(retry_failed=retry_failed, fresh=fresh, changed=changed or "refuse")
    again = command_line("run", job, *as_words(settings, limit, max_failures))
    _run_shown(ctx, lambda observers: app.run(loaded, options, observers), again, quiet)


@click.command("resume")
@directory_argument
@run_options
@click.pass_context
def resume_command(
    ctx: click.Context,
    directory: str,
    limit: int | None,
    settings: tuple[str, ...],
    retry_failed: bool,
    max_failures: str | None,
    changed: Changed,
    quiet: bool,
) -> None:
    """Go on from a run directory alone.

    The job is read from the directory; the job file is not needed. The input must still be
    where it was.

    \b
    Example:
      promptmill resume runs/tickets
    """
    from batch import app

    options = app.RunOptions(retry_failed=retry_failed, changed=changed or "refuse")
    given = overrides(settings, limit, max_failures)
    again = command_line("resume", directory, *as_words(settings, limit, max_failures))
    _run_shown(ctx, lambda observers: app.resume(directory, given, options, observers), again, quiet)


def _run_shown(ctx: click.Context, start: Callable[[Sequence[Observer]], RunReport], again: str, quiet: bool) -> None:
    from batch.cli.summary import closing_summary
    from batch.clock import SystemClock
    from batch.progress import display_for

    with ExitStack() as stack:
        observers: list[Observer] = []
        if sys.stderr is not None and not quiet:
            display = display_for(sys.stderr, SystemClock())
            stack.callback(display.close)
            observers = [display]
        report = start(observers)
    if not quiet or report.exit_code:
        say(closing_summary(report, again))
    ctx.exit(report.exit_code)
