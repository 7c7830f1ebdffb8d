"""promptmill run and resume: do a job, show how it goes, say how it ended."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Literal

import click

from batch.cli.console import command_line, say
from batch.cli.options import as_words, check_engine, directory_argument, engine_options, engine_words, job_argument, overrides, run_options

if TYPE_CHECKING:
    from batch.app import RunReport
    from batch.events import Observer

ChangedOption = Literal["rerun", "keep"] | None


@click.command("run")
@job_argument
@run_options
@engine_options
@click.option("--fresh", is_flag=True, help="Start over; what was done before is set aside.")
@click.pass_context
def run_command(
    ctx: click.Context,
    job: str,
    limit: int | None,
    settings: tuple[str, ...],
    retry_failed: bool,
    max_failures: str | None,
    changed: ChangedOption,
    quiet: bool,
    engine: str,
    ray_address: str | None,
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
      promptmill run jobs/tickets.toml --engine ray --ray-address auto
    """
    if fresh and changed:
        raise click.UsageError("--fresh starts over, so nothing is left for --changed to decide; use one of them")
    check_engine(engine, ray_address)
    from batch import app
    from batch.job import load

    loaded = load(job, overrides(settings, limit, max_failures))
    options = app.RunOptions(retry_failed=retry_failed, fresh=fresh, changed=changed or "refuse", engine=engine, ray_address=ray_address)
    again = command_line("run", job, *as_words(settings, limit, max_failures), *engine_words(engine, ray_address))
    _run_shown(ctx, lambda observers: app.run(loaded, options, observers), again, quiet)


@click.command("resume")
@directory_argument
@run_options
@engine_options
@click.pass_context
def resume_command(
    ctx: click.Context,
    directory: str,
    limit: int | None,
    settings: tuple[str, ...],
    retry_failed: bool,
    max_failures: str | None,
    changed: ChangedOption,
    quiet: bool,
    engine: str,
    ray_address: str | None,
) -> None:
    """Go on from a run directory alone.

    The job is read from the directory; the job file is not needed. The input must still be
    where it was.

    \b
    Example:
      promptmill resume runs/tickets
    """
    check_engine(engine, ray_address)
    from batch import app

    options = app.RunOptions(retry_failed=retry_failed, changed=changed or "refuse", engine=engine, ray_address=ray_address)
    given = overrides(settings, limit, max_failures)
    again = command_line("resume", directory, *as_words(settings, limit, max_failures), *engine_words(engine, ray_address))
    _run_shown(ctx, lambda observers: app.resume(directory, given, options, observers), again, quiet)


def _run_shown(ctx: click.Context, start: Callable[[Sequence[Observer]], RunReport], again: str, quiet: bool) -> None:
    from batch.cli.summary import closing_summary
    from batch.clock import SystemClock
    from batch.process import tune_malloc
    from batch.progress import display_for

    tune_malloc()
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
