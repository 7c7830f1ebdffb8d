"""promptmill prune: free the disk of what a run no longer needs."""

from __future__ import annotations

from dataclasses import asdict

import click

from batch.cli.console import command_line, table, terminal_width, write_document, write_text
from batch.cli.options import directory_argument, json_option


@click.command("prune")
@directory_argument
@click.option("--yes", is_flag=True, help="Remove what is listed. Without it, nothing is changed.")
@click.option("--pack", is_flag=True, help="With --yes: pack the journal too, by zstd; it is unpacked when it is read again.")
@json_option
def prune_command(directory: str, yes: bool, pack: bool, as_json: bool) -> None:
    """Free the disk of what a run no longer needs.

    \b
    Removed are
      - results that --fresh set aside (old/),
      - damaged files that verify --salvage set aside,
      - answers of rows that were sent again since; their costs stay.

    Never removed are the newest outcomes, run.json and the scores.

    Not while another command reads the run.

    \b
    Examples:
      promptmill prune runs/tickets                list what would be removed
      promptmill prune runs/tickets --yes --pack   remove it, and pack the journal
    """
    from batch.app.prune import prunable, prune

    if pack and not yes:
        raise click.UsageError("--pack changes files: give --yes too")
    found = prunable(directory)
    freed = prune(directory, packs=pack) if yes else 0
    if as_json:
        write_document({**asdict(found), "removed": yes, "freed": freed})
    elif yes:
        write_text(f"{size(freed)} are free now")
    else:
        kinds = (
            ("old/, set aside by --fresh", found.old),
            ("damaged files, set aside by verify --salvage", found.damaged),
            ("answers of rows that were sent again", found.replaced),
        )
        write_text(table([("to be removed", "size"), *((name, size(count)) for name, count in kinds)], terminal_width()))
        write_text(f"to remove it: {command_line('prune', directory, '--yes')}" if found.total else "nothing is to be removed")


def size(count: int) -> str:
    """Format bytes for people: 1.5 MB, in units of 1,000."""
    value, unit = float(count), 0
    while value >= 999.5 and unit < len(_UNITS) - 1:
        value, unit = value / 1000, unit + 1
    return f"{value:,.0f} B" if not unit else f"{value:,.1f} {_UNITS[unit]}"


_UNITS = ("B", "kB", "MB", "GB", "TB")
