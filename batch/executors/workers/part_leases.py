"""Assigns parts of the outputs to workers: each as soon as all rows of it have their outcome. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from batch.executors.shards import Shard
from batch.executors.workers.messages import LeaseKey
from batch.results.parts import PartPlan


class PartLeases:
    """The parts of a run that workers write while it sends; `shards` are those with rows left, each to be done for all `queues`.

    A worker writes one part at a time. A part whose worker is lost goes to another. What is not written in time is left to the driver.
    """

    def __init__(self, plan: PartPlan | None, shards: Sequence[Shard], queues: int) -> None:
        self._plan = plan
        self._shards = {shard.number: shard for shard in shards}
        self._done: set[tuple[int, int]] = set()
        self._at: dict[str, int] = {}
        self._open = [0] * (plan.count if plan is not None else 0)
        for shard in shards if plan is not None else ():
            for number in self._parts_of(shard):
                self._open[number] += queues
        # Rows of earlier sessions: their parts may stand there already, which the worker sees.
        self._ready = deque(number for number, left in enumerate(self._open) if not left)

    def reported(self, worker: str, done: Sequence[LeaseKey], parts: Sequence[int]) -> None:
        """Take in what a worker has reported: leases that count as done, and parts that it is done with."""
        for queue, shard, _ in done:
            self.shard_done(queue, shard)
        for number in parts:
            self.ended(worker, number)

    def shard_done(self, queue: int, shard: int) -> None:
        """Count a shard as done for a queue; a second time, after its failures were sent again, changes nothing."""
        if self._plan is None or (queue, shard) in self._done or shard not in self._shards:
            return
        self._done.add((queue, shard))
        for number in self._parts_of(self._shards[shard]):
            self._open[number] -= 1
            if not self._open[number]:
                self._ready.append(number)

    def take(self, worker: str) -> int | None:
        """Assign the next part to a worker without one; None when there is none."""
        if not self._ready or worker in self._at:
            return None
        number = self._at[worker] = self._ready.popleft()
        return number

    def ended(self, worker: str, number: int) -> None:
        """Note that a worker has written its part, or that it could not: that is reported at the end of the run."""
        if self._at.get(worker) == number:
            del self._at[worker]

    def lost(self, worker: str) -> None:
        """Give the part of a worker that is gone to another."""
        if worker in self._at:
            self._ready.appendleft(self._at.pop(worker))

    def _parts_of(self, shard: Shard) -> range:
        rows = self._plan.rows if self._plan is not None else 1
        return range(shard.start // rows, min(len(self._open), (shard.stop - 1) // rows + 1))
