"""The journal of one lease on an object store: each flush is an object of its own.

What waits for its flush is in memory only. Its holder tells of it, so that it can be taken back when he dies.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from batch.journal.segments import SegmentName
from batch.journal.store_journal import StoreJournal
from batch.records import Tally, sum_tallies


@dataclass(slots=True)
class PendingOutcomes:
    """What there is of outcomes that are in memory only: their counts, and the US dollars that they stand for."""

    counts: Tally = field(default_factory=Tally)
    dollars: float = 0.0


class LeasedStoreJournal(StoreJournal):
    """Puts the objects of one lease, which only its holder puts, by `put(file name, content)`.

    `waiting` is for whoever appends a record to count it in.
    """

    def __init__(self, lease: SegmentName, put: Callable[[str, bytes], None], flush_interval_s: float) -> None:
        super().__init__(lease._replace(part=1), put, flush_interval_s)
        self.waiting, self._flying = PendingOutcomes(), PendingOutcomes()
        self._flying_bytes = 0

    @property
    def held_bytes(self) -> int:
        """How many bytes are in memory only: what waits, and what is on its way."""
        return self._bytes + self._flying_bytes

    @property
    def appended_bytes(self) -> tuple[int, int]:
        """The number of the object that comes next, and 0: what is in it is held."""
        return self._name.part, 0

    @property
    def held(self) -> PendingOutcomes:
        """What is not on the store yet."""
        counts = sum_tallies({"waiting": self.waiting.counts, "flying": self._flying.counts})
        return PendingOutcomes(counts, self.waiting.dollars + self._flying.dollars)

    async def _flush(self) -> None:
        self._flying, self.waiting, self._flying_bytes = self.waiting, PendingOutcomes(), self._bytes
        await super()._flush()
        self._flying, self._flying_bytes = PendingOutcomes(), 0
