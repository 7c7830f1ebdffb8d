"""Assigns shards to workers. Pure.

A shard is leased for one queue at a time: a fast endpoint does not wait for a slow one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import replace

from batch.executors.shards import Shard
from batch.executors.workers.messages import Lease, LeaseKey, RetriedTask

MOST_GENERATIONS = 5
"""A shard with which this many workers died is not leased again: it may be the cause."""


class Leases:
    """All shards of a run for each of its queues: free, leased, released by a lost worker, or done.

    Of an abandoned queue nothing more is leased.
    """

    def __init__(self, queues: int, shards: Sequence[Shard]) -> None:
        self._shards = shards
        self._next = [0] * queues
        self._returned: list[deque[Lease]] = [deque() for _ in range(queues)]
        self._leased: dict[LeaseKey, tuple[str, Lease]] = {}
        self._abandoned: set[int] = set()
        self._generations: dict[tuple[int, int], int] = {}
        self._wanted: dict[tuple[int, int], tuple[RetriedTask, ...]] = {}
        self._left = [len(shards)] * queues
        self.count = queues * len(shards)

    @property
    def finished(self) -> bool:
        """Whether all shards are done; those of abandoned queues that are not leased count as done."""
        if not self._abandoned:
            return not any(self._left)
        leased = {queue for queue, _, _ in self._leased}
        return all(not left or (queue in self._abandoned and queue not in leased) for queue, left in enumerate(self._left))

    @property
    def done_count(self) -> int:
        """The number of shards that are done."""
        return self.count - sum(self._left)

    def available(self, queue: int) -> int:
        """The number of shards that can be leased now."""
        if queue in self._abandoned:
            return 0
        return len(self._shards) - self._next[queue] + len(self._returned[queue])

    def take(self, worker: str, queue: int) -> Lease | None:
        """Lease the next shard, released ones first; None when there is none."""
        if not self.available(queue):
            return None
        if self._returned[queue]:
            lease = self._returned[queue].popleft()
        else:
            shard = self._shards[self._next[queue]]
            lease = Lease(queue, shard, 1, self._wanted.pop((queue, shard.number), ()))
            self._next[queue] += 1
        self._leased[lease.key] = worker, lease
        self._generations[lease.key[:2]] = lease.generation
        return lease

    def done(self, worker: str, key: LeaseKey) -> bool:
        """Mark a lease as done; False when the worker does not have it, or no longer."""
        # A worker that was given up reports a lease that is another's now.
        if self._leased.get(key, ("", None))[0] != worker:
            return False
        _, lease = self._leased.pop(key)
        # What comes back from an abandoned queue has tasks without an outcome.
        self._left[key[0]] -= key[0] not in self._abandoned
        if (retried := self._wanted.pop(key[:2], ())) and key[0] not in self._abandoned:
            self._lease_again(lease, retried)
        return True

    def retry(self, queue: int, tasks: Sequence[RetriedTask]) -> list[RetriedTask]:
        """Send failed tasks again, each with the next lease of its shard; returns them, but for those that are on their way."""
        accepted: list[RetriedTask] = []
        for shard in self._shards:
            of_shard = [task for task in tasks if shard.start <= task.ordinal < shard.stop]
            accepted += self._retry_in(queue, shard, of_shard) if of_shard else []
        return accepted

    def _retry_in(self, queue: int, shard: Shard, tasks: Sequence[RetriedTask]) -> list[RetriedTask]:
        key = queue, shard.number
        leased = [lease for _, lease in self._leased.values() if lease.key[:2] == key]
        waiting = [lease for lease in self._returned[queue] if lease.key[:2] == key]
        known = {task for lease in (*leased, *waiting) for task in lease.retried} | set(self._wanted.get(key, ()))
        names = {task.key for task in known}
        new = [task for task in tasks if task.key not in names] if queue not in self._abandoned else []
        if not new:
            return []
        if leased or key not in self._generations:
            # With the shard's first lease, or when its holder has finished.
            self._wanted[key] = (*self._wanted.get(key, ()), *new)
        elif waiting:
            place = self._returned[queue].index(waiting[0])
            self._returned[queue][place] = replace(waiting[0], retried=(*waiting[0].retried, *new))
        else:
            self._lease_again(Lease(queue, shard, self._generations[key]), tuple(new))
        return new

    def _lease_again(self, lease: Lease, retried: tuple[RetriedTask, ...]) -> None:
        generation = lease.generation + 1
        self._returned[lease.queue].append(Lease(lease.queue, lease.shard, generation, retried, generation))
        self._left[lease.queue] += 1

    def abandon(self, queue: int) -> None:
        """Lease nothing more of a queue: its endpoint refuses everything."""
        self._abandoned.add(queue)

    def leased_to(self, worker: str) -> list[Lease]:
        """The leases of a worker."""
        return [lease for holder, lease in self._leased.values() if holder == worker]

    def release(self, lease: Lease) -> bool:
        """Release a lease for another worker; False when it was released too often. Seal its journals first."""
        del self._leased[lease.key]
        if lease.generation - lease.first + 1 >= MOST_GENERATIONS:
            return False
        self._returned[lease.queue].append(replace(lease, generation=lease.generation + 1))
        return True
