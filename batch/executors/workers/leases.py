"""Assigns shards to workers. Pure.

A shard is leased for one queue at a time: a fast endpoint does not wait for a slow one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from batch.executors.shards import Shard
from batch.executors.workers.messages import Lease, LeaseKey

MOST_GENERATIONS = 5
"""A shard with which this many workers died is not leased again: it may be the cause."""


class Leases:
    """All shards of a run for each of its queues: free, leased, released by a lost worker, or done."""

    def __init__(self, queues: int, shards: Sequence[Shard]) -> None:
        self._shards = shards
        self._next = [0] * queues
        self._returned: list[deque[Lease]] = [deque() for _ in range(queues)]
        self._leased: dict[LeaseKey, tuple[str, Lease]] = {}
        self._left = self.count = queues * len(shards)

    @property
    def finished(self) -> bool:
        """Whether all shards are done."""
        return self._left == 0

    @property
    def done_count(self) -> int:
        """The number of shards that are done."""
        return self.count - self._left

    def available(self, queue: int) -> int:
        """The number of shards that can be leased now."""
        return len(self._shards) - self._next[queue] + len(self._returned[queue])

    def take(self, worker: str, queue: int) -> Lease | None:
        """Lease the next shard, released ones first; None when there is none."""
        if self._returned[queue]:
            lease = self._returned[queue].popleft()
        elif self._next[queue] < len(self._shards):
            lease = Lease(queue, self._shards[self._next[queue]], 1)
            self._next[queue] += 1
        else:
            return None
        self._leased[lease.key] = worker, lease
        return lease

    def done(self, worker: str, key: LeaseKey) -> bool:
        """Mark a lease as done; False when the worker does not have it, or no longer."""
        # A worker that was given up reports a lease that is another's now.
        if self._leased.get(key, ("", None))[0] != worker:
            return False
        del self._leased[key]
        self._left -= 1
        return True

    def leased_to(self, worker: str) -> list[Lease]:
        """The leases of a worker."""
        return [lease for holder, lease in self._leased.values() if holder == worker]

    def release(self, lease: Lease) -> bool:
        """Release a lease for another worker; False when it was released too often. Seal its journals first."""
        del self._leased[lease.key]
        if lease.generation >= MOST_GENERATIONS:
            return False
        self._returned[lease.queue].append(Lease(lease.queue, lease.shard, lease.generation + 1))
        return True
