"""The journal opened after a crash: one torn tail is repaired, and damage is refused."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from batch.errors import DamagedError
from batch.journal.file_writer import FileJournal
from batch.journal.index import ResumeIndex
from batch.journal.lines import encode
from tests.support.stores import WatchedDisk, outcome, read_back, reopened, write_journal


def test_goes_on_behind_what_is_there(tmp_path: Path) -> None:
    """A journal that is opened again keeps its records and appends to its last segment (promise 1)."""
    write_journal(tmp_path, outcome(1), outcome(2), segment_bytes=1)

    with FileJournal(tmp_path, "group") as journal:
        assert journal.repaired is None
        journal.append(encode(outcome(3)))

    assert read_back(tmp_path) == [outcome(1), outcome(2), outcome(3)]
    assert len(list(tmp_path.iterdir())) == 2


def cuts() -> Iterator[int]:
    """Every length that the last record can be cut to; from nothing of it to all but its newline."""
    return iter(range(len(encode(outcome(2, error="server_error")))))


@pytest.mark.parametrize("segment_bytes", [1, 1 << 20])
def test_cut_at_every_byte(tmp_path: Path, segment_bytes: int) -> None:
    """However much of the last record was written, the rest is whole and the tail repaired before the next (promise 3, faults 38, 39)."""
    last = encode(outcome(2, error="server_error"))
    for cut in cuts():
        directory = tmp_path / str(cut)
        write_journal(directory, outcome(1), outcome(2, error="server_error"), segment_bytes=segment_bytes)
        path = max(directory.iterdir())
        os.truncate(path, path.stat().st_size - len(last) + cut)

        whole = cut == len(last) - 1
        expected = [outcome(1), *([outcome(2, error="server_error")] if whole else [])]
        assert len(ResumeIndex.load(directory)) == len(expected)
        with FileJournal(directory, "group") as journal:
            assert (journal.repaired is None) == (cut == 0)
            assert ("is whole and was kept" in (journal.repaired or "")) == whole
            journal.append(encode(outcome(3)))
        assert read_back(directory) == [*expected, outcome(3)]
        assert reopened(directory) is None


@pytest.mark.parametrize("size", [1, 2, 4096])
def test_a_whole_record_whose_newline_never_reached_the_disk_is_kept(tmp_path: Path, size: int) -> None:
    """Where a page begins with the newline of the last record, a loss of power leaves NUL in its place (promise 3, fault 39)."""
    write_journal(tmp_path, outcome(1), outcome(2))
    path = max(tmp_path.iterdir())
    os.truncate(path, path.stat().st_size - 1)
    os.truncate(path, path.stat().st_size + size)
    assert len(ResumeIndex.load(tmp_path)) == 2
    with FileJournal(tmp_path, "group") as journal:
        assert "is whole and was kept" in (journal.repaired or "")
        journal.append(encode(outcome(3)))
    assert read_back(tmp_path) == [outcome(1), outcome(2), outcome(3)]
    assert reopened(tmp_path) is None


def test_repair_is_durable_before_anything_is_appended(tmp_path: Path) -> None:
    """The cut and the sync of it come before the first record, else a power loss could tear twice (promise 3)."""
    write_journal(tmp_path, outcome(1))
    with (tmp_path / "000001.jsonl").open("ab") as file:
        file.write(b'{"sum":"')
    disk = WatchedDisk()

    with FileJournal(tmp_path, "group", disk=disk) as journal:
        journal.append(encode(outcome(2)))

    names = "sync directory"
    assert disk.done == [names, "open 000001.jsonl", "sync", "open 000001.jsonl", names, "write"]


def test_names_left_by_a_killed_process_are_made_durable(tmp_path: Path) -> None:
    """A folder and a file that are there may have been made by a process that died before it synced their names (promise 2)."""
    directory = tmp_path / "journal" / "v"
    directory.mkdir(parents=True)
    (directory / "000001.jsonl").touch()
    disk = WatchedDisk()

    with FileJournal(directory, "group", disk=disk):
        pass

    assert disk.done == ["sync directory", "open 000001.jsonl", "sync directory"]


@pytest.mark.parametrize("tail", [b"\0" * 9000, b'{"sum":"00' + b"\0" * 500 + b"}\n", b"\0\0\n" * 3])
def test_pages_that_never_reached_the_disk(tmp_path: Path, tail: bytes) -> None:
    """Zeros at the very end, as a power loss leaves them, are a torn tail, also when a newline came through (promise 3)."""
    write_journal(tmp_path, outcome(1))
    with (tmp_path / "000001.jsonl").open("ab") as file:
        file.write(tail)

    assert len(ResumeIndex.load(tmp_path)) == 1
    assert f"{len(tail)} bytes" in (reopened(tmp_path) or "")
    assert read_back(tmp_path) == [outcome(1)]


def test_an_empty_last_segment(tmp_path: Path) -> None:
    """A crash between a new segment's creation and its first record is no fault, and the tail before it is repaired (fault 38)."""
    write_journal(tmp_path, outcome(1), outcome(2))
    path = tmp_path / "000001.jsonl"
    os.truncate(path, path.stat().st_size - 5)
    (tmp_path / "000002.jsonl").touch()

    with FileJournal(tmp_path, "group") as journal:
        assert str(path) in (journal.repaired or "")
        journal.append(encode(outcome(3)))

    assert read_back(tmp_path) == [outcome(1), outcome(3)]


@pytest.mark.parametrize("from_end", [1, 2, 20, 300])
def test_a_flipped_byte_in_the_last_record(tmp_path: Path, from_end: int) -> None:
    """A last record that was whole and is not as it was written is damage, not a torn tail (promise 3)."""
    write_journal(tmp_path, outcome(1), outcome(2))
    path = tmp_path / "000001.jsonl"
    data = bytearray(path.read_bytes())
    data[-from_end] ^= 0x04
    path.write_bytes(data)

    with pytest.raises(DamagedError) as refused:
        FileJournal(tmp_path, "group")

    assert refused.value.path == str(path)
    assert refused.value.offset == (len(data) - 1 if from_end == 1 else len(encode(outcome(1))))
    assert path.read_bytes() == data


def test_a_long_last_record(tmp_path: Path) -> None:
    """A record longer than a step of the search for its beginning is found whole."""
    write_journal(tmp_path, outcome(1), outcome(2, text="x" * 300_000))

    assert reopened(tmp_path) is None


def test_a_missing_segment_is_named(tmp_path: Path) -> None:
    """A gap in the numbers is damage: records that were paid for are gone (promise 3)."""
    write_journal(tmp_path, outcome(1), outcome(2), outcome(3), segment_bytes=1)
    (tmp_path / "000002.jsonl").unlink()

    with pytest.raises(DamagedError, match=r"000002\.jsonl.*missing"):
        FileJournal(tmp_path, "group")
