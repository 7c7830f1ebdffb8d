"""A run in buckets of time: sums that add up at any width, percentiles near the true ones, and bounded memory."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from batch.journal.attempts import FailedAttempt
from batch.journal.lines import encode
from batch.journal.watching import PoolSample
from batch.results.following import JournalFollower
from batch.results.run_timeline import timeline_of
from batch.results.timeline import MOST_BUCKETS, Timeline, quantiles, record_fields
from tests.support.runs import FinishedRun
from tests.support.stores import outcome

START = 1_700_000_000.0


def fields(done: float, took: float = 0.5, *, ok: bool = True, **more: Any) -> dict[str, Any]:
    """The fields of a record."""
    error = None if ok else {"kind": "api", "code": "rate_limit", "message": "no", "http_status": 429}
    usage = {"prompt_tokens": 7, "completion_tokens": 3}
    return {"status": "ok" if ok else "failed", "sent": done - took, "done": done, "usage": usage, "cost_usd": 0.01, "error": error, **more}


@pytest.mark.parametrize("span", [10, 1000, 100_000])
def test_sums_add_up_at_any_width(span: int) -> None:
    """Rows, tokens, cost and seconds in flight are the same however often the buckets have grown, in any order of the records."""
    draw = random.Random(span)
    records = [(START + draw.random() * span, draw.random() * 5) for _ in range(2000)]
    timeline = Timeline(attempts_kept=False)
    for done, took in records:
        timeline.add(fields(done, took))
    document = timeline.document()
    assert len(document["start"]) <= MOST_BUCKETS + 2
    assert sum(document["ok"]) == 2000
    assert sum(document["completion_tokens"]) == 6000
    assert sum(document["cost_usd"]) == pytest.approx(20)
    busy = sum(document["in_flight"]) * document["width_s"]
    assert busy == pytest.approx(sum(took for _, took in records), rel=0.01)


def test_tokens_are_counted_as_the_status_counts_them() -> None:
    """A number as text or as a float counts; what is no count of tokens does not."""
    timeline = Timeline(attempts_kept=False)
    for count in ("7", 7.0, 7, -7, "many", None):
        timeline.add(fields(START, usage={"prompt_tokens": count, "completion_tokens": count}))
    document = timeline.document()
    assert (sum(document["prompt_tokens"]), sum(document["completion_tokens"])) == (21, 21)


def test_a_pause_between_sessions_takes_no_buckets() -> None:
    """Two short sessions a month apart are seen second by second."""
    timeline = Timeline(attempts_kept=False)
    for session in (0, 30 * 86_400):
        for second in range(60):
            timeline.add(fields(START + session + second, 0.2))
    document = timeline.document()
    assert document["width_s"] == 1.0
    assert len(document["start"]) < 130


def test_percentiles_are_within_two_percent() -> None:
    """The bars of the histogram are 4 % wide."""
    draw = random.Random(3)
    values = [draw.lognormvariate(0, 1) for _ in range(20_000)]
    timeline = Timeline(attempts_kept=False)
    for value in values:
        timeline.add(fields(START + 100_000 - START % 1, min(value, 60), first_token=None))
    found = timeline.document()["latency_s"]
    at = max(range(len(found["p50"])), key=lambda place: timeline.document()["ok"][place])
    for name, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99)):
        assert found[name][at] == pytest.approx(float(np.quantile(values, share)), rel=0.025)
    assert quantiles({}) == [None, None, None]


def test_attempts_are_counted_once() -> None:
    """Where attempts were kept, a failed row counts by them; else by its outcome."""
    attempt = FailedAttempt(START, "m", 1, "r1", 0, 1, "house", 429, "api", "rate_limit", "no", 0.5, "failed")
    kept, not_kept = Timeline(attempts_kept=True), Timeline(attempts_kept=False)
    for timeline in (kept, not_kept):
        timeline.add(fields(START, ok=False))
    kept.add_attempts([attempt])
    assert sum(kept.document()["attempts"]["rate_limit"]) == sum(not_kept.document()["attempts"]["rate_limit"]) == 1


def test_samples_give_limits_and_causes() -> None:
    """The limits of several pools add up; the seconds are by cause, that with the most first."""
    timeline = Timeline(attempts_kept=True)
    for pool, limit in (("w1-0", 4), ("w2-0", 6)):
        for second in range(3):
            timeline.add_sample(pool, PoolSample(START + second, 1, limit, 0, {"rate": 0.75, "input": 0.25}))
    document = timeline.document()
    # The first sample's second is that before START.
    assert document["limit"] == [None, 10.0, 10.0, 10.0]
    assert document["limited_by_s"] == {"rate": [1.5, 1.5, 1.5, 0.0], "input": [0.5, 0.5, 0.5, 0.0]}


def test_samples_that_come_late_leave_no_gap() -> None:
    """A sample each 1.3 s, in buckets of a second: its seconds belong to the buckets in which they were spent."""
    timeline = Timeline(attempts_kept=True)
    for number in range(1, 5):
        timeline.add_sample("main-0", PoolSample(START + 1.3 * number, 3, 4, 0, {"concurrency": 1.3}))
    assert timeline.document()["limited_by_s"] == {"concurrency": [1.0, 1.0, 1.0, 1.0, 1.0, 0.2]}


def test_what_has_not_ended_is_in_flight() -> None:
    """A request of 30 s is in no record until it ends: the samples of the pools say that it is there."""
    timeline = Timeline(attempts_kept=True)
    for pool in ("w1-0", "w2-0"):
        for second in range(1, 4):
            timeline.add_sample(pool, PoolSample(START + second, 2, 4, 0, {"concurrency": 1.0}))
    assert timeline.document()["in_flight"] == [0.0, 4.0, 4.0, 4.0]


@pytest.mark.parametrize("line", [b"", b"{", b"[1]", b'{"a":1}', b'{"sum":"x","response":{', b"\xff\xfe", b"null"])
def test_what_is_no_record_is_skipped(line: bytes) -> None:
    """Nothing that a file holds is an error."""
    assert record_fields(line) is None


def test_a_usage_with_a_member_named_response_is_read() -> None:
    """The endpoint's own object may hold anything."""
    one = outcome(1)
    one = type(one)(**{**{name: getattr(one, name) for name in one.__slots__}, "usage": {"a": 1, "response": {"b": [2]}}})
    found = record_fields(encode(one).rstrip(b"\n"))
    assert found is not None
    assert found["usage"] == one.usage


