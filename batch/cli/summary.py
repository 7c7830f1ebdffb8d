"""The closing summary of a run: rows, requests, cost, files, and the next step."""

from __future__ import annotations

import re
import shlex
import textwrap
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from batch.cli.console import table, terminal_width
from batch.cli.exits import ExitCode
from batch.policy.dollars import usd
from batch.policy.terminal import one_line
from batch.progress import duration, near, noun_for, rate
from batch.tally import Tally, sum_tallies

if TYPE_CHECKING:
    from batch.app import RunReport
    from batch.app.running import Whole

SHOWN_FAILURES = 5
_PART = re.compile(r"(completions|errors)-\d+-of-(\d+)")
_LABEL_WIDTH = 11
_INDENT = 2
# Paths and commands are copied from a terminal, which breaks them by itself.
_WHOLE_LINES = {"bug", "files", "next"}


def closing_summary(report: RunReport, command: str, width: int | None = None) -> str:
    """Format the summary, as lines for stderr, of `width` columns where they are sentences. `command` continues the run."""
    counts, whole = sum_tallies(report.tallies), report.whole
    parts = [
        ("rows" if noun_for(report.tallies) == "rows" else "tasks", accounting(counts)),
        ("", _kept(counts)),
        ("", f"{counts.again:,} of them are still to be sent again" if counts.again > 0 else ""),
        ("", f"{counts.accepted:,} failures are accepted as final" if counts.accepted else ""),
        ("race", "\n".join(f"{name} was stopped early: {better} beats it" for name, better in report.raced.items())),
        ("answers", _labelled(counts)),
        ("failures", _beside(top_failures(counts.failures), top_failures(whole.failures) if whole else "", whole)),
        ("requests", _beside(requests(counts), _given_up(whole), whole)),
        ("tokens", _beside(_tokens(counts, report.elapsed_s), "", whole)),
        ("cost", _beside(cost(counts, report.unrecorded_usd), usd(whole.spent_usd) if whole and whole.spent_usd else "", whole)),
        ("saved", _unsaved(counts)),
        ("bug", f"unexpected exceptions failed some attempts; please report {near(report.bug_report)}" if report.bug_report else ""),
        ("files", "\n".join(_files(report.outputs)) or near(report.directory)),
        ("next", next_step(report, command)),
    ]
    lines = [f"promptmill: {_headline(report, counts)}"]
    lines += [_labelled_lines(label, text, None if label in _WHOLE_LINES else width) for label, text in parts if text]
    # The sums below say the same of a single model.
    if len(report.tallies) > 1:
        lines.insert(1, _indented(variant_table(report.tallies)))
    return "\n".join(lines)


def _beside(of_session: str, of_all: str, whole: Whole | None) -> str:
    """Say what is of this session, and put what all sessions have together beside it; only where there were several."""
    if whole is None:
        return of_session
    return "\n".join([*([f"{of_session} (this session)"] if of_session else []), *([f"{of_all} in all sessions"] if of_all else [])])


def _given_up(whole: Whole | None) -> str:
    return f"{whole.abandoned:,} given up in flight at stops, possibly billed" if whole is not None and whole.abandoned else ""


def accounting(counts: Tally) -> str:
    """Rows in = ok + failed + not attempted."""
    ok, failed = counts.kept_ok + counts.ok, counts.kept_failed + counts.failed
    if counts.total is None:
        return f"{ok:,} ok + {failed:,} failed; the total is not known yet"
    return f"{counts.total:,} = {ok:,} ok + {failed:,} failed + {counts.not_attempted or 0:,} not attempted"


def top_failures(failures: Mapping[str, int]) -> str:
    """The most frequent error codes with their counts."""
    ranked = sorted(failures.items(), key=lambda item: (-item[1], item[0]))
    shown = [f"{count:,} {code}" for code, count in ranked[:SHOWN_FAILURES]]
    others = sum(count for _, count in ranked[SHOWN_FAILURES:])
    return ", ".join([*shown, f"{others:,} of other kinds"] if others else shown)


def cost(counts: Tally, unrecorded_usd: float = 0.0) -> str:
    """Format the cost of this session: of its answers, with the part that is unknown, and what may have been billed beside them."""
    beside = counts.extra_usd + unrecorded_usd
    more = f"up to {usd(beside)} more for attempts without reported usage" if beside else ""
    if not counts.ok:
        return more
    if counts.priced <= counts.copies:
        return f"unknown, and {more}" if more else "unknown"
    known = usd(counts.cost_usd)
    if counts.priced < counts.ok:
        known = f"{known} for {counts.priced:,} of {counts.ok:,} answers, the rest unknown"
    return f"{known}, and {more}" if more else known


def variant_table(tallies: Mapping[str, Tally]) -> str:
    """One line for each variant."""
    rows: list[tuple[str, ...]] = [("model", "ok", "failed", "not attempted", "tokens in", "tokens out")]
    for name, tally in tallies.items():
        missing = tally.not_attempted
        ok, failed = tally.kept_ok + tally.ok, tally.kept_failed + tally.failed
        counts = (ok, failed, missing, tally.prompt_tokens, tally.completion_tokens)
        rows.append((name, *("?" if count is None else f"{count:,}" for count in counts)))
    return table(rows, terminal_width() - _INDENT)


def _files(paths: Sequence[Path | str]) -> Iterator[str]:
    """Yield the outputs; parts as one pattern for completions and one for errors."""
    names = [_PART.sub(r"\1-*-of-\2", near(path)) for path in paths]
    for name, count in Counter(names).items():
        yield f"{name} ({count} files)" if count > 1 else name


