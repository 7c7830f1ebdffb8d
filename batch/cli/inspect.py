"""promptmill status and verify: what a run directory holds, and whether it is sound."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from batch.cli.console import command_line, printable, put, put_json, table, terminal_width
from batch.cli.exits import ExitCode
from batch.cli.options import directory_argument, files, json_option

if TYPE_CHECKING:
    from batch.results.status import Status, VariantStatus
    from batch.results.verify import Verification

_ORPHANS = "rows that are not in the input (removed, left out by --limit, given another id, or a bad line that was mended)"
LONGEST_EXAMPLE = 160


@click.command("status")
@directory_argument
@json_option
def status_command(directory: str, as_json: bool) -> None:
    """Counts, tokens, and what failed and why.

    Reads the journal alone, so that it can be asked at any time, also while the run goes.
    Each kind of failure is shown with one row as an example.
    """
    from batch import app

    status = app.status(directory)
    if as_json:
        put_json({**asdict(status), "variants": [_variant_json(variant) for variant in status.variants]})
    else:
        put(_status_text(status))


@click.command("verify")
@click.argument("paths", nargs=-1, required=True, metavar="RUN_DIR | ANSWERS.jsonl...", shell_complete=files)
@click.option("--salvage", is_flag=True, help="First write damaged journals anew, with every whole record, and say what was lost.")
@click.option("--input", "requests", metavar="BATCH.jsonl", help="With answers: the requests that they must belong to.")
@json_option
@click.pass_context
def verify_command(ctx: click.Context, paths: tuple[str, ...], salvage: bool, requests: str | None, as_json: bool) -> None:
    """Check input, journal and outputs against each other.

    Says what is missing, doubled or damaged. Ends with 0 when all is sound (rows that are not
    attempted yet are no fault), with 2 when it is not.

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
        put_json({**asdict(found), "sound": found.sound, "complete": found.complete, "salvaged": salvaged})
    else:
        put("\n".join([*salvaged, _verification_text(found, None if of_files else directory)]))
    if not found.sound:
        ctx.exit(ExitCode.UNUSABLE)


def _variant_json(variant: VariantStatus) -> dict[str, Any]:
    return {**asdict(variant), "not_attempted": variant.not_attempted, "rows_per_s": variant.rate}


def _status_text(status: Status) -> str:
    from batch.progress import near, rate

    cut_off, priced = (any(getattr(v, name) for v in status.variants) for name in ("truncated", "priced"))
    head = ["model", "total", "ok", "failed", "left", *(["cut off"] if cut_off else []), "tokens in", "tokens out", "rows/s"]
    rows = [[*head, *(["cost"] if priced else [])]]
    for v in status.variants:
        counts = (v.total, v.ok, v.failed, v.not_attempted, *([v.truncated] if cut_off else []), v.prompt_tokens, v.completion_tokens)
        cost = ["" if not v.ok else f"${v.cost_usd:,.4f}" if v.priced > v.copies else "unknown"] if priced else []
        rows.append([v.name, *map(_number, counts), "?" if v.rate is None else rate(v.rate), *cost])
    parts = [f"{status.name} in {near(status.directory)}", "", table(rows, terminal_width())]
    notes = [*(f"{v.name}: {note}" for v in status.variants for note in _notes(v)), *_notes_on_all(status, cut_off=cut_off, priced=priced)]
    parts += ["", *notes] if notes else []
    for v in status.variants:
        if v.failures:
            more = f" (with {v.orphaned_failed:,} of rows that are not in the input)" if v.orphaned_failed else ""
            parts += ["", f"failures of {v.name}{more}:", *(_failure_lines(v))]
    return "\n".join(parts)


def _notes(variant: VariantStatus) -> list[str]:
    """What is only worth a line when there is any of it."""
    notes = []
    if variant.beaten_by is not None and variant.not_attempted:
        notes.append(f"stopped by the race: {variant.beaten_by} beats it; what is left is not sent")
    if variant.filtered:
        notes.append(f"{variant.filtered:,} answers stopped by a content filter")
    if variant.unknown_endings:
        notes.append(f"{variant.unknown_endings:,} answers with an unknown ending (finish_reason of no known dialect)")
    if variant.doubled:
        notes.append(f"{variant.doubled:,} attempts were repeated after a lost reply: possibly billed twice")
    if variant.copies:
        notes.append(f"{variant.copies:,} rows took the outcome of an equal request (run.dedupe)")
    if variant.priced > variant.copies and (beside := _beside(variant)):
        notes.append(f"${variant.cost_usd:,.4f} is for {variant.priced:,} rows{beside}")
    if variant.orphaned:
        notes.append(f"{variant.orphaned:,} of the outcomes are of {_ORPHANS}; they count in tokens and costs only")
    if variant.damaged:
        notes.append(f"{variant.damaged:,} damaged journal records; `promptmill verify` has the places")
    return notes


def _notes_on_all(status: Status, *, cut_off: bool, priced: bool) -> list[str]:
    """What is said once, whatever the number of models."""
    notes = []
    if cut_off:
        notes.append("cut off: answers cut short by the token limit (finish_reason length)")
    if not priced and any(v.ok for v in status.variants):
        notes.append("what it cost is unknown")
    if times := [v.last for v in status.variants if v.last is not None]:
        notes.append(f"last outcome {datetime.fromtimestamp(max(times)).astimezone():%Y-%m-%d %H:%M:%S %Z}")
    return notes


def _beside(variant: VariantStatus) -> str:
    """What may have been billed beside what is known."""
    rest = variant.ok - variant.priced
    unknown = f", that of {rest:,} more is unknown" if rest > 0 else ""
    return unknown + (f", and up to ${variant.extra_usd:,.4f} for attempts whose usage nobody told" if variant.extra_usd else "")


def _failure_lines(variant: VariantStatus) -> list[str]:
    lines = []
    for failures in variant.failures:
        message = printable(" ".join(failures.message.split()))
        shown = message if len(message) <= LONGEST_EXAMPLE else f"{message[: LONGEST_EXAMPLE - 1]}…"
        lines += [
            f"  {failures.count:,} {failures.code} ({failures.kind})",
            f"    row {failures.row}, id {printable(failures.id)}: {shown}",
        ]
    return lines


def _verification_text(found: Verification, directory: str | None) -> str:
    rows: list[tuple[str, ...]] = [("model", "tasks", "ok", "failed", "missing", "doubled", "superseded", "orphaned")]
    for check in found.variants:
        counts = (check.tasks, check.ok, check.failed, check.missing, check.doubled, check.superseded, check.orphaned)
        rows.append((check.name, *map(_number, counts)))
    parts = [table(rows, terminal_width())] if found.variants else []
    if any(check.orphaned for check in found.variants):
        parts.append(f"orphaned: outcomes of {_ORPHANS}; no fault, and in no output")
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


def _number(count: int | None) -> str:
    return "?" if count is None else f"{count:,}"
