"""A worker's work for one endpoint: the rows of its leases, one lease after the other, without a pause between them."""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from batch.engine.feed import Feed, FeedOptions, Plan, Unsendable
from batch.engine.work import Work
from batch.executors.workers.lease_recorder import LeaseJournals
from batch.executors.workers.shards import Shard
from batch.readers.ranges import Ranges
from batch.readers.record import RowFilter
from batch.records import BadRow, Row, Task


@dataclass(frozen=True, slots=True)
class _Part:
    """The rows of one shard, as a Feed wants them."""

    ranges: Ranges
    shard: Shard

    def batches(self, *, wanted: RowFilter | None = None) -> Iterator[list[Row | BadRow]]:
        """The rows, some at a time."""
        return self.ranges.batches(self.shard.start, self.shard.stop, self.shard.mark, wanted=wanted)


class LeaseFeed:
    """The work of one lane. Leases are added on the event loop; `batches` runs in a thread, and waits there for the next lease.

    `starving` is called in that thread when there is none; `plans` gives what a lease's rows are held against, which reads what
    former holders of the lease have recorded. It ends when it is closed. `begun` counts the leases that it has taken up.
    """

    def __init__(
        self, ranges: Ranges, options: FeedOptions, plans: Callable[[LeaseJournals], Sequence[Plan]], starving: Callable[[], None]
    ) -> None:
        self._ranges = ranges
        self._options = options
        self._plans = plans
        self._starving = starving
        self._books: queue.SimpleQueue[LeaseJournals | None] = queue.SimpleQueue()
        self.closed = False
        self.begun = 0

    @property
    def ahead(self) -> int:
        """How many leases wait to be begun."""
        return self._books.qsize()

    def add(self, book: LeaseJournals) -> None:
        """One more lease."""
        self._books.put(book)

    def close(self) -> None:
        """There are no more leases, or nothing more is to be sent."""
        if not self.closed:
            self.closed = True
            self._books.put(None)

    def answered(self) -> Sequence[Task]:
        """None: a worker has its own answers only."""
        return ()

    def batches(self) -> Iterator[list[Work | Unsendable]]:
        """What is to be sent, batch by batch. Raises InputError, DamagedError, OSError."""
        while (book := self._next()) is not None:
            self.begun += 1
            feed = Feed(_Part(self._ranges, book.lease.shard), self._plans(book), self._options)
            number = book.lease.shard.number
            for batch in feed.batches():
                for item in batch:
                    (item.work if isinstance(item, Unsendable) else item).shard = number
                book.fed += len(batch)
                yield batch
            book.is_read = True

    def _next(self) -> LeaseJournals | None:
        try:
            return self._books.get_nowait()
        except queue.Empty:
            self._starving()
            return self._books.get()
