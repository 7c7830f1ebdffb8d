"""Feeds one endpoint of a worker with the rows of its leases, one lease after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from queue import Empty, SimpleQueue

from batch.engine.bundles import bundled, sizes_of
from batch.engine.feed import Copied, Feed, FeedOptions, Plan, Unsendable
from batch.engine.task_keys import key_of
from batch.engine.work import Work
from batch.executors.shards import Shard
from batch.executors.workers.lease_recorder import LeaseJournals
from batch.readers.ranges import Ranges
from batch.readers.record import FinishedRows, RowFilter
from batch.records import BadRow, Row, Task


@dataclass(frozen=True, slots=True)
class _Part:
    """The rows of one shard, as a source of rows."""

    ranges: Ranges
    shard: Shard

    def batches(self, *, wanted: RowFilter | None = None, finished: FinishedRows | None = None) -> Iterator[list[Row | BadRow]]:
        """Yield the rows in batches."""
        shard = self.shard
        if finished is None:
            yield from self.ranges.batches(shard.start, shard.stop, shard.offset, wanted=wanted)
            return
        for start, stop in finished.gaps(shard.start, shard.stop):
            yield from self.ranges.batches(start, stop, shard.offset)


class LeaseFeed:
    """The work of one queue. Leases are added on the event loop; `batches` runs in a thread and waits there for the next lease.

    `starving` is called in that thread when no lease is left. `find_answered` finds tasks that earlier sessions answered.
    `plans` gives the indexes for a lease, including what former holders of the lease recorded. The feed ends when it is closed.
    `begun` counts the leases that were started.
    """

    def __init__(
        self,
        ranges: Ranges,
        options: FeedOptions,
        plans: Callable[[LeaseJournals], Sequence[Plan]],
        starving: Callable[[], None],
        find_answered: Callable[[], Sequence[Task]],
    ) -> None:
        self._ranges = ranges
        self._options = options
        self._plans = plans
        self._starving = starving
        self._find_answered = find_answered
        self._lease_journals: SimpleQueue[LeaseJournals | None] = SimpleQueue()
        self.closed = False
        self.begun = 0

    @property
    def ahead(self) -> int:
        """How many leases are not started yet."""
        return self._lease_journals.qsize()

    def add(self, lease_journals: LeaseJournals) -> None:
        """Add a lease."""
        self._lease_journals.put(lease_journals)

    def close(self) -> None:
        """End the feed after the leases at hand."""
        if not self.closed:
            self.closed = True
            self._lease_journals.put(None)

    def answered(self) -> Sequence[Task]:
        """Return a task of each variant that an earlier session answered, if one is found soon."""
        return self._find_answered()

    def batches(self) -> Iterator[list[Work | Unsendable | Copied]]:
        """Yield the work in batches. Raises InputError, DamagedError, OSError."""
        while (lease_journals := self._next()) is not None:
            self.begun += 1
            lease = lease_journals.lease
            options = replace(self._options, retried=frozenset(task.id for task in lease.retried)) if lease.retried else self._options
            plans = self._plans(lease_journals)
            feed = Feed(_Part(self._ranges, lease.shard), plans, options)
            yield from bundled(_leased(feed, lease_journals), sizes_of(plans))
            lease_journals.is_read = True

    def _next(self) -> LeaseJournals | None:
        try:
            # Not blocking at first: the worker must hear that it is starving before it waits.
            return self._lease_journals.get_nowait()
        except Empty:
            self._starving()
            return self._lease_journals.get()


def _leased(feed: Feed, lease_journals: LeaseJournals) -> Iterator[list[Work | Unsendable]]:
    """Yield the work of a lease, marked as its shard's, and count it."""
    lease, codes = lease_journals.lease, lease_journals.lease.codes
    for batch in feed.batches():
        for item in batch:
            work = item.work if isinstance(item, Unsendable) else item
            work.shard = lease.shard.number
            if codes and (code := codes.get(key_of(work.task))) is not None:
                work.previous, work.replaces = None, code
        lease_journals.fed += len(batch)
        yield batch
