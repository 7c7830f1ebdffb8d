"""The journal's writer: appending, making durable, repairing one torn tail, refusing damage, stopping when the disk refuses."""

from __future__ import annotations

import errno
import os
import stat
import threading
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batch.errors import DamagedError, StorageError
from batch.journal.index import ResumeIndex
from batch.journal.journal import Journal
from batch.journal.lines import decode, encode, task_hash
from batch.records import Outcome
from tests.support.disks import FullDisk, LosingDisk, ShortDisk, WatchedDisk, outcome, reopened, write_journal


def read_back(directory: Path) -> list[Outcome]:
    """All records of a journal, in order."""
    return [decode(line) for path in sorted(directory.glob("*.jsonl")) for line in path.read_bytes().splitlines()]


def records_by_segment(directory: Path) -> list[int]:
    """How many records each segment has."""
    return [len(path.read_bytes().splitlines()) for path in sorted(directory.iterdir())]


def test_append_is_written_at_once(tmp_path: Path) -> None:
    """What append returned from is in the file, whatever becomes of the process (promise 2, fault 36)."""
    journal = Journal(tmp_path / "j", "group")

    journal.append(encode(outcome(1)))

    assert read_back(tmp_path / "j") == [outcome(1)]
    journal.close()


def test_files_are_private(tmp_path: Path) -> None:
    """Journals hold answers, so only their owner may read them."""
    Journal(tmp_path / "a" / "j", "group").close()

    assert stat.S_IMODE((tmp_path / "a" / "j" / "000001.jsonl").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "a" / "j").stat().st_mode) == 0o700


@pytest.mark.parametrize("size", [1, 7, 100])
def test_short_writes_are_completed(tmp_path: Path, size: int) -> None:
    """A disk that takes a record in pieces gets all of it (fault 43)."""
    with Journal(tmp_path, "group", disk=ShortDisk(size)) as journal:
        journal.append(encode(outcome(1)))
        journal.append(encode(outcome(2)))

    assert read_back(tmp_path) == [outcome(1), outcome(2)]


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO])
async def test_full_disk_leaves_the_whole_prefix(tmp_path: Path, code: int) -> None:
    """A record that does not fit is cut off again, nothing more is taken, and what came before can still be synced (fault 41)."""
    line = encode(outcome(1))
    with Journal(tmp_path, "group", disk=FullDisk(len(line) + 50, code)) as journal:
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
    with Journal(tmp_path, "group", disk=FullDisk(len(line) + 50, errno.ENOSPC, truncates=False)) as journal:
        journal.append(line)
        with pytest.raises(StorageError, match="disk is full"):
            journal.append(encode(outcome(2)))

    assert "50 bytes" in (reopened(tmp_path) or "")
    assert read_back(tmp_path) == [outcome(1)]


def test_a_disk_that_writes_nothing_does_not_hang(tmp_path: Path) -> None:
    """A write that takes no byte is an error, not an endless loop (promise 7)."""
    with Journal(tmp_path, "group", disk=ShortDisk(0)) as journal, pytest.raises(StorageError):
        journal.append(encode(outcome(1)))


async def test_sync_counts_what_is_durable(tmp_path: Path) -> None:
    """The count covers what was appended before the disk was asked, and nothing after (promise 2)."""
    disk = WatchedDisk()
    with Journal(tmp_path, "group", disk=disk) as journal:
        journal.append(encode(outcome(1)))
        journal.append(encode(outcome(2)))
        disk.on_sync = lambda: journal.append(encode(outcome(3)))
        assert await journal.sync() == 2
        disk.on_sync = lambda: None
        assert await journal.sync() == 3


async def test_sync_is_off_the_event_loop(tmp_path: Path) -> None:
    """The disk is never waited for in the thread of the event loop (fault 34)."""
    disk = WatchedDisk()
    with Journal(tmp_path, "row", disk=disk) as journal:
        del disk.sync_threads[:]
        journal.append(encode(outcome(1)))
        await journal.sync()

    assert len(disk.sync_threads) == 1
    assert disk.sync_threads[0] != threading.get_ident()


