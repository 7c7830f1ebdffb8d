"""promptmill accept: take failures as final, so that the run counts as done."""

from __future__ import annotations

import click

from batch.cli.console import write_document, write_text
from batch.cli.options import directory_argument, json_option, split_codes


@click.command("accept")
@directory_argument
@click.option("--code", "codes", multiple=True, metavar="CODE,...", help="Only failures with these codes, as `status` shows them.")
@click.option("--undo", is_flag=True, help="Take it back: they count as failed again.")
@json_option
def accept_command(directory: str, codes: tuple[str, ...], undo: bool, as_json: bool) -> None:
    """Take the failures of a run as final.

    They stay in the errors file and in all counts, but are not sent again by --retry-failed,
    and the run ends with exit code 0 when nothing else failed. Failures of later sessions are
    not accepted by this.

    \b
    Examples:
      promptmill accept runs/tickets
      promptmill accept runs/tickets --code context_length,content_filter
    """
    from batch.app.failures import accept

    counts = accept(directory, split_codes(codes), undo=undo)
    if as_json:
        write_document({"accepted" if not undo else "taken_back": counts})
        return
    shown = ", ".join(f"{count:,} {code}" for code, count in counts.items())
    done = "no longer accepted" if undo else "accepted as final"
    write_text(f"{sum(counts.values()):,} failures are {done}: {shown}" if counts else f"no failures are {done}: nothing changed")
