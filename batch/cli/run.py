"""promptmill run: do a job, or continue it."""

from __future__ import annotations

import click

from batch.cli.console import command_line
from batch.cli.display import run_steps_and_report
from batch.cli.engine_options import EngineFlags, engine_options
from batch.cli.options import RetryCommand, RunFlags, job_argument, run_options


@click.command("run", cls=RetryCommand)
@job_argument
@run_options
@engine_options
@click.option("--fresh", is_flag=True, help="Start over; earlier results are set aside.")
@click.pass_context
def run_command(
    ctx: click.Context,
    job: str,
    flags: RunFlags,
    engine: EngineFlags,
    fresh: bool,
) -> None:
    """Run a job, or continue it.

    Finished rows are not sent again. Ctrl-C waits for the requests in flight and stops; the
    same command resumes. Results are in the job's run directory. A job that builds on
    another ([input] job) runs or continues that one first.

    \b
    Examples:
      promptmill run jobs/tickets.toml
      promptmill run jobs/tickets.toml --limit 100 --set run.concurrency=16
      promptmill run jobs/tickets.toml --retry-failed
      promptmill run jobs/tickets.toml --engine ray --ray-address auto
      promptmill run jobs/tickets.toml --engine batch-api --detach
    """
    if fresh and flags.changed:
        raise click.UsageError("--fresh starts over, so --changed has no effect; use one of them")
    from batch import app
    from batch.job import load

    loaded = load(job, flags.overrides())
    options = flags.options(engine, fresh=fresh)
    again = command_line("run", job, *flags.words(), *engine.words())
    run_steps_and_report(ctx, app.steps_of(loaded, flags.overrides()), options, again, flags.quiet, as_json=flags.as_json)