def next_step(report: RunReport, command: str) -> str:
    """Say what to do after each exit code; nothing after 0."""
    code = report.exit_code
    if code == ExitCode.FAILED_ROWS:
        errors = next((near(path) for path in report.outputs if "/errors" in str(path)), "the errors file")
        return f"read {errors}; to send the failed rows again:\n{_without(command, '--retry-failed', '--changed')} --retry-failed"
    if code == ExitCode.INTERRUPTED:
        return f"the same command continues where this one stopped:\n{command}"
    if code == ExitCode.BUDGET:
        again = _without(command, "run.max_cost_usd=")
        more = _larger_budget(report)
        return (
            f"to continue, raise run.max_cost_usd in the job file, or by as much as you like here:\n{again} --set run.max_cost_usd={more}"
        )
    if report.cause in ("waiting", "cancelled"):
        return f"the same command waits for what is open, and sends what is left:\n{command}"
    if code == ExitCode.STOPPED:
        return f"when the cause is mended, the same command continues:\n{command}"
    return ""


def _larger_budget(report: RunReport) -> str:
    """Double the budget, or what one more request needs where that is more: less would stop at once again."""
    if report.max_cost_usd is None:
        return "…"
    least = report.least_usd or 0.0
    return f"{2 * report.max_cost_usd:g}" if least <= 2 * report.max_cost_usd else f"{2 * least:.2g}"


def _without(command: str, *unwanted: str) -> str:
    """Return a command line without some options and their values; a --set by the beginning of its value."""
    kept: list[str] = []
    words = iter(shlex.split(command))
    for word in words:
        if word in {"--set", "--changed"}:
            value = next(words, "")
            if word not in unwanted and not any(value.startswith(each) for each in unwanted if each.endswith("=")):
                kept += [word, value]
        elif not any(word == each or word.startswith(f"{each}=") for each in unwanted):
            kept.append(word)
    return shlex.join(kept)


def _headline(report: RunReport, counts: Tally) -> str:
    took = duration(report.elapsed_s)
    if report.interrupted:
        return f"interrupted after {took}; finished rows are kept"
    if report.cause in ("waiting", "cancelled"):
        return f"{one_line(report.reason or '')} ({took})"
    if report.reason is not None:
        return f"stopped early after {took}: {one_line(report.reason)}"
    failed = counts.failed + counts.kept_failed
    if not failed and not report.raced and counts.not_attempted:
        return f"finished in {took}; {counts.not_attempted:,} {noun_for(report.tallies)} of other models are not sent yet"
    if failed or report.raced:
        return f"finished in {took}, {failed:,} failed"
    return f"all {noun_for(report.tallies)} done in {took}"


def _kept(counts: Tally) -> str:
    kept = counts.kept_ok + counts.kept_failed
    return f"{kept:,} of them from earlier sessions" if kept else ""


def _labelled(counts: Tally) -> str:
    """Count answers that are not complete."""
    cut = f"{counts.truncated:,} cut short by the token limit (finish_reason length)" if counts.truncated else ""
    filtered = f"{counts.filtered:,} stopped by a content filter" if counts.filtered else ""
    unknown = (
        f"{counts.unknown_endings:,} with an unknown ending (no finish_reason, or one of no known dialect)"
        if counts.unknown_endings
        else ""
    )
    return "\n".join(filter(None, (cut, filtered, unknown)))


def requests(counts: Tally) -> str:
    """Say how many requests a session has sent, and of what kinds."""
    parts = [f"{counts.requests:,}", f"{counts.retries:,} of them retries" if counts.retries else "no retries"]
    if counts.probes:
        parts.append(f"{counts.probes:,} to test an endpoint with a row answered before")
    if counts.failovers:
        parts.append(f"{counts.failovers:,} moved to another endpoint of the pool")
    if counts.repairs:
        parts.append(f"{counts.repairs:,} for answers that did not fit the schema")
    if counts.fallbacks:
        parts.append(f"{counts.fallbacks:,} rows sent at the standard tier")
    if counts.hedges:
        parts.append(f"{counts.hedges:,} beside a slow one")
    if counts.copies:
        parts.append(f"{counts.copies:,} rows share the outcome of an equal request")
    if counts.doubled:
        parts.append(f"{counts.doubled:,} possibly billed twice")
    if counts.abandoned:
        parts.append(f"{counts.abandoned:,} given up in flight, possibly billed")
    return ", ".join(parts)


def _tokens(counts: Tally, elapsed_s: float) -> str:
    whole = counts.prompt_tokens + counts.completion_tokens
    if not whole:
        return "not reported" if counts.ok else ""
    speed = f", {rate(whole / elapsed_s)} tokens/s" if elapsed_s > 0 else ""
    return f"{counts.prompt_tokens:,} in + {counts.completion_tokens:,} out{speed}"


def _unsaved(counts: Tally) -> str:
    """Count outcomes that a power cut could still lose: only after a disk error, or with durability os."""
    unsaved = counts.ok + counts.failed - counts.durable
    return f"{unsaved:,} outcomes may not be on disk; missing ones will be sent again" if unsaved > 0 else ""


def _labelled_lines(label: str, text: str, width: int | None) -> str:
    lines = text.split("\n")
    if width is not None:
        room = max(20, width - _LABEL_WIDTH - _INDENT)
        lines = [part for line in lines for part in textwrap.wrap(line, room, break_long_words=False, break_on_hyphens=False)]
    first, *rest = lines
    return "\n".join([f"  {label:<{_LABEL_WIDTH}}{first}", *(f"  {'':<{_LABEL_WIDTH}}{line}" for line in rest)])


def _indented(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.split("\n"))
