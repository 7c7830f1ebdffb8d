"""promptmill runs: the runs of a folder."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from batch.cli.console import print_info, table, terminal_width, write_document, write_text
from batch.cli.options import folders, json_option
from batch.cli.status import number_or_unknown
from batch.policy.dollars import usd
from batch.policy.terminal import one_line

if TYPE_CHECKING:
    from batch.app.look import RunEntry


@click.command("runs")
@click.argument("folder", metavar="[DIR]", required=False, shell_complete=folders)
@json_option
def runs_command(folder: str | None, as_json: bool) -> None:
    """List the runs in a folder: state, rows, cost, age and size.

    Without DIR those in ./runs. The one that was started last comes first; `latest` is its name
    wherever a command takes a run directory: promptmill status latest.
    """
    from batch.app.look import runs
    from batch.rundir.finding_runs import runs_folder

    if folder is not None and not Path(folder).is_dir():
        what = "is a file" if Path(folder).exists() else "there is no such folder"
        raise click.UsageError(f"{one_line(folder)}: {what}; runs takes the folder of runs, by default ./runs")
    found = runs(None if folder is None else Path(folder))
    if as_json:
        write_document({"runs": [{**asdict(entry), "left": entry.left} for entry in found]})
    elif found:
        write_text(_text(found))
    else:
        where = Path(folder) if folder is not None else runs_folder()
        print_info(f"promptmill: no runs in {one_line(str(where.absolute()))}")


def _text(found: list[RunEntry]) -> str:
    from batch.progress import near

    priced = any(entry.cost_usd for entry in found)
    failed = any(entry.failed for entry in found)
    head = ["run", "state", "rows", *(["failed"] if failed else []), *(["cost"] if priced else []), "age", "size"]
    rows = [head]
    for entry in found:
        done = _done(entry)
        cost = [usd(entry.cost_usd) if entry.cost_usd else ""] if priced else []
        counts = [done, *([f"{entry.failed:,}"] if failed else []), *cost]
        rows.append([near(entry.path), entry.state, *counts, age(time.time() - entry.started), size(entry.bytes)])
    parts = [table(rows, terminal_width())]
    parts += [f"{near(entry.path)}: {one_line(entry.problem)}" for entry in found if entry.problem is not None]
    return "\n".join(parts)


def _done(entry: RunEntry) -> str:
    if entry.state in {"packed", "unreadable"}:
        return number_or_unknown(entry.total)
    done = entry.ok + entry.failed
    return f"{done:,}" if entry.total in (None, done) else f"{done:,} of {entry.total:,}"


def age(seconds: float) -> str:
    """Format the time since a start: 40 s, 12 min, 3 h, 5 d."""
    for unit, length in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{int(seconds // length):,} {unit}"
    return f"{max(0, int(seconds))} s"


def size(count: int) -> str:
    """Format a number of bytes: 12 kB, 3.4 MB."""
    for unit, length in (("TB", 10**12), ("GB", 10**9), ("MB", 10**6), ("kB", 1000)):
        if count >= length:
            return f"{count / length:.1f} {unit}" if count < 10 * length else f"{count / length:,.0f} {unit}"
    return f"{count} B"
