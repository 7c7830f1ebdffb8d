"""The journal's writer: appending, making durable, repairing one torn tail, refusing damage, stopping when the disk refuses."""

from __future__ import annotations

import errno
import stat
from pathlib import Path
from tempfile import TemporaryDirectory

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batch.errors import StorageError
from batch.journal.file_writer import FileJournal
from batch.journal.index import ResumeIndex
from batch.journal.lines import encode, task_hash
from tests.support.stores import FullDisk, LosingDisk, ShortDisk, outcome, read_back, reopened


def test_append_is_written_at_once(tmp_path: Path) -> None:
    """What append returned from is in the file, whatever becomes of the process (promise 2, fault 36)."""
    journal = FileJournal(tmp_path / "j", "group")

    journal.append(encode(outcome(1)))

    assert read_back(tmp_path / "j") == [outcome(1)]
    journal.close()


def test_files_are_private(tmp_path: Path) -> None:
    """Journals hold answers, so only their owner may read them."""
    FileJournal(tmp_path / "a" / "j", "group").close()

    assert stat.S_IMODE((tmp_path / "a" / "j" / "000001.jsonl").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "a" / "j").stat().st_mode) == 0o700


@pytest.mark.parametrize("size", [1, 7, 100])
def test_short_writes_are_completed(tmp_path: Path, size: int) -> None:
    """A disk that takes a record in pieces gets all of it (fault 43)."""
    with FileJournal(tmp_path, "group", disk=ShortDisk(size)) as journal:
        journal.append(encode(outcome(1)))
        journal.append(encode(outcome(2)))

    assert read_back(tmp_path) == [outcome(1), outcome(2)]


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO])
async def test_full_disk_leaves_the_whole_prefix(tmp_path: Path, code: int) -> None:
    """A record that does not fit is cut off again, nothing more is taken, and what came before can still be synced (fault 41)."""
    line = encode(outcome(1))
    with FileJournal(tmp_path, "group", disk=FullDisk(len(line) + 50, code)) as journal:
        journal.append(line)
        with pytest.raises(StorageError, match="give the same command again"):
            journal.append(encode(outcome(2)))

        assert (tmp_path / "000001.jsonl").read_bytes() == line
        with pytest.raises(StorageError):
            journal.append(b"")
        assert await journal.sync() == 1


def test_full_disk_that_does_not_truncate(tmp_path: Path) -> None:
    """Where the cut record cannot be removed it is a torn tail, repaired at the next opening (promise 3, fault 41)."""
    line = encode(outcome(1))
    with FileJournal(tmp_path, "group", disk=FullDisk(len(line) + 50, errno.ENOSPC, truncates=False)) as journal:
        journal.append(line)
        with pytest.raises(StorageError, match="disk is full"):
            journal.append(encode(outcome(2)))

    assert "50 bytes" in (reopened(tmp_path) or "")
    assert read_back(tmp_path) == [outcome(1)]


def test_a_disk_that_writes_nothing_does_not_hang(tmp_path: Path) -> None:
    """A write that takes no byte is an error, not an endless loop (promise 7)."""
    with FileJournal(tmp_path, "group", disk=ShortDisk(0)) as journal, pytest.raises(StorageError):
        journal.append(encode(outcome(1)))


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    """A path that a file blocks gives a sentence that says what to do (fault 60)."""
    (tmp_path / "file").touch()

    with pytest.raises(StorageError, match="take another output dir"):
        FileJournal(tmp_path / "file" / "j", "group")


async def test_closed(tmp_path: Path) -> None:
    """A closed journal refuses, and may be closed again."""
    journal = FileJournal(tmp_path, "group")
    journal.close()
    journal.close()

    with pytest.raises(StorageError, match="closed"):
        journal.append(encode(outcome(1)))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(["append", "sync", "crash", "power"]), max_size=25), st.integers(1, 1500))
def test_what_is_reported_durable_survives(steps: list[str], segment_bytes: int) -> None:
    """Whatever is appended and synced: a killed process loses nothing, a power loss nothing that was counted as durable (promise 2)."""
    with TemporaryDirectory() as folder:
        anyio.run(_live, Path(folder) / "j", steps, segment_bytes)


async def _live(directory: Path, steps: list[str], segment_bytes: int) -> None:
    disk = LosingDisk()
    kept = 0
    appended = 0
    earlier = 0
    journal = FileJournal(directory, "group", segment_bytes=segment_bytes, disk=disk)
    for step in steps:
        if step == "append":
            journal.append(encode(outcome(appended)))
            appended += 1
        elif step == "sync":
            kept = earlier + await journal.sync()
        else:
            journal.close()
            if step == "power":
                disk.lose_power()
                disk = LosingDisk()
            held = len(read_back(directory))
            assert held == appended if step == "crash" else kept <= held <= appended
            journal = FileJournal(directory, "group", segment_bytes=segment_bytes, disk=disk)
            index = ResumeIndex.load(directory)
            assert all(entry is not None for entry in index.lookup([task_hash(None, ordinal, 0) for ordinal in range(held)]))
            appended = kept = earlier = held
    journal.close()
