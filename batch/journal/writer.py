"""What the engine needs of a journal's writer, whatever the journal is on: a disk or an object store, of a whole run or of one lease."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from batch.tally import Tally


@dataclass(slots=True)
class PendingOutcomes:
    """Outcomes that are in memory only: their counts, and the US dollars that they stand for."""

    counts: Tally = field(default_factory=Tally)
    dollars: float = 0.0


class JournalWriter(Protocol):
    """Appends encoded outcomes to one journal and makes them durable."""

    @property
    def repaired(self) -> str | None:
        """What opening the journal repaired, in sentences for people."""

    @property
    def appended(self) -> int:
        """Number of records appended in this session."""

    @property
    def durable(self) -> int:
        """Number of appended records that are durable."""

    @property
    def is_durable(self) -> bool:
        """Whether every appended record is durable."""

    @property
    def is_due(self) -> bool:
        """Whether a periodic sync should sync this journal now."""

    @property
    def is_behind(self) -> bool:
        """Whether sending should pause until a sync has ended."""

    def append(self, *lines: bytes) -> None:
        """Append encoded lines. Raises StorageError when storage refuses, now or earlier."""

    async def sync(self) -> int:
        """Make durable what was appended before this call; returns `durable`. Raises StorageError."""

    def close(self) -> None:
        """Close without syncing; later appends are refused."""


class LeasedJournalWriter(JournalWriter, Protocol):
    """Appends to the journal of one lease, which only the holder of the lease writes."""

    @property
    def appended_bytes(self) -> tuple[int, int]:
        """Position of the next record that can be read back: number of the file or object, and bytes in it."""

    @property
    def pending_bytes(self) -> int:
        """Bytes that are in memory only."""

    @property
    def unflushed(self) -> PendingOutcomes | None:
        """Where the caller counts each record it appends; None when appended records are in a file at once."""

    @property
    def pending(self) -> PendingOutcomes | None:
        """Counts of all records that are in memory only, also of those on their way; None as for `unflushed`."""
