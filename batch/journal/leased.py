"""Journals of a run that is divided into leases: the number that a session claims, the files of a lease, and their sealing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import anyio.to_thread

from batch.journal.disk import Disk, open_to_read, storage_errors
from batch.journal.file_writer import SEGMENT_BYTES, FileJournal, repair_tails
from batch.journal.object_writer import ObjectJournal
from batch.journal.segment_name import SegmentName
from batch.journal.segments import Segment, lease_segments, segments, unrepaired, write_seal
from batch.journal.writer import PendingOutcomes
from batch.settings import Durability
from batch.tally import sum_tallies


def claim_number(directory: Path, disk: Disk | None = None) -> tuple[int, str | None]:
    """Claim the next number of the journal in `directory` for a session over several processes; hold the run directory's lock.

    Repairs the torn tails of earlier sessions first; the second value says what was repaired.

    Raises:
        DamagedError: the journal differs from what was written.
        StorageError: the disk refuses.
    """
    disk = disk or Disk()
    with storage_errors(directory):
        disk.make_directory(directory)
        found = segments(directory)
        repaired = repair_tails([segment.path for segment in unrepaired(found)], disk)
        number = found[-1].name.number + 1 if found else 1
        # The empty file claims the number for good: a worker that outlives its session never writes where a later session does.
        disk.close(disk.open(SegmentName(number).path(directory)))
        disk.sync_directory(directory)
    return number, repaired


def seal(directory: Path, lease: SegmentName) -> list[tuple[Segment, int]]:
    """Decide for good how many bytes of a lease's files count: their whole records as of now, made durable. Returns files and sizes.

    Call it before the shard gets another lease; the holder of this lease may still be writing.

    Raises:
        DamagedError: a record differs from what was written.
        StorageError: the disk refuses.
    """
    sizes = [(segment, segment.end()) for segment in lease_segments(directory, lease)]
    with storage_errors(directory):
        # Before the seal is written: it must not promise bytes that a power loss can still take.
        for segment, _ in sizes:
            _sync(segment.path)
    write_seal(directory, lease, {segment.path.name: size for segment, size in sizes})
    return sizes


def unreported(sizes: Sequence[tuple[Segment, int]], reported: tuple[int, int]) -> list[tuple[str, bytes]]:
    """Read what sealed files hold beyond `reported`, an earlier `appended_bytes` of the lease: path and lines of each file.

    Raises:
        StorageError: the disk refuses.
    """
    file, offset = reported
    rest = []
    for segment, size in sizes:
        start = size if segment.name.roll < file else offset if segment.name.roll == file else 0
        if start < size:
            with storage_errors(segment.path), open_to_read(segment.path) as opened:
                opened.seek(start)
                rest.append((str(segment.path), opened.read(size - start)))
    return rest


def _sync(path: Path) -> None:
    disk = Disk()
    descriptor = disk.open(path)
    try:
        disk.sync(descriptor)
    finally:
        disk.close(descriptor)


def earlier_segments(directory: Path, lease: SegmentName) -> list[Segment]:
    """The segments that earlier leases of the same shard left in the same session, as far as they count. Raises DamagedError."""
    return [each for each in segments(directory, lease) if each.name.generation < lease.generation]


class LeasedFileJournal(FileJournal):
    """Appends to the files of one lease, which only the holder of the lease writes. The first record creates the first file."""

    unflushed: PendingOutcomes | None = None
    pending: PendingOutcomes | None = None

    def __init__(
        self, directory: Path, lease: SegmentName, durability: Durability, *, segment_bytes: int = SEGMENT_BYTES, disk: Disk | None = None
    ) -> None:
        self._lease = lease
        self._named = False
        self._prepare(directory, durability, segment_bytes, disk)

    @property
    def appended_bytes(self) -> tuple[int, int]:
        """Number of files begun, and bytes in the last one."""
        return self._number, self._size

    @property
    def pending_bytes(self) -> int:
        """Bytes that are in memory only: none, appended records are in the file."""
        return 0

    def append(self, *lines: bytes) -> None:
        """Write encoded lines in one write; as FileJournal.append."""
        if self._descriptor < 0 and self._refusal is None:
            try:
                self._descriptor = self._disk.open(self._path)
            except OSError as error:
                raise self._refuse(error) from error
        super().append(*lines)

    async def _sync(self) -> None:
        if not self._named and self._awaits_disk:
            # The name of the first file becomes durable with its first records, and not on the event loop.
            try:
                await anyio.to_thread.run_sync(self._disk.sync_directory, self._directory)
            except OSError as error:
                self._sync_failed = True
                raise self._refuse(error) from error
        self._named = True
        await super()._sync()

    def _segment_path(self, number: int) -> Path:
        return self._lease._replace(roll=number).path(self._directory)


class LeasedObjectJournal(ObjectJournal):
    """Puts the objects of one lease, which only the holder of the lease puts, by `put(file name, content)`.

    What is in memory only is counted in `pending`, so that the coordinator can take it back when the worker is lost.
    """

    def __init__(
        self,
        lease: SegmentName,
        put: Callable[[str, bytes], None],
        flush_interval_s: float,
        keep: Callable[[str, bytes], Path] | None = None,
        *,
        patience_s: float | None = None,
    ) -> None:
        super().__init__(lease._replace(part=1), put, flush_interval_s, keep, patience_s=patience_s)
        self.unflushed, self._in_flight = PendingOutcomes(), PendingOutcomes()
        self._in_flight_bytes = 0

    @property
    def pending_bytes(self) -> int:
        """Bytes that are in memory only: waiting for a flush, or on their way."""
        return self._bytes + self._in_flight_bytes

    @property
    def appended_bytes(self) -> tuple[int, int]:
        """Number of the next object, and 0: its content is in memory only."""
        return self._name.part, 0

    @property
    def pending(self) -> PendingOutcomes:
        """Counts of all records that are not on the store yet."""
        counts = sum_tallies({"unflushed": self.unflushed.counts, "in flight": self._in_flight.counts})
        return PendingOutcomes(counts, self.unflushed.dollars + self._in_flight.dollars)

    async def _flush(self) -> None:
        self._in_flight, self.unflushed, self._in_flight_bytes = self.unflushed, PendingOutcomes(), self._bytes
        try:
            await super()._flush()
        except BaseException:
            # Refused or cancelled: what was on its way counts as unflushed again.
            self.unflushed = self.pending
            raise
        finally:
            self._in_flight, self._in_flight_bytes = PendingOutcomes(), 0
