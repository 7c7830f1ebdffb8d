"""promptmill status: what a run directory has so far."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from batch.cli.console import table, terminal_width, write_json, write_text
from batch.cli.options import directory_argument, json_option
from batch.policy.dollars import usd
from batch.policy.terminal import one_line

if TYPE_CHECKING:
    from batch.results.status import Status, VariantStatus
    from batch.rundir.command_log import CommandRecord

ORPHANS = "rows that are not in the input (removed, excluded by --limit, given another id, or a bad line that was corrected)"
LONGEST_EXAMPLE = 160
FORMAT = 1
SHOWN_COMMANDS = 10
# A log has the counts of each half minute, and how a session ended.
_CUT_OFF = "was cut off (a kill, a crash, a power loss)"


@click.command("status")
@directory_argument
@json_option
def status_command(directory: str, as_json: bool) -> None:
    """Show counts, tokens, and what failed and why.

    Works at any time, also during the run: then it shows what is in flight, oldest first. Each
    kind of failure is shown with one row as an example. "time" says what limited the run.
    """
    from batch import app

    status = app.status(directory)
    if as_json:
        write_json(_status_json(status))
    else:
        write_text(_status_text(status))


def _status_json(status: Status) -> dict[str, Any]:
    upstream = None if status.upstream is None else _status_json(status.upstream)
    variants = [_variant_json(variant) for variant in status.variants]
    document = {"format": FORMAT, **asdict(status), "variants": variants, "upstream": upstream}
    if status.session is not None:
        # Histograms are for the metrics, and no log has them.
        del document["session"]["counts"]["attempts"]
    return document


def _variant_json(variant: VariantStatus) -> dict[str, Any]:
    return {**asdict(variant), "not_attempted": variant.not_attempted, "rows_per_s": variant.rate}


def _status_text(status: Status) -> str:
    from batch.progress import near, rate

    cut_off, priced = (any(getattr(v, name) for v in status.variants) for name in ("truncated", "priced"))
    head = ["model", "total", "ok", "failed", "left", *(["cut off"] if cut_off else []), "tokens in", "tokens out", "rows/s"]
    rows = [[*head, *(["cost"] if priced else [])]]
    for v in status.variants:
        counts = (v.total, v.ok, v.failed, v.not_attempted, *([v.truncated] if cut_off else []), v.prompt_tokens, v.completion_tokens)
        cost = ["" if not v.ok else usd(v.cost_usd) if v.priced > v.copies else "unknown"] if priced else []
        rows.append([v.name, *map(number_or_unknown, counts), "?" if v.rate is None else rate(v.rate), *cost])
    parts = [f"{status.name} in {near(status.directory)}", "", table(rows, terminal_width())]
    notes = [*(f"{v.name}: {note}" for v in status.variants for note in _notes(v)), *_notes_on_all(status, cut_off=cut_off, priced=priced)]
    parts += ["", *notes] if notes else []
    parts += _session_lines(status)
    parts += _open_batches(status)
    parts += _now_and_before(status)
    for v in status.variants:
        if v.failures:
            more = f" (with {v.orphaned_failed:,} of rows that are not in the input)" if v.orphaned_failed else ""
            parts += ["", f"failures of {v.name}{more}:", *(_failure_lines(v))]
    if status.commands:
        parts += ["", "commands given to the run (promptmill ctl):", *_command_lines(status.commands)]
    if status.origin is not None:
        from batch.app.upstream import described

        parts += ["", f"its rows: {one_line(described(status.origin))}"]
        gone = f"their run is not at {near(str(status.origin['run']))} any more"
        parts += ["", _status_text(status.upstream) if status.upstream is not None else one_line(gone)]
    return "\n".join(parts)


def _session_lines(status: Status) -> list[str]:
    """Say what the last session did, beside the counts of all above."""
    session = status.session
    if session is None:
        return []
    from batch.cli.summary import cost, requests, top_failures

    counts = session.counts
    since = f", begun {local_time(session.began)}" if session.began else ""
    until = "" if session.ended else f", as of {local_time(session.as_of)}"
    if not session.ended and not status.running:
        if not (counts.ok or counts.failed or counts.requests):
            return ["", f"the last session{since}, {_CUT_OFF} before the log had its counts"]
        until = f", {_CUT_OFF}; its log has counts until {local_time(session.as_of)}"
    rows = f"{counts.ok:,} ok + {counts.failed:,} failed" + (f" ({top_failures(counts.failures)})" if counts.failures else "")
    ended = f"it ended: {one_line(session.reason)[:LONGEST_EXAMPLE]}" if session.reason else ""
    lines = [rows, f"requests {requests(counts)}", f"cost {spent}" if (spent := cost(counts)) else "", ended]
    name = "this session" if status.running else "the last session"
    return ["", f"{name}{since}{until} (all else here is of all sessions):", *(f"  {line}" for line in lines if line)]


def _open_batches(status: Status) -> list[str]:
    """Count the batches that are at their providers, by model and status."""
    found: dict[tuple[str, str], list[int]] = {}
    for batch in status.batches:
        found.setdefault((batch.variant, batch.word), []).append(batch.requests)
    lines = [f"{name}: {len(each):,} {word}, {sum(each):,} requests" for (name, word), each in found.items()]
    return ["", "batches at providers, when they were last looked at (resume collects them, cancel cancels them):", *lines] if lines else []


def _command_lines(commands: Sequence[CommandRecord]) -> list[str]:
    earlier = len(commands) - SHOWN_COMMANDS
    lines = [f"  {earlier:,} earlier ones are in control.jsonl"] if earlier > 0 else []
    for record in commands[-SHOWN_COMMANDS:]:
        answered = "" if record.ok else "refused: "
        lines.append(
            f"  {local_time(record.time)}  {one_line(record.words)[:80]}  ({answered}{one_line(record.message)[:LONGEST_EXAMPLE]})"
        )
    return lines


def local_time(text: str) -> str:
    """Return a time in UTC, in ISO 8601, as one of this machine's zone; the text itself where it is none."""
    try:
        return f"{datetime.fromisoformat(text).astimezone():%Y-%m-%d %H:%M:%S}"
    except ValueError:
        return one_line(text)


