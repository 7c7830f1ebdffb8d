"""Journals of a run that is shared out: the number that a session takes for its own, the files of a lease, and their sealing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import anyio.to_thread

from batch.errors import StorageError
from batch.journal.disk import Disk, refusal
from batch.journal.journal import SEGMENT_BYTES, Journal, settle
from batch.journal.segments import Segment, SegmentName, lease_segments, segments, unsettled, write_seal
from batch.settings import Durability


def claim_number(directory: Path, disk: Disk | None = None) -> tuple[int, str | None]:
    """Take the next number of the journal in `directory` for a session over several processes; hold the run directory's lock.

    Earlier sessions' torn tails are repaired first: the second value says so. An empty file claims the number for good, so that
    a worker who outlives his session can never write where a later one does.

    Raises:
        DamagedError: the journal is not as it was written.
        StorageError: the disk refuses.
    """
    disk = disk or Disk()
    try:
        disk.make_directory(directory)
        found = segments(directory)
        repaired = settle([segment.path for segment in unsettled(found)], disk)
        number = found[-1].name.number + 1 if found else 1
        disk.close(disk.open(SegmentName(number).path(directory)))
        disk.sync_directory(directory)
    except OSError as error:
        raise StorageError(refusal(error, directory)) from error
    return number, repaired


def seal(directory: Path, lease: SegmentName) -> list[tuple[Segment, int]]:
    """Decide, for good, how much of a lease's files counts: their whole records as of now, made durable. Returns them with these sizes.

    Call it before the shard is handed on; its former holder may still be writing.

    Raises:
        DamagedError: a record is not as it was written.
        StorageError: the disk refuses.
    """
    try:
        sizes = [(segment, segment.end()) for segment in lease_segments(directory, lease)]
        for segment, _ in sizes:
            _sync(segment.path)
    except OSError as error:
        raise StorageError(refusal(error, directory)) from error
    write_seal(directory, lease, {segment.path.name: size for segment, size in sizes})
    return sizes


def unreported(sizes: Sequence[tuple[Segment, int]], told: tuple[int, int]) -> list[tuple[str, bytes]]:
    """What is in sealed files beyond `told` (as LeasedJournal.appended_bytes has it): each file's name, and the lines.

    Raises:
        StorageError: the disk refuses.
    """
    file, offset = told
    rest = []
    for segment, size in sizes:
        start = size if segment.name.roll < file else offset if segment.name.roll == file else 0
        if start < size:
            try:
                with segment.path.open("rb") as opened:
                    opened.seek(start)
                    rest.append((str(segment.path), opened.read(size - start)))
            except OSError as error:
                raise StorageError(refusal(error, segment.path)) from error
    return rest


def _sync(path: Path) -> None:
    disk = Disk()
    descriptor = disk.open(path)
    try:
        disk.sync(descriptor)
    finally:
        disk.close(descriptor)


def earlier_segments(directory: Path, lease: SegmentName) -> list[Segment]:
    """What former holders of the same shard left in the same session, as far as it counts. Raises DamagedError."""
    return [each for each in segments(directory, lease) if each.name.generation < lease.generation]


class LeasedJournal(Journal):
    """Appends to the files of one lease, which only its holder writes. The first is made with the first record."""

    def __init__(
        self, directory: Path, lease: SegmentName, durability: Durability, *, segment_bytes: int = SEGMENT_BYTES, disk: Disk | None = None
    ) -> None:
        self.repaired = None
        self._lease = lease
        self._named = False
        self._prepare(directory, durability, segment_bytes, disk)

    @property
    def appended_bytes(self) -> tuple[int, int]:
        """How many files it has begun to fill, and how many bytes are in the last one."""
        return self._number, self._size

    @property
    def held_bytes(self) -> int:
        """How many bytes are in memory only: none, since they are in the file."""
        return 0

    def append(self, *lines: bytes) -> None:
        """Write encoded lines; as a Journal does."""
        if self._descriptor < 0 and self._refusal is None:
            try:
                self._descriptor = self._disk.open(self._path)
            except OSError as error:
                raise self._refuse(error) from error
        super().append(*lines)

    async def _sync(self) -> None:
        if not self._named and self._awaits_disk:
            # The name of its first file becomes durable together with its first records, and not on the event loop.
            try:
                await anyio.to_thread.run_sync(self._disk.sync_directory, self._directory)
            except OSError as error:
                self._sync_failed = True
                raise self._refuse(error) from error
        self._named = True
        await super()._sync()

    def _segment_path(self, number: int) -> Path:
        return self._lease._replace(roll=number).path(self._directory)
