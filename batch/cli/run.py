"""promptmill run: do a job, or continue it."""

from __future__ import annotations

import click

from batch.cli.console import command_line
from batch.cli.display import run_steps_and_report
from batch.cli.options import RunFlags, check_engine, engine_options, engine_words, job_argument, run_options


@click.command("run")
@job_argument
@run_options
@engine_options
@click.option("--fresh", is_flag=True, help="Start over; earlier results are set aside.")
@click.pass_context
def run_command(
    ctx: click.Context,
    job: str,
    flags: RunFlags,
    engine: str,
    ray_address: str | None,
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
    """
    if fresh and flags.changed:
        raise click.UsageError("--fresh starts over, so --changed has no effect; use one of them")
    check_engine(engine, ray_address)
    from batch import app
    from batch.job import load

    loaded = load(job, flags.overrides())
    options = app.RunOptions(
        retry_failed=flags.retry_failed, fresh=fresh, changed=flags.changed or "refuse", engine=engine, ray_address=ray_address
    )
    again = command_line("run", job, *flags.words(), *engine_words(engine, ray_address))
    steps = app.steps_of(loaded, flags.overrides())
    run_steps_and_report(ctx, steps, options, again, flags.quiet)