def _now_and_before(status: Status) -> list[str]:
    """Return what is in flight, if anything is, and where the time went."""
    from batch.cli.live import account_line, live_lines

    parts = []
    if status.account:
        parts += ["", account_line(status.account)]
    if status.live is not None:
        parts += ["", *live_lines(status.live)]
    elif status.running:
        parts += ["", "a runner is at work, and has not sent anything yet"]
    return parts


def _notes(variant: VariantStatus) -> list[str]:
    """Return notes on counts that are usually 0."""
    notes = []
    if variant.beaten_by is not None and variant.not_attempted:
        notes.append(f"stopped by the race: {variant.beaten_by} beats it; remaining rows are not sent")
    if variant.filtered:
        notes.append(f"{variant.filtered:,} answers stopped by a content filter")
    if variant.doubled:
        notes.append(f"{variant.doubled:,} attempts were repeated after a lost reply, or beside a slow one: possibly billed twice")
    if variant.copies:
        notes.append(f"{variant.copies:,} rows took the outcome of an equal request (run.dedupe)")
    if variant.priced > variant.copies and (beside := _beside(variant)):
        notes.append(f"{usd(variant.cost_usd)} is for {variant.priced:,} rows{beside}")
    elif variant.priced <= variant.copies and variant.extra_usd:
        notes.append(f"up to {usd(variant.extra_usd)} for attempts without reported usage")
    if variant.orphaned:
        notes.append(f"{variant.orphaned:,} outcomes are of {ORPHANS}; they count in tokens and costs only")
    if variant.damaged:
        notes.append(f"{variant.damaged:,} damaged journal records; `promptmill verify` has the places")
    return notes


def _notes_on_all(status: Status, *, cut_off: bool, priced: bool) -> list[str]:
    """Return the notes that concern all models."""
    notes = []
    if cut_off:
        notes.append("cut off: answers cut short by the token limit (finish_reason length)")
    if not priced and any(v.ok for v in status.variants):
        notes.append("the cost is unknown")
    if status.abandoned or status.unrecorded_usd:
        notes.append(given_up(status.abandoned, status.unrecorded_usd))
    if times := [v.last for v in status.variants if v.last is not None]:
        notes.append(f"last outcome {datetime.fromtimestamp(max(times)).astimezone():%Y-%m-%d %H:%M:%S %Z}")
    return notes


def given_up(abandoned: int, unrecorded_usd: float) -> str:
    """Describe what a stopped session may have been billed for without an outcome."""
    if not abandoned:
        # Of tests of an endpoint with rows answered before, or of a version that recorded the money only.
        return f"up to {usd(unrecorded_usd)} were spent, or may have been, on requests without an outcome; the budget counts them"
    dollars = f": up to {usd(unrecorded_usd)} in no outcome, which the budget counts" if unrecorded_usd else ""
    return f"{abandoned:,} requests were given up in flight at a stop, possibly billed and sent again later{dollars}"


def _beside(variant: VariantStatus) -> str:
    """Format what may have been billed beyond the known cost."""
    rest = variant.ok - variant.priced
    unknown = f", that of {rest:,} more is unknown" if rest > 0 else ""
    return unknown + (f", and up to {usd(variant.extra_usd)} for attempts without reported usage" if variant.extra_usd else "")


def _failure_lines(variant: VariantStatus) -> list[str]:
    lines = []
    for failures in variant.failures:
        message = one_line(" ".join(failures.message.split()))
        shown = message if len(message) <= LONGEST_EXAMPLE else f"{message[: LONGEST_EXAMPLE - 1]}…"
        lines += [
            f"  {failures.count:,} {failures.code} ({failures.kind})",
            f"    row {failures.row}, id {one_line(failures.id)}: {shown}",
        ]
    return lines


def number_or_unknown(count: int | None) -> str:
    """Return the count with separators; "?" for an unknown one."""
    return "?" if count is None else f"{count:,}"
