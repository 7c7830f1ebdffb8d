"""promptmill cancel: cancel what was submitted to a Batch API, and collect what was done."""

from __future__ import annotations

import click

from batch.cli.console import command_line, print_info, write_json_line
from batch.cli.display import with_progress
from batch.cli.exits import ExitCode
from batch.cli.options import directory_argument, json_option


@click.command("cancel")
@directory_argument
@click.option("--quiet", "-q", is_flag=True, help="No progress.")
@json_option
@click.pass_context
def cancel_command(ctx: click.Context, directory: str, quiet: bool, as_json: bool) -> None:
    """Cancel what was submitted to a Batch API, and collect what was done.

    Each open batch is cancelled at its provider, which may take minutes. Answers that came before
    are paid for and kept; the other rows are left for the next run. Ends with 0 when no batch is
    open any more.

    \b
    Example:
      promptmill cancel runs/tickets
    """
    from batch.app.cancel import cancel
    from batch.cli.summary import closing_summary

    report = with_progress(lambda observers: cancel(directory, observers), quiet=quiet, as_json=as_json)
    if report is None:
        if as_json:
            write_json_line({"format": 1, "event": "ended", "reason": "nothing is open"})
        print_info(f"promptmill: nothing is open: no batch of {directory} waits at a provider")
        ctx.exit(ExitCode.DONE)
    if not quiet or report.cause != "cancelled":
        print_info(closing_summary(report, command_line("resume", directory)))
    ctx.exit(ExitCode.DONE if report.cause == "cancelled" else report.exit_code)
