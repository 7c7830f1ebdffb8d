"""promptmill resume: continue a run from its directory alone."""

from __future__ import annotations

import click

from batch.cli.console import command_line
from batch.cli.display import run_and_report
from batch.cli.options import (
    ChangedOption,
    as_words,
    check_engine,
    directory_argument,
    engine_options,
    engine_words,
    overrides,
    run_options,
)


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
    """Continue a run from its directory alone.

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
    run_and_report(ctx, lambda observers: app.resume(directory, given, options, observers), again, quiet)
