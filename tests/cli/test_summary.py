"""The closing summary: accounting, what it took, and what to do next."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from batch.app import RunReport
from batch.cli.summary import closing_summary
from batch.tally import Tally

COMMAND = "promptmill run job.toml"


def tally(**counts: Any) -> Tally:
    """A variant of 2,000 rows, all answered in this session unless `counts` says otherwise."""
    usual: dict[str, Any] = {
        "total": 2000,
        "ok": 2000,
        "durable": 2000,
        "requests": 2000,
        "prompt_tokens": 90_000,
        "completion_tokens": 30_000,
    }
    return Tally(**usual | counts)


def summary(tallies: dict[str, Tally], cause: Any = None, reason: str | None = None) -> str:
    outputs = (Path.cwd() / "runs/t/completions.jsonl", Path.cwd() / "runs/t/errors.jsonl")
    report = RunReport(Path.cwd() / "runs/t", tallies, reason, cause, () if cause == "interrupted" else outputs, 60.0)
    return closing_summary(report, COMMAND)


def test_a_run_without_faults_is_short() -> None:
    """All rows done: the counts, the price as far as it is known, the files; nothing is left to do."""
    assert summary({"m": tally()}).splitlines() == [
        "promptmill: all rows done in 1 min 00 s",
        "  rows       2,000 = 2,000 ok + 0 failed + 0 not attempted",
        "  requests   2,000, no retries",
        "  tokens     90,000 in + 30,000 out, 2,000 tokens/s",
        "  cost       unknown",
        "  files      runs/t/completions.jsonl",
        "             runs/t/errors.jsonl",
    ]


def test_a_run_with_failures_says_what_to_do() -> None:
    """Failures by code, kept rows, cut answers and possible double billings are shown, and how to go on (promises 1, 4 and 5)."""
    counts = tally(
        kept_ok=800,
        kept_failed=2,
        ok=1188,
        failed=7,
        durable=1195,
        truncated=12,
        filtered=1,
        requests=1230,
        retries=30,
        doubled=2,
        cost_usd=1.234,
        priced=1188,
        failures={"context_length": 5, "timeout_idle": 2},
    )
    assert summary({"m": counts}).splitlines() == [
        "promptmill: finished in 1 min 00 s, 9 failed",
        "  rows       2,000 = 1,988 ok + 9 failed + 3 not attempted",
        "             802 of them from earlier sessions",
        "  answers    12 cut short by the token limit (finish_reason length)",
        "             1 stopped by a content filter",
        "  failures   5 context_length, 2 timeout_idle",
        "  requests   1,230, 30 of them retries, 2 possibly billed twice",
        "  tokens     90,000 in + 30,000 out, 2,000 tokens/s",
        "  cost       $1.23",
        "  files      runs/t/completions.jsonl",
        "             runs/t/errors.jsonl",
        "  next       read runs/t/errors.jsonl; to send the failed rows again:",
        "             promptmill run job.toml --retry-failed",
    ]


@pytest.mark.parametrize(
    ("cause", "reason", "headline", "step"),
    [
        (
            "interrupted",
            "interrupted",
            "interrupted after 1 min 00 s; finished rows are kept",
            "the same command continues where this one stopped:",
        ),
        (
            "refused",
            "the quota is used up",
            "stopped early after 1 min 00 s: the quota is used up",
            "when the cause is mended, the same command continues:",
        ),
        (
            "storage",
            "the disk is full",
            "stopped early after 1 min 00 s: the disk is full",
            "when the cause is mended, the same command continues:",
        ),
    ],
)
def test_a_run_that_stopped_says_why_and_how_to_go_on(cause: str, reason: str, headline: str, step: str) -> None:
    """An early end has its reason in the first line and the command to go on with in the last."""
    first, *_, last_but_one, last = summary({"m": tally(ok=100, durable=100)}, cause, reason).splitlines()
    assert first == f"promptmill: {headline}"
    assert last_but_one.strip() == f"next       {step}"
    assert last.strip() == COMMAND


def test_several_models_have_a_line_each() -> None:
    """A job with several variants shows each of them, and the sum as tasks."""
    lines = summary({"a/one": tally(), "b/three": tally(ok=1500, failed=3, durable=1503)}).splitlines()
    assert lines[1:5] == [
        "  model       ok  failed  not attempted  tokens in  tokens out",
        "  a/one    2,000       0              0     90,000      30,000",
        "  b/three  1,500       3            497     90,000      30,000",
        "  tasks      4,000 = 3,500 ok + 3 failed + 497 not attempted",
    ]


def test_only_the_most_frequent_failures_are_named() -> None:
    """Five codes at most, the rest as a number, so that nothing is hidden."""
    failures = {f"code{number}": number for number in range(1, 9)}
    assert "8 code8, 7 code7, 6 code6, 5 code5, 4 code4, 6 of other kinds" in summary({"m": tally(failures=failures)})


def test_a_cost_known_in_part_is_called_so() -> None:
    """A price for some answers only is never shown as the whole."""
    assert "$0.0200 for 10 of 2,000 answers, the rest unknown" in summary({"m": tally(cost_usd=0.02, priced=10)})


def test_sentences_are_broken_at_words_on_a_terminal() -> None:
    """At 60 columns the parts of a line are under each other; commands are left whole, to be copied."""
    report = RunReport(Path.cwd() / "runs/t", {"m": tally(ok=1900, abandoned=14, doubled=3)}, "interrupted", "interrupted", (), 60.0)
    lines = closing_summary(report, f"{COMMAND} --set input.path=/a/place/that/is/far/away/rows.jsonl", 60).splitlines()
    assert "  requests   2,000, no retries, 3 possibly billed twice, 14" in lines
    assert "             given up in flight, possibly billed" in lines
    assert f"             {COMMAND} --set input.path=/a/place/that/is/far/away/rows.jsonl" in lines


def test_outcomes_that_are_not_durable_are_counted() -> None:
    """What may not be on the disk is said (promise 2)."""
    assert "12 outcomes may not be on disk" in summary({"m": tally(durable=1988)}, "storage", "the disk is full")


def test_an_unknown_total_is_not_called_zero() -> None:
    """When it stopped before the rows were counted, no number of missing rows is made up."""
    assert "100 ok + 0 failed; the total is not known yet" in summary({"m": tally(total=None, ok=100)}, "interrupted", "x")


def test_a_reason_cannot_steer_the_terminal() -> None:
    """The endpoint's words in the reason are shown, not obeyed."""
    assert "\x1b" not in summary({"m": tally()}, "refused", "\x1b[2J")


def test_rows_that_were_appended_during_the_run_are_in_the_sum() -> None:
    """Rows in = ok + failed + not attempted also where the input grew while it was read (promise 1)."""
    assert "  rows       2,050 = 2,050 ok + 0 failed + 0 not attempted" in summary({"m": tally(ok=2050)}).splitlines()
