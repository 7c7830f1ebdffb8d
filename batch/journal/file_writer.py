"""The writer of a journal on disk: appends outcomes, makes them durable, and stops for good when the disk refuses."""

from __future__ import annotations

import errno
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import anyio.to_thread

from batch.errors import StorageError
from batch.journal.disk import Disk, refusal, replaced
from batch.journal.group_commit import GroupCommit
from batch.journal.segments import Tail, read_tail, segment_path, segments, unrepaired
from batch.settings import Durability

SEGMENT_BYTES = 256 * 1024 * 1024


class FileJournal(GroupCommit):
    """Appends to the journal in `directory`, which is created when it is missing; the caller must hold the run directory's lock.

    Opening repairs one torn tail and syncs what is there. The first sync after a segment has reached `segment_bytes` begins the next
    one. With durability "os" a sync does not wait for the disk, but a segment is still synced before the next one gets records.
    Each sync also checks that the path still names the open segment, and calls `check`, which raises StorageError.

    Raises:
        DamagedError: the last record differs from what was written, and is not torn.
        StorageError: the disk refuses.
    """

    def __init__(
        self,
        directory: Path,
        durability: Durability,
        *,
        segment_bytes: int = SEGMENT_BYTES,
        disk: Disk | None = None,
        check: Callable[[], None] | None = None,
    ) -> None:
        self._prepare(directory, durability, segment_bytes, disk, check)
        try:
            self._disk.make_directory(directory)
            found = segments(directory)
            self.repaired = repair_tails([segment.path for segment in unrepaired(found)], self._disk)
            # A session over several processes keeps its number to itself: within one number, nothing orders its files and this one.
            self._number = found[-1].name.number + (found[-1].name.shard >= 0) if found else 1
            # The name of an existing file may not be durable either: its creator may have been killed before the folder was synced.
            self._descriptor = self._create(self._number)
            self._size = self._path.stat().st_size
        except OSError as error:
            raise StorageError(refusal(error, directory)) from error

    def _prepare(
        self, directory: Path, durability: Durability, segment_bytes: int, disk: Disk | None, check: Callable[[], None] | None = None
    ) -> None:
        super().__init__()
        self._directory = directory
        self._awaits_disk = durability != "os"
        self._segment_bytes = segment_bytes
        self._disk = disk or Disk()
        self._check = check
        # The working directory may change during a run, as in a notebook.
        self._absolute = directory.absolute()
        self._next: int | None = None
        self._number, self._descriptor, self._size = 1, -1, 0

    @property
    def is_due(self) -> bool:
        """Whether a periodic sync should sync this journal now: always, a sync with nothing to write costs little."""
        return True

    @property
    def is_behind(self) -> bool:
        """Whether sending should pause until a sync has ended: never, appended records are in the file and not in memory."""
        return False

    def append(self, *lines: bytes) -> None:
        """Write encoded lines in one write. When this returns, they survive the end of the process; only `sync` survives power loss.

        Raises:
            StorageError: the disk refuses; whole lines stay, the rest is cut off, and later appends are refused.
        """
        self._check_open()
        data = b"".join(lines)
        written, error = self._write(data)
        if error is not None:
            self._size += data.rfind(b"\n", 0, written) + 1
            self._appended += data.count(b"\n", 0, written)
            # If the disk refuses this too, the next opening repairs the torn tail.
            with suppress(OSError):
                self._disk.truncate(self._descriptor, self._size)
            raise self._refuse(error) from error
        self._size += len(data)
        self._appended += len(lines)

    def close(self) -> None:
        """Close without syncing; later appends are refused."""
        for descriptor in (self._descriptor, self._next):
            if descriptor is not None and descriptor >= 0:
                self._disk.close(descriptor)
        self._descriptor, self._next = -1, None
        self._refusal = self._refusal or f"{self._directory}: this journal is closed"

    def _write(self, data: bytes) -> tuple[int, OSError | None]:
        """Returns the number of bytes written, and the error that ended writing early."""
        written = 0
        while written < len(data):
            try:
                more = self._disk.write(self._descriptor, memoryview(data)[written:])
            except OSError as error:
                return written, error
            if not more:
                return written, OSError(errno.EIO, "nothing was written")
            written += more
        return written, None

    async def _sync(self) -> None:
        covered = self._appended
        try:
            if self._awaits_disk:
                await anyio.to_thread.run_sync(self._disk.sync, self._descriptor)
            self._check_path()
            self._durable = covered
            if self._size >= self._segment_bytes:
                await self._roll()
        except OSError as error:
            self._sync_failed = True
            raise self._refuse(error) from error
        except StorageError as error:
            self._sync_failed = True
            self._refusal = str(error)
            raise

    def _check_path(self) -> None:
        """Check that the synced bytes can be found again: a removed or replaced file still takes writes and syncs without an error."""
        if self._check is not None:
            self._check()
        if self._descriptor >= 0 and not self._disk.is_at(self._descriptor, self._absolute / self._path.name):
            raise StorageError(replaced(self._path, "this file of the journal"))

    async def _roll(self) -> None:
        if self._next is None:
            try:
                self._next = await anyio.to_thread.run_sync(self._create, self._number + 1)
            except OSError as error:
                # The old segment can still be synced: only appending ends.
                self._refuse(error)
                return
        covered = self._appended
        await anyio.to_thread.run_sync(self._disk.sync, self._descriptor)
        if self._appended != covered:
            # Records that arrived during the sync: the only sync on the event loop, once per segment. Without it the next segment
            # could get records before the old one is durable, and a power loss could tear both.
            self._disk.sync(self._descriptor)
        self._durable = self._appended
        self._disk.close(self._descriptor)
        self._descriptor, self._next = self._next, None
        self._number += 1
        self._size = 0

    @property
    def _path(self) -> Path:
        return self._segment_path(self._number)

    def _segment_path(self, number: int) -> Path:
        return segment_path(self._directory, number)

    def _create(self, number: int) -> int:
        descriptor = self._disk.open(self._segment_path(number))
        self._disk.sync_directory(self._directory)
        return descriptor

    def _refuse(self, error: OSError) -> StorageError:
        self._refusal = refusal(error, self._path)
        return StorageError(self._refusal)


def repair_tails(paths: Sequence[Path], disk: Disk) -> str | None:
    """Repair the torn tails of segments and sync them; returns sentences for people on what was repaired.

    Raises:
        DamagedError: the last record of a segment differs from what was written, and is not torn.
        OSError: the disk refuses.
    """
    repairs = []
    for path in paths:
        tail = read_tail(path)
        descriptor = disk.open(path)
        try:
            if tail.keep < tail.size:
                disk.truncate(descriptor, tail.keep)
            if tail.lacks_newline:
                disk.write(descriptor, b"\n")
            # A resume takes what it reads here for final, so it must be durable.
            disk.sync(descriptor)
        finally:
            disk.close(descriptor)
        repairs.append(_describe(path, tail))
    return "\n".join(filter(None, repairs)) or None


def _describe(path: Path, tail: Tail) -> str | None:
    if tail.lacks_newline:
        return f"{path}: the last record lacked its newline, as after a crash; it is whole and was kept"
    if tail.keep < tail.size:
        return (
            f"{path}: the last {tail.size - tail.keep} bytes were a record that a crash had cut short; they were removed, "
            "and its row will be sent again"
        )
    return None