async def test_callers_share_a_sync(tmp_path: Path) -> None:
    """Those who come while the disk is busy wait for the next sync, all for the same one."""
    disk = WatchedDisk()
    durable: list[int] = []
    with Journal(tmp_path, "row", disk=disk) as journal:
        started, release = threading.Event(), threading.Event()

        def wait_for_release() -> None:
            started.set()
            assert release.wait(10)

        async def append_and_sync(ordinal: int) -> None:
            journal.append(encode(outcome(ordinal)))
            durable.append(await journal.sync())

        disk.on_sync = wait_for_release
        before = len(disk.sync_threads)
        async with anyio.create_task_group() as group:
            group.start_soon(append_and_sync, 0)
            await anyio.to_thread.run_sync(started.wait)
            for ordinal in range(1, 11):
                group.start_soon(append_and_sync, ordinal)
            await anyio.wait_all_tasks_blocked()
            release.set()

    assert sorted(durable) == [1] + [11] * 10
    assert len(disk.sync_threads) - before == 2


async def test_a_failed_sync_is_never_tried_again(tmp_path: Path) -> None:
    """After fsync failed nothing is called durable any more: later syncs and appends are refused without asking the disk (fault 42)."""
    disk = WatchedDisk()
    with Journal(tmp_path, "group", disk=disk) as journal:

        def fail() -> None:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

        journal.append(encode(outcome(1)))
        disk.on_sync = fail
        with pytest.raises(StorageError, match="input/output"):
            await journal.sync()
        disk.on_sync = lambda: None
        done = len(disk.done)
        with pytest.raises(StorageError):
            await journal.sync()
        with pytest.raises(StorageError):
            journal.append(encode(outcome(2)))
        assert len(disk.done) == done


async def test_a_failed_sync_reaches_all_who_wait(tmp_path: Path) -> None:
    """No caller is told that its record is durable when the sync that it waited for failed (fault 42)."""
    disk = WatchedDisk()
    failures: list[str] = []
    with Journal(tmp_path, "row", disk=disk) as journal:
        started, release = threading.Event(), threading.Event()

        def fail() -> None:
            started.set()
            assert release.wait(10)
            raise OSError(errno.EIO, "")

        async def append_and_sync(ordinal: int) -> None:
            journal.append(encode(outcome(ordinal)))
            try:
                await journal.sync()
            except StorageError as error:
                failures.append(str(error))

        disk.on_sync = fail
        async with anyio.create_task_group() as group:
            group.start_soon(append_and_sync, 0)
            await anyio.to_thread.run_sync(started.wait)
            group.start_soon(append_and_sync, 1)
            await anyio.wait_all_tasks_blocked()
            release.set()

    assert len(failures) == 2


async def test_a_cancelled_sync_does_not_block_the_next(tmp_path: Path) -> None:
    """Who gives up waiting leaves the journal usable."""
    with Journal(tmp_path, "group") as journal:
        journal.append(encode(outcome(1)))
        with anyio.CancelScope() as scope:
            scope.cancel()
            await journal.sync()
        assert await journal.sync() == 1


async def test_durability_os_does_not_wait_for_the_disk(tmp_path: Path) -> None:
    """With durability "os" a sync only counts."""
    disk = WatchedDisk()
    with Journal(tmp_path, "os", disk=disk) as journal:
        before = list(disk.done)
        journal.append(encode(outcome(1)))
        assert await journal.sync() == 1
        assert disk.done == [*before, "write"]


@pytest.mark.parametrize("durability", ["row", "group", "os"])
async def test_segments_roll_in_order(tmp_path: Path, durability: str) -> None:
    """A full segment is synced, and its successor's name is durable, before the successor gets a record (promise 3)."""
    disk = WatchedDisk()
    with Journal(tmp_path, durability, segment_bytes=1, disk=disk) as journal:  # type: ignore[arg-type]
        del disk.done[:]
        journal.append(encode(outcome(1)))
        await journal.sync()
        journal.append(encode(outcome(2)))

    assert disk.done[0] == "write"
    assert disk.done[-4:] == ["open 000002.jsonl", "sync directory", "sync", "write"]
    assert records_by_segment(tmp_path) == [1, 1]


