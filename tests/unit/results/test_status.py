"""Status: the counts of a run, from its journals alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from batch.errors import RunDirectoryError
from batch.journal.lines import encode
from batch.results.status import Failures, read_status
from batch.rundir.local import RunDirectory
from tests.support.runs import FinishedRun, manifest
from tests.support.stores import outcome


def test_counts_add_up(tmp_path: Path) -> None:
    """Rows in = ok + failed + not attempted; only the newest outcome of a task counts, and labels are counted apart (promises 1, 5)."""
    outcomes = [
        outcome(0, error="quota"),
        outcome(0, attempts=2),
        replace(outcome(1), finish_reason="length", cost_usd=0.5),
        replace(outcome(2), finish_reason="content_filter", cost_usd=0.25),
        outcome(3, error="context_length"),
        outcome(4, error="rate_limit"),
        outcome(5, error="rate_limit"),
    ]
    run = FinishedRun(tmp_path, [{"text": "x"}] * 5, {"v": outcomes}, repeats=2)

    (v,) = read_status(run.directory).variants

    assert (v.total, v.ok, v.failed, v.not_attempted) == (10, 3, 3, 4)
    assert (v.records, v.damaged, v.truncated, v.filtered, v.attempts) == (7, 0, 1, 1, 7)
    assert (v.prompt_tokens, v.completion_tokens, v.cost_usd, v.priced) == (9, 6, 0.75, 2)
    assert v.failures == (
        Failures("api", "rate_limit", 2, "rate_limit of row 4", "4", 4),
        Failures("api", "context_length", 1, "context_length of row 3", "3", 3),
    )


def test_rate_is_without_pauses(tmp_path: Path) -> None:
    """The time between an interruption and the next session does not lower the rate."""
    first = [replace(outcome(n), sent=1000.0 + n, done=1001.0 + n) for n in range(10)]
    second = [replace(outcome(n), sent=90_000.0 + n, done=90_001.0 + n) for n in range(10, 20)]
    run = FinishedRun(tmp_path, [{"text": "x"}] * 20, {"v": [*first, *second]})

    (v,) = read_status(run.directory).variants

    assert (v.first, v.last, v.active_s, v.rate) == (1000.0, 90_020.0, 20.0, 1.0)


def test_before_the_first_outcome(tmp_path: Path) -> None:
    """A run that has sent nothing has no rate; its rows are all not attempted, and a variant without a journal is there."""
    run = FinishedRun(tmp_path, [{"text": "x"}] * 3, {"a": [], "b": [outcome(0, error="bad_row")]})

    a, b = read_status(run.directory).variants

    assert (a.name, a.total, a.not_attempted, a.rate, a.first) == ("a", 3, 3, None, None)
    assert (b.failed, b.not_attempted) == (1, 2)


def test_without_a_count_of_rows(tmp_path: Path) -> None:
    """When run.json does not know the number of rows, neither does the status; journals that it does not name are shown."""
    run = FinishedRun(tmp_path, [{"text": "x"}], {"v": [outcome(0)]})
    run.directory.write_manifest(manifest("", rows=None))

    status = read_status(run.directory)

    assert (status.name, status.variants[0].name, status.variants[0].total, status.variants[0].not_attempted) == ("run", "v", None, None)


def test_a_running_writer(tmp_path: Path) -> None:
    """A record that is just being written is passed over, and the file left as it is (promise 3)."""
    run = FinishedRun(tmp_path, [{"text": "x"}] * 2, {"v": [outcome(0)]}, segment_bytes=1 << 20)
    path = run.directory.journal_dir("v") / "000001.jsonl"
    with path.open("ab") as file:
        file.write(encode(outcome(1))[:-20])
    before = path.read_bytes()

    assert read_status(run.directory).variants[0].ok == 1
    assert path.read_bytes() == before


def test_damage_is_counted(tmp_path: Path) -> None:
    """A damaged journal still has a status, which says how many records are damaged (fault 40)."""
    run = FinishedRun(tmp_path, [{"text": "x"}] * 4, {"v": [outcome(n) for n in range(4)]})
    path = run.directory.journal_dir("v") / "000001.jsonl"
    data = bytearray(path.read_bytes())
    data[50] ^= 1
    path.write_bytes(data)

    (v,) = read_status(run.directory).variants

    assert (v.ok, v.damaged) == (3, 1)


def test_usage_of_another_shape(tmp_path: Path) -> None:
    """Token counts that are no numbers are not counted, and not a crash (fault 51)."""
    run = FinishedRun(tmp_path, [{"text": "x"}], {"v": [replace(outcome(0), usage={"prompt_tokens": None, "completion_tokens": "many"})]})

    (v,) = read_status(run.directory).variants

    assert (v.prompt_tokens, v.completion_tokens) == (0, 0)


def test_no_run(tmp_path: Path) -> None:
    """A folder without a run is a clear error."""
    with pytest.raises(RunDirectoryError, match="no run was begun"):
        read_status(RunDirectory(tmp_path / "none"))
