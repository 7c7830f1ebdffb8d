"""The journal's syncs: off the event loop, shared, never tried again after a failure, and in order where a segment rolls."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable
from pathlib import Path

import anyio
import pytest

from batch.errors import StorageError
from batch.journal.file_writer import FileJournal
from batch.journal.index import ResumeIndex
from batch.journal.leased import LeasedFileJournal
from batch.journal.lines import encode
from batch.journal.salvage import salvage_journal
from batch.journal.segment_name import SegmentName
from batch.settings import Durability
from tests.support.scripted import PATIENCE_S
from tests.support.stores import FullDisk, WatchedDisk, outcome


def records_by_segment(directory: Path) -> list[int]:
    """How many records each segment has."""
    return [len(path.read_bytes().splitlines()) for path in sorted(directory.iterdir())]


async def test_sync_counts_what_is_durable(tmp_path: Path) -> None:
    """The count covers what was appended before the disk was asked, and nothing after (promise 2)."""
    disk = WatchedDisk()
    with FileJournal(tmp_path, "group", disk=disk) as journal:
        journal.append(encode(outcome(1)))
        journal.append(encode(outcome(2)))
        disk.on_sync = lambda: journal.append(encode(outcome(3)))
        assert await journal.sync() == 2
        disk.on_sync = lambda: None
        assert await journal.sync() == 3


async def test_sync_is_off_the_event_loop(tmp_path: Path) -> None:
    """The disk is never waited for in the thread of the event loop (fault 34)."""
    disk = WatchedDisk()
    with FileJournal(tmp_path, "row", disk=disk) as journal:
        del disk.sync_threads[:]
        journal.append(encode(outcome(1)))
        await journal.sync()

    assert len(disk.sync_threads) == 1
    assert disk.sync_threads[0] != threading.get_ident()


async def test_callers_share_a_sync(tmp_path: Path) -> None:
    """Those who come while the disk is busy wait for the next sync, all for the same one."""
    disk = WatchedDisk()
    durable: list[int] = []
    with FileJournal(tmp_path, "row", disk=disk) as journal:
        started, release = threading.Event(), threading.Event()

        def wait_for_release() -> None:
            started.set()
            assert release.wait(PATIENCE_S)

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
    with FileJournal(tmp_path, "group", disk=disk) as journal:

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
    with FileJournal(tmp_path, "row", disk=disk) as journal:
        started, release = threading.Event(), threading.Event()

        def fail() -> None:
            started.set()
            assert release.wait(PATIENCE_S)
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
    with FileJournal(tmp_path, "group") as journal:
        journal.append(encode(outcome(1)))
        with anyio.CancelScope() as scope:
            scope.cancel()
            await journal.sync()
        assert await journal.sync() == 1


async def test_durability_os_does_not_wait_for_the_disk(tmp_path: Path) -> None:
    """With durability "os" a sync only counts."""
    disk = WatchedDisk()
    with FileJournal(tmp_path, "os", disk=disk) as journal:
        before = list(disk.done)
        journal.append(encode(outcome(1)))
        assert await journal.sync() == 1
        assert disk.done == [*before, "write"]


@pytest.mark.parametrize("durability", ["row", "group", "os"])
async def test_segments_roll_in_order(tmp_path: Path, durability: str) -> None:
    """A full segment is synced, and its successor's name is durable, before the successor gets a record (promise 3)."""
    disk = WatchedDisk()
    with FileJournal(tmp_path, durability, segment_bytes=1, disk=disk) as journal:  # type: ignore[arg-type]
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
    with FileJournal(tmp_path, "group", segment_bytes=1, disk=disk) as journal:
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
    with FileJournal(tmp_path, "group", segment_bytes=2 * len(line), disk=FullDisk(3 * len(line) + 50, errno.ENOSPC)) as journal:
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

    with FileJournal(tmp_path, "group", segment_bytes=1, disk=NoSuccessor()) as journal:
        journal.append(encode(outcome(0)))
        assert await journal.sync() == 1
        with pytest.raises(StorageError, match="disk is full"):
            journal.append(encode(outcome(1)))