def test_an_id_with_half_a_character_is_read() -> None:
    """A record whose text is not valid Unicode counts as any other."""
    found = record_fields(encode(outcome(1, id_="\ud800")).rstrip(b"\n"))
    assert found is not None
    assert found["id"] == "\ud800"


def test_a_run_without_kept_samples_has_its_charts(tmp_path: Path) -> None:
    """A run of a time before they were kept, or whose watch folder was deleted."""
    run = FinishedRun(tmp_path, [{"text": "a"}, {"text": "b"}], {"m": [outcome(0), outcome(1, error="rate_limit")]})
    document = timeline_of(run.stored)
    assert sum(document["ok"]) == sum(document["failed"]) == 1
    assert set(document["attempts"]) == {"ok", "rate_limit"}
    assert document["limited_by_s"] == {}


def test_a_follower_reads_each_record_once(tmp_path: Path) -> None:
    """A record that is half written is read when it is whole; a torn tail that was cut off and replaced is read as what replaced it."""
    run = FinishedRun(tmp_path, [{"text": "a"}] * 4, {"m": [outcome(0)]})
    path = max(run.directory.journal_dir("m").glob("*.jsonl"))
    follower = JournalFollower(run.directory)

    def rows() -> list[int]:
        return [found.ordinal for block in follower.blocks() for line in block if (found := line.outcome()) is not None]

    assert rows() == [0]
    line = encode(outcome(1))
    with path.open("ab") as file:
        file.write(line[:50])
    assert rows() == []
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size - 50)
    with path.open("ab") as file:
        file.write(encode(outcome(2)) + encode(outcome(3)))
    assert rows() == [2, 3]
    assert rows() == []