async def test_records_that_come_while_a_segment_rolls(tmp_path: Path) -> None:
    """What is appended while the old segment is synced stays in it, and is synced too before the new one gets a record (promise 3)."""
    disk = WatchedDisk()
    with Journal(tmp_path, "group", segment_bytes=1, disk=disk) as journal:
        journal.append(encode(outcome(0)))
        late = iter(range(1, 3))

        def append_late() -> None:
            ordinal = next(late, None)
            if ordinal is not None:
                journal.append(encode(outcome(ordinal)))

        disk.on_sync = append_late
        assert await journal.sync() == 3
        assert disk.done[-1] == "sync"
        journal.append(encode(outcome(3)))

    assert records_by_segment(tmp_path) == [3, 1]


async def test_full_disk_in_a_later_segment(tmp_path: Path) -> None:
    """What is cut off again is counted from the segment's own beginning, and the segment is not left before it is full (fault 41)."""
    line = encode(outcome(1))
    with Journal(tmp_path, "group", segment_bytes=2 * len(line), disk=FullDisk(3 * len(line) + 50, errno.ENOSPC)) as journal:
        for _ in range(3):
            journal.append(line)
            await journal.sync()
        with pytest.raises(StorageError):
            journal.append(line)

    assert [path.read_bytes() for path in sorted(tmp_path.iterdir())] == [line * 2, line]  # noqa: ASYNC240 - nothing else runs


async def test_a_segment_that_cannot_be_followed(tmp_path: Path) -> None:
    """When there is no room for the next segment, what is there is durable and the next append is refused (fault 41)."""

    class NoSuccessor(WatchedDisk):
        def open(self, path: Path) -> int:
            if path.name == "000002.jsonl":
                raise OSError(errno.ENOSPC, "")
            return super().open(path)

    with Journal(tmp_path, "group", segment_bytes=1, disk=NoSuccessor()) as journal:
        journal.append(encode(outcome(0)))
        assert await journal.sync() == 1
        with pytest.raises(StorageError, match="disk is full"):
            journal.append(encode(outcome(1)))


def test_goes_on_behind_what_is_there(tmp_path: Path) -> None:
    """A journal that is opened again keeps its records and appends to its last segment (promise 1)."""
    write_journal(tmp_path, outcome(1), outcome(2), segment_bytes=1)

    with Journal(tmp_path, "group") as journal:
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
        with Journal(directory, "group") as journal:
            assert (journal.repaired is None) == (cut == 0)
            assert ("is whole and was kept" in (journal.repaired or "")) == whole
            journal.append(encode(outcome(3)))
        assert read_back(directory) == [*expected, outcome(3)]
        assert reopened(directory) is None


def test_repair_is_durable_before_anything_is_appended(tmp_path: Path) -> None:
    """The cut and the sync of it come before the first record, else a power loss could tear twice (promise 3)."""
    write_journal(tmp_path, outcome(1))
    with (tmp_path / "000001.jsonl").open("ab") as file:
        file.write(b'{"sum":"')
    disk = WatchedDisk()

    with Journal(tmp_path, "group", disk=disk) as journal:
        journal.append(encode(outcome(2)))

    names = "sync directory"
    assert disk.done == [names, "open 000001.jsonl", "sync", "open 000001.jsonl", names, "write"]


def test_names_left_by_a_killed_process_are_made_durable(tmp_path: Path) -> None:
    """A folder and a file that are there may have been made by a process that died before it synced their names (promise 2)."""
    directory = tmp_path / "journal" / "v"
    directory.mkdir(parents=True)
    (directory / "000001.jsonl").touch()
    disk = WatchedDisk()

    with Journal(directory, "group", disk=disk):
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

    with Journal(tmp_path, "group") as journal:
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
        Journal(tmp_path, "group")

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
        Journal(tmp_path, "group")


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    """A path that a file blocks gives a sentence that says what to do (fault 60)."""
    (tmp_path / "file").touch()

    with pytest.raises(StorageError, match="take another output dir"):
        Journal(tmp_path / "file" / "j", "group")


async def test_closed(tmp_path: Path) -> None:
    """A closed journal refuses, and may be closed again."""
    journal = Journal(tmp_path, "group")
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
    journal = Journal(directory, "group", segment_bytes=segment_bytes, disk=disk)
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
            journal = Journal(directory, "group", segment_bytes=segment_bytes, disk=disk)
            index = ResumeIndex.load(directory)
            assert all(entry is not None for entry in index.lookup([task_hash(None, ordinal, 0) for ordinal in range(held)]))
            appended = kept = earlier = held
    journal.close()
