"""promptmill resume: continue a run from its directory alone."""

from __future__ import annotations

import click

from batch.cli.console import command_line
from batch.cli.display import run_and_report
from batch.cli.engine_options import EngineFlags, engine_options
from batch.cli.job_files import refuse_job
from batch.cli.options import RetryCommand, RunFlags, folders, run_options


@click.command("resume", cls=RetryCommand)
@click.argument("directory", metavar="RUN_DIR", shell_complete=folders, callback=refuse_job)
@run_options
@engine_options
@click.pass_context
def resume_command(
    ctx: click.Context,
    directory: str,
    flags: RunFlags,
    engine: EngineFlags,
) -> None:
    """Continue a run from its directory alone.

    The job is read from the directory; the job file is not needed. The input must still be
    where it was.

    \b
    Example:
      promptmill resume runs/tickets
    """
    from batch import app

    options = flags.options(engine)
    again = command_line("resume", directory, *flags.words(), *engine.words())
    run_and_report(
        ctx, lambda observers: app.resume(directory, flags.overrides(), options, observers), again, flags.quiet, as_json=flags.as_json
    )
