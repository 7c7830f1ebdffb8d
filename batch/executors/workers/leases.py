"""Which worker has which shard. Pure.

A shard is taken for one endpoint (`lane`) at a time: what a fast endpoint has finished need not wait for a slow one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from batch.executors.shards import Shard
from batch.executors.workers.messages import Lease, LeaseKey

MOST_GENERATIONS = 5
"""A shard that so many workers died with is not handed on: it may be what they died of."""


class Leases:
    """All shards of a run for each of its lanes: not taken yet, in somebody's hands, given back by a death, or done."""

    def __init__(self, lanes: int, shards: Sequence[Shard]) -> None:
        self._shards = shards
        self._next = [0] * lanes
        self._returned: list[deque[Lease]] = [deque() for _ in range(lanes)]
        self._held: dict[LeaseKey, tuple[str, Lease]] = {}
        self._left = self.count = lanes * len(shards)

    @property
    def finished(self) -> bool:
        """Whether all are done."""
        return self._left == 0

    @property
    def done_count(self) -> int:
        """How many are done."""
        return self.count - self._left

    def untaken(self, lane: int) -> int:
        """How many can be taken at the moment."""
        return len(self._shards) - self._next[lane] + len(self._returned[lane])

    def take(self, worker: str, lane: int) -> Lease | None:
        """The next shard, those of the dead first; None when there is none."""
        if self._returned[lane]:
            lease = self._returned[lane].popleft()
        elif self._next[lane] < len(self._shards):
            lease = Lease(lane, self._shards[self._next[lane]], 1)
            self._next[lane] += 1
        else:
            return None
        self._held[lease.key] = worker, lease
        return lease

    def done(self, worker: str, key: LeaseKey) -> bool:
        """The worker has finished it; False when it is not (any more) his."""
        if self._held.get(key, ("", None))[0] != worker:
            return False
        del self._held[key]
        self._left -= 1
        return True

    def held_by(self, worker: str) -> list[Lease]:
        """What is in his hands."""
        return [lease for holder, lease in self._held.values() if holder == worker]

    def hand_on(self, lease: Lease) -> bool:
        """Take it from its holder for somebody else; False when it has been handed on too often. Seal its journals first."""
        del self._held[lease.key]
        if lease.generation >= MOST_GENERATIONS:
            return False
        self._returned[lease.lane].append(Lease(lease.lane, lease.shard, lease.generation + 1))
        return True
