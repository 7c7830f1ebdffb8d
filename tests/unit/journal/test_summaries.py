"""Summaries of segments: they say what the records say, and are not believed where the segment is another one."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batch.errors import DamagedError
from batch.journal import summary_files
from batch.journal.done import DoneTasks
from batch.journal.keys import MOST_KEYS
from batch.journal.lines import encode
from batch.journal.segments import segments
from batch.records import Outcome
from tests.support.stores import outcome, write_journal

DONE = st.lists(st.tuples(st.integers(0, 20), st.integers(0, 2), st.booleans()), max_size=40)


@pytest.fixture(autouse=True)
def of_any_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small segments have summaries too."""
    monkeypatch.setattr(summary_files, "WORTH_BYTES", 0)


def task(row: int, repeat: int = 0, *, ok: bool = True, cost: float | None = None) -> Outcome:
    return replace(outcome(row, error=None if ok else "no"), repeat=repeat, cost_usd=cost, key=row.to_bytes(16, "little"))


def newest(done: list[tuple[int, int, bool]]) -> dict[tuple[int, int], bool]:
    return {(row, repeat): ok for row, repeat, ok in done}


@settings(deadline=None, max_examples=60)
@given(done=DONE, segment_bytes=st.integers(1, 4000))
def test_summaries_say_what_the_records_say(tmp_path_factory: pytest.TempPathFactory, done: list, segment_bytes: int) -> None:
    """Made from records or read from its file: the same tasks are done, with the same counts, cost and keys (promise 1)."""
    folder = tmp_path_factory.mktemp("journal")
    write_journal(folder, *[task(row, repeat, ok=ok, cost=0.5) for row, repeat, ok in done], segment_bytes=segment_bytes)
    right = newest(done)
    for _ in range(2):
        found = DoneTasks.load(folder)
        assert (found.ok, found.failed) == (sum(right.values()), len(right) - sum(right.values()))
        for repeat in range(3):
            entries = found.entries(range(22), repeat)
            assert [None if entry is None else entry.ok for entry in entries] == [right.get((row, repeat)) for row in range(22)]
        for with_failures in (False, True):
            final = [
                row
                for row in range(22)
                if all(right.get((row, repeat), False) or ((row, repeat) in right and with_failures) for repeat in range(3))
            ]
            assert [n for a, b in found.finished(3, with_failures=with_failures).tolist() for n in range(a, b)] == final
        assert summary_files.spent_usd(folder) == pytest.approx(0.5 * len(done))
        assert {key for (key,) in zip(found.completed_keys(MOST_KEYS).tolist(), strict=True)} >= {
            int.from_bytes(row.to_bytes(16, "little")[:8], "big") for (row, _), ok in right.items() if ok
        }
        found.save(folder / "shared.done")
        assert DoneTasks.open(folder / "shared.done").entries(range(22), 0) == found.entries(range(22), 0)


@settings(deadline=None, max_examples=40)
@given(before=DONE, session=DONE)
def test_the_running_session_counts_on_top(tmp_path_factory: pytest.TempPathFactory, before: list, session: list) -> None:
    """A worker that takes a shard over takes every outcome of its former holder for final, failures too."""
    folder = tmp_path_factory.mktemp("journal")
    write_journal(folder / "a", *[task(row, repeat, ok=ok) for row, repeat, ok in before])
    write_journal(folder / "b", *[task(row, repeat, ok=ok) for row, repeat, ok in session])
    both = DoneTasks.load(folder / "a").then(DoneTasks.load(folder / "b"))
    right = newest(before) | dict.fromkeys(newest(session), True)
    for repeat in range(3):
        found = [None if entry is None else entry.ok for entry in both.entries(range(22), repeat)]
        assert found == [right.get((row, repeat)) for row in range(22)]


def append(path: Path) -> None:
    path.write_bytes(path.read_bytes() + encode(task(7)))


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: -len(encode(task(2)))])


def exchange(path: Path) -> None:
    """Another record of the same length, put there with the old size and time."""
    status = path.stat()
    path.write_bytes(path.read_bytes()[: -len(encode(task(2)))] + encode(task(3)))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


@pytest.mark.parametrize(("change", "done"), [(append, [0, 1, 2, 7]), (cut, [0, 1]), (exchange, [0, 1, 3])])
def test_a_changed_segment_is_read_again(tmp_path: Path, change: Callable[[Path], None], done: list[int]) -> None:
    """A summary is not believed over a segment that grew, was cut, or holds something else, even of the same size and time."""
    write_journal(tmp_path, task(0), task(1), task(2))
    DoneTasks.load(tmp_path)
    assert (tmp_path / "000001.summary").exists()
    change(tmp_path / "000001.jsonl")
    for _ in range(2):
        assert [row for row, entry in enumerate(DoneTasks.load(tmp_path).entries(range(9), 0)) if entry] == done


def test_a_copied_run_keeps_its_summaries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a copy the bytes decide: the digest is the same, so no record is read again."""
    write_journal(tmp_path / "old", task(0), task(1))
    DoneTasks.load(tmp_path / "old")
    shutil.copytree(tmp_path / "old", tmp_path / "new", copy_function=shutil.copy)
    monkeypatch.setattr(summary_files, "summarize", None)
    assert len(DoneTasks.load(tmp_path / "new")) == 2


def test_no_more_keys_are_read_than_are_remembered(tmp_path: Path) -> None:
    """Promise 8: of a journal with more requests than a run remembers those of its first segments are read."""
    write_journal(tmp_path, *(task(row) for row in range(40)), segment_bytes=2000)
    found = DoneTasks.load(tmp_path)
    every = found.completed_keys(MOST_KEYS).tolist()
    assert len(every) == 40
    for most in (0, 1, 17, 40, 41):
        assert found.completed_keys(most).tolist() == every[:most]


def test_a_damaged_summary_is_made_again(tmp_path: Path) -> None:
    """Whichever byte of a summary is wrong, or however it is cut, what it says is what the records say."""
    write_journal(tmp_path, task(0), task(1, ok=False), task(1, ok=False), task(2, 1))
    right = DoneTasks.load(tmp_path)
    path = tmp_path / "000001.summary"
    whole = path.read_bytes()
    broken = [whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :] for place in range(0, len(whole), 3)]
    for content in [b"", whole[:-1], whole[: len(whole) // 2], b"\0" * len(whole), *broken]:
        path.write_bytes(content)
        found = DoneTasks.load(tmp_path)
        assert [found.entries(range(4), repeat) for repeat in (0, 1)] == [right.entries(range(4), repeat) for repeat in (0, 1)]
        assert found.completed_keys(MOST_KEYS).tolist() == right.completed_keys(MOST_KEYS).tolist()


def test_damage_is_refused_not_summarized(tmp_path: Path) -> None:
    """A record that differs from what was written ends the reading with its place, and no summary is left (promise 3)."""
    write_journal(tmp_path, task(0), task(1))
    path = tmp_path / "000001.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"row":0', b'"row":5', 1))
    with pytest.raises(DamagedError, match=r"000001\.jsonl"):
        DoneTasks.load(tmp_path)
    assert not (tmp_path / "000001.summary").exists()
    assert summary_files.spent_usd(tmp_path) == 0


def test_small_segments_have_no_summary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A small run directory stays as it is: reading its records takes as long."""
    monkeypatch.setattr(summary_files, "WORTH_BYTES", 1 << 16)
    write_journal(tmp_path, task(0))
    assert len(DoneTasks.load(tmp_path)) == 1
    assert [segment.path.name for segment in segments(tmp_path)] == [entry.name for entry in tmp_path.iterdir()]
