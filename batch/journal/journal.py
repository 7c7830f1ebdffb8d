"""The one writer of a journal: appends outcomes, makes them durable, and stops for good when the disk refuses."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import anyio.to_thread

from batch.errors import StorageError
from batch.journal.disk import Disk, refusal
from batch.journal.group_commit import GroupCommit
from batch.journal.segments import Tail, read_tail, segment_path, segments, unsettled
from batch.settings import Durability

SEGMENT_BYTES = 256 * 1024 * 1024


class Journal(GroupCommit):
    """Appends to the journal in `directory`, which is created when it is missing; hold the run directory's lock.

    Opening repairs one torn tail and makes durable what is there. A segment is followed by the next at the first sync after it
    reached `segment_bytes`. With durability "os" a sync does not wait for the disk, but segments are still closed in order.

    Raises:
        DamagedError: the last record is not as it was written, and not torn.
        StorageError: the disk refuses.
    """

    def __init__(self, directory: Path, durability: Durability, *, segment_bytes: int = SEGMENT_BYTES, disk: Disk | None = None) -> None:
        self.repaired: str | None = None
        self._prepare(directory, durability, segment_bytes, disk)
        try:
            self._disk.make_directory(directory)
            found = segments(directory)
            self.repaired = settle([segment.path for segment in unsettled(found)], self._disk)
            # After a session over several processes comes a number of its own: within one number, nothing tells what is newest.
            self._number = found[-1].name.number + (found[-1].name.shard >= 0) if found else 1
            # Also of a file that is there the name may not be durable: its maker may have been killed.
            self._descriptor = self._create(self._number)
            self._size = self._path.stat().st_size
        except OSError as error:
            raise StorageError(refusal(error, directory)) from error

    def _prepare(self, directory: Path, durability: Durability, segment_bytes: int, disk: Disk | None) -> None:
        super().__init__()
        self._directory = directory
        self._awaits_disk = durability != "os"
        self._segment_bytes = segment_bytes
        self._disk = disk or Disk()
        self._next: int | None = None
        self._number, self._descriptor, self._size = 1, -1, 0

    @property
    def is_due(self) -> bool:
        """Whether a sync is worth its while: always, since it costs little."""
        return True

    @property
    def is_behind(self) -> bool:
        """Whether appending should wait for a sync: never, since what was appended is not held in memory."""
        return False

    def append(self, *lines: bytes) -> None:
        """Write encoded lines, in one write. When this returns, they survive the death of the process (but for power loss see `sync`).

        Raises:
            StorageError: the disk refuses; lines that were written whole stay, the rest is cut off again, and nothing more is taken.
        """
        if self._refusal is not None:
            raise StorageError(self._refusal)
        data = b"".join(lines)
        written, error = self._write(data)
        if error is not None:
            self._size += data.rfind(b"\n", 0, written) + 1
            self._appended += data.count(b"\n", 0, written)
            # Where even this is refused, the torn tail is repaired at the next opening.
            with suppress(OSError):
                self._disk.truncate(self._descriptor, self._size)
            raise self._refuse(error) from error
        self._size += len(data)
        self._appended += len(lines)

    def close(self) -> None:
        """Give the files back; syncs nothing."""
        for descriptor in (self._descriptor, self._next):
            if descriptor is not None and descriptor >= 0:
                self._disk.close(descriptor)
        self._descriptor, self._next = -1, None
        self._refusal = self._refusal or f"{self._directory}: this journal is closed"

    def _write(self, data: bytes) -> tuple[int, OSError | None]:
        """How many bytes were written, and why no more."""
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
            self._durable = covered
            if self._size >= self._segment_bytes:
                await self._roll()
        except OSError as error:
            self._sync_failed = True
            raise self._refuse(error) from error

    async def _roll(self) -> None:
        if self._next is None:
            try:
                self._next = await anyio.to_thread.run_sync(self._create, self._number + 1)
            except OSError as error:
                # The old segment can still be synced: only appending ends here.
                self._refuse(error)
                return
        covered = self._appended
        await anyio.to_thread.run_sync(self._disk.sync, self._descriptor)
        if self._appended != covered:
            # The records of the last milliseconds: the one sync on the event loop, once in a segment's life. Without it the
            # successor could get records before the old segment is durable, and a power loss could tear both.
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


def settle(paths: Sequence[Path], disk: Disk) -> str | None:
    """Repair the tails of these files and sync them, since a resume takes what it reads there for final; the sentences that say so.

    Raises:
        DamagedError: the last record of one is not as it was written, and not torn.
        OSError: the disk refuses.
    """
    told = []
    for path in paths:
        tail = read_tail(path)
        descriptor = disk.open(path)
        try:
            if tail.lacks_newline:
                disk.write(descriptor, b"\n")
            elif tail.keep < tail.size:
                disk.truncate(descriptor, tail.keep)
            disk.sync(descriptor)
        finally:
            disk.close(descriptor)
        told.append(_told(path, tail))
    return "\n".join(filter(None, told)) or None


def _told(path: Path, tail: Tail) -> str | None:
    if tail.lacks_newline:
        return f"{path}: the last record lacked its newline, as after a crash; it is whole and was kept"
    if tail.keep < tail.size:
        return (
            f"{path}: the last {tail.size - tail.keep} bytes were a record that a crash had cut short; they were removed, "
            "and its row will be sent again"
        )
    return None