def remove_segment(directory: Path) -> None:
    """The file is gone."""
    next(directory.iterdir()).unlink()


def replace_segment(directory: Path) -> None:
    """Another file has its name."""
    path = next(directory.iterdir())
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content)


def rename_folder(directory: Path) -> None:
    """The folder has another name."""
    directory.rename(directory.with_name("elsewhere"))


@pytest.mark.parametrize("durability", ["row", "os"])
@pytest.mark.parametrize("change", [remove_segment, replace_segment, rename_folder])
@pytest.mark.parametrize("leased", [False, True])
async def test_records_in_a_file_that_lost_its_name_are_not_durable(
    tmp_path: Path, durability: Durability, change: Callable[[Path], None], leased: bool
) -> None:
    """Promise 2: a file that was removed or replaced still takes writes; none of them counts, and the journal takes nothing more."""
    directory = tmp_path / "v"
    directory.mkdir()
    name = SegmentName(1, 0, 1)
    with LeasedFileJournal(directory, name, durability) if leased else FileJournal(directory, durability) as journal:
        journal.append(encode(outcome(1)))
        assert await journal.sync() == 1
        change(directory)
        journal.append(encode(outcome(2)))
        with pytest.raises(StorageError, match=r"\.jsonl: .*was removed, renamed or replaced during the run"):
            await journal.sync()
        assert journal.durable == 1
        with pytest.raises(StorageError):
            journal.append(encode(outcome(3)))


async def test_a_lost_lock_ends_the_journal(tmp_path: Path) -> None:
    """Promise 10: where the run directory is no longer this runner's, no record becomes durable and none is taken."""

    def lost() -> None:
        raise StorageError("the lock is lost")

    with FileJournal(tmp_path, "group", check=lost) as journal:
        journal.append(encode(outcome(1)))
        for _ in range(2):
            with pytest.raises(StorageError, match="the lock is lost"):
                await journal.sync()
        with pytest.raises(StorageError, match="the lock is lost"):
            journal.append(encode(outcome(2)))


async def test_the_working_directory_may_change_under_a_journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A journal in a relative folder is not taken for lost when the process changes its working directory."""
    monkeypatch.chdir(tmp_path)
    with FileJournal(Path("v"), "group") as journal:
        monkeypatch.chdir("/")
        journal.append(encode(outcome(1)))
        assert await journal.sync() == 1


@pytest.mark.parametrize("target", ["precious", "missing"])
def test_a_journal_is_never_written_through_a_link(tmp_path: Path, target: str) -> None:
    """In a shared run directory, a link in the place of a segment must not make a runner append to a file of its user."""
    (tmp_path / "precious").write_bytes(b"precious")
    (tmp_path / "v").mkdir()
    (tmp_path / "v" / "000001.jsonl").symlink_to(tmp_path / target)
    with pytest.raises(StorageError, match="symbolic link, which is not followed"):
        FileJournal(tmp_path / "v", "group")
    with pytest.raises(StorageError):
        ResumeIndex.load(tmp_path / "v")
    assert (tmp_path / "precious").read_bytes() == b"precious"
    assert not (tmp_path / "missing").exists()


def test_a_damaged_file_is_not_kept_through_a_link(tmp_path: Path) -> None:
    """The copy of a damaged segment never goes where a link of its name leads."""
    (tmp_path / "v").mkdir()
    (tmp_path / "v" / "000001.jsonl").write_bytes(encode(outcome(1))[:-9] + b"damaged\n" + encode(outcome(2)))
    (tmp_path / "v" / "000001.jsonl.damaged").symlink_to(tmp_path / "missing")
    (salvaged,) = salvage_journal(tmp_path / "v")
    assert salvaged.aside == tmp_path / "v" / "000001.jsonl.damaged-2"
    assert not (tmp_path / "missing").exists()
