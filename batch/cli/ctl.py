"""promptmill ctl: steer a running run from another terminal."""

from __future__ import annotations

import click

from batch.cli.console import print_error, write_document, write_text
from batch.cli.exits import ExitCode
from batch.cli.options import directory_argument, json_option


@click.command("ctl")
@directory_argument
@click.argument("command", default="state", metavar="[COMMAND]")
@click.argument("arguments", nargs=-1, metavar="[ARGUMENTS]...")
@json_option
@click.pass_context
def ctl_command(ctx: click.Context, directory: str, command: str, arguments: tuple[str, ...], as_json: bool) -> None:
    """Pause, resume, stop or limit a running run, or send failed rows again.

    \b
    Commands:
      state              show the present limits (without a command too)
      pause              send nothing more; what is in flight ends
      resume             send again
      stop [now]         as Ctrl-C; now: as Ctrl-C twice
      set KEY=VALUE ...  concurrency, max_cost_usd, requests_per_minute,
                         tokens_per_minute
      retry ROW ...      send failed rows again, by their ids
      poll               look at open batches of a Batch API now

    Limits hold for this session, and replace the job's. Every command is kept in the run
    directory and shown by `status`.

    \b
    Examples:
      promptmill ctl runs/tickets pause
      promptmill ctl runs/tickets set concurrency=32 max_cost_usd=50
      promptmill ctl runs/tickets retry r17 r42
    """
    from batch.app.control import control
    from batch.executors.control import COMMANDS

    if command not in COMMANDS:
        from difflib import get_close_matches

        nearest = get_close_matches(command, COMMANDS, n=1)
        hint = f"did you mean {nearest[0]}?" if nearest else f"there are: {', '.join(COMMANDS)}"
        raise click.UsageError(f"There is no ctl command {command!r}; {hint}")
    answer = control(directory, command, arguments)
    if as_json:
        write_document(answer)
    elif answer.get("ok"):
        write_text(str(answer.get("message", "")))
    else:
        print_error(str(answer.get("message", "")))
    ctx.exit(ExitCode.DONE if answer.get("ok") else ExitCode.UNUSABLE)
