"""promptmill verify: whether input, journal and outputs of a run agree."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from batch.cli.console import command_line, table, terminal_width, write_document, write_text
from batch.cli.exits import ExitCode
from batch.cli.job_files import run_arguments
from batch.cli.options import files, json_option
from batch.cli.status import ORPHANS, number_or_unknown

if TYPE_CHECKING:
    from batch.results.verification import Verification


@click.command("verify")
@click.argument("paths", nargs=-1, required=True, metavar="RUN_DIR | ANSWERS.jsonl...", shell_complete=files, callback=run_arguments)
@click.option("--salvage", is_flag=True, help="First rewrite damaged journals with every whole record, and report what was lost.")
@click.option("--input", "requests", metavar="BATCH.jsonl", help="With answers: the requests that they must belong to.")
@json_option
@click.pass_context
def verify_command(ctx: click.Context, paths: tuple[str, ...], salvage: bool, requests: str | None, as_json: bool) -> None:
    """Check input, journal and outputs against each other.

    Reports what is missing, duplicate or damaged. Ends with 0 when all is sound (rows not yet
    attempted are no fault), else with 2.

    Of files it checks the answers of a batch runner: OpenAI's output and error files, those of
    vLLM's run-batch, or our own.

    \b
    Examples:
      promptmill verify runs/tickets
      promptmill verify output.jsonl error.jsonl --input batch.jsonl
    """
    from batch import app

    directory = paths[0]
    of_files = requests is not None or len(paths) > 1 or Path(directory).is_file()
    if of_files and salvage:
        raise click.UsageError("--salvage is for a run directory")
    salvaged = app.salvage(directory) if salvage else []
    found = app.verify_files([*map(Path, paths)], Path(requests) if requests else None) if of_files else app.verify(directory)
    if as_json:
        write_document({**asdict(found), "sound": found.sound, "complete": found.complete, "salvaged": salvaged})
    else:
        write_text("\n".join([*salvaged, _verification_text(found, None if of_files else directory)]))
    if not found.sound:
        ctx.exit(ExitCode.UNUSABLE)


def _verification_text(found: Verification, directory: str | None) -> str:
    rows: list[tuple[str, ...]] = [("model", "tasks", "ok", "failed", "missing", "doubled", "superseded", "orphaned")]
    for check in found.variants:
        counts = (check.tasks, check.ok, check.failed, check.missing, check.doubled, check.superseded, check.orphaned)
        rows.append((check.name, *map(number_or_unknown, counts)))
    parts = [table(rows, terminal_width())] if found.variants else []
    if any(check.orphaned for check in found.variants):
        parts.append(f"orphaned: outcomes of {ORPHANS}; no fault, and not in the outputs")
    parts += [f"damaged: {damage}" for damage in found.damage]
    parts += [f"output: {fault}" for fault in found.outputs]
    return "\n".join([*parts, _verdict(found, directory)])


def _verdict(found: Verification, directory: str | None) -> str:
    if directory is None:
        missing = sum(check.missing for check in found.variants)
        return "not sound: see above" if not found.sound else f"sound; {missing:,} without an answer" if missing else "sound and complete"
    if found.damage:
        return f"not sound; to keep every whole record: {command_line('verify', directory, '--salvage')}"
    if not found.sound:
        return "not sound: see above"
    if not found.complete:
        missing, tasks = sum(check.missing for check in found.variants), sum(check.tasks for check in found.variants)
        return f"sound so far; {missing:,} of {tasks:,} tasks have no outcome yet: {command_line('resume', directory)}"
    return "sound and complete"
