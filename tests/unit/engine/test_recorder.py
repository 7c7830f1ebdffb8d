"""Answers are written together, and counted only once they are written."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from batch.clock import SystemClock
from batch.engine.costs import Costs
from batch.engine.recorder import Recorder
from batch.engine.work import Work
from batch.errors import StorageError
from batch.journal.disk import Disk
from batch.journal.file_writer import FileJournal
from batch.records import ErrorInfo, ErrorKind, Exchange, Reply, Request, Task
from batch.tally import Tally
from tests.support.stores import FullDisk, WatchedDisk, read_back


def work(ordinal: int, variant: str = "m") -> Work:
    """A row on its way."""
    return Work(Task(ordinal, f"r{ordinal}", variant, 0, Request("chat/completions", b"{}", bytes(16))))


def answer() -> Exchange:
    """A good answer."""
    return Exchange(200, {}, b'{"a": 1}', Reply(text="a", finish_reason="stop"), None, 1.0, None, 2.0)


def recorder(folder: Path, disk: Disk) -> tuple[Recorder, Tally]:
    """A recorder with the journal of one variant on this disk."""
    tally = Tally(total=10)
    return Recorder({"m": FileJournal(folder, "group", disk=disk)}, {"m": tally}, SystemClock(), Costs({}, ())), tally


def test_answers_of_one_turn_are_one_write(tmp_path: Path) -> None:
    """What was held is written at once, in its order, and counted then."""
    disk = WatchedDisk()
    recording, tally = recorder(tmp_path, disk)
    for ordinal in range(3):
        recording.completed(work(ordinal), answer())
    assert (disk.done.count("write"), tally.ok) == (0, 0)
    recording.flush()
    recording.flush()
    assert (disk.done.count("write"), tally.ok) == (1, 3)
    assert [each.ordinal for each in read_back(tmp_path)] == [0, 1, 2]


def test_a_failure_is_written_after_the_answers_before_it(tmp_path: Path) -> None:
    """A failed row is written at once, since its count may end the run; what came before it stands before it."""
    recording, tally = recorder(tmp_path, Disk())
    recording.completed(work(0), answer())
    recording.failed(work(1), ErrorInfo(ErrorKind.INPUT, "bad", "bad"), None)
    assert [each.ordinal for each in read_back(tmp_path)] == [0, 1]
    assert (tally.ok, tally.failed) == (1, 1)


async def test_a_sync_covers_what_was_held(tmp_path: Path) -> None:
    """What was recorded before a sync is durable after it (promise 2)."""
    recording, tally = recorder(tmp_path, Disk())
    recording.completed(work(0), answer())
    await recording.sync()
    assert (tally.ok, tally.durable) == (1, 1)


@pytest.mark.parametrize("lines", [0, 1, 2])
def test_a_disk_that_is_full_in_the_middle_keeps_and_counts_whole_lines(tmp_path: Path, lines: int) -> None:
    """Of answers that are written together, those that fit stay and count; the others are cut off and not counted (fault 41)."""
    sample, _ = recorder(tmp_path / "sample", Disk())
    sample.completed(work(0), answer())
    sample.flush()
    size = (tmp_path / "sample" / "000001.jsonl").stat().st_size
    recording, tally = recorder(tmp_path / "full", FullDisk(lines * size + 40, errno.ENOSPC))
    for ordinal in range(3):
        recording.completed(work(ordinal), answer())
    with pytest.raises(StorageError, match="disk is full"):
        recording.flush()
    assert [each.ordinal for each in read_back(tmp_path / "full")] == list(range(lines))
    assert tally.ok == lines
    assert [line[-2:] for line in (tmp_path / "full" / "000001.jsonl").read_bytes().splitlines(keepends=True)] == [b"}\n"] * lines


def test_one_journal_that_refuses_does_not_keep_others_from_theirs(tmp_path: Path) -> None:
    """Each variant's answers are written though another's journal refuses; then the refusal is told (fault 41)."""
    tallies = {"m": Tally(), "n": Tally()}
    full = FileJournal(tmp_path / "m", "group", disk=FullDisk(0, errno.ENOSPC))
    journals = {"m": full, "n": FileJournal(tmp_path / "n", "group")}
    recording = Recorder(journals, tallies, SystemClock(), Costs({}, ()))
    recording.completed(work(0), answer())
    recording.completed(work(0, "n"), answer())
    with pytest.raises(StorageError):
        recording.flush()
    assert (tallies["m"].ok, tallies["n"].ok) == (0, 1)
    assert len(read_back(tmp_path / "n")) == 1
