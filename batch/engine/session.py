"""Runs a session: the pools of all endpoints side by side, the regular sync of the journals, and the progress reports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import anyio

from batch.clock import Clock
from batch.engine.costs import Costs
from batch.engine.endpoint_queue import EndpointQueue
from batch.engine.recorder import Recorder
from batch.engine.steering import Steering
from batch.engine.stop import Stop
from batch.engine.task_keys import key_of
from batch.engine.work import Work
from batch.engine.worker_pool import WorkerPool
from batch.errors import StorageError
from batch.events import Event, Notice, Observer, Progressed
from batch.settings import RunSettings
from batch.tally import Tally

# With durability = "group" a power loss takes at most about this much of what was answered.
SYNC_INTERVAL_S = 0.5
REPORT_INTERVAL_S = 0.25
# A progress report that is later than this is mentioned.
LATE_S = 2.0


class Session:
    """Runs the endpoint queues of a job to their end. Not reusable."""

    def __init__(
        self,
        queues: Sequence[EndpointQueue],
        recorder: Recorder,
        costs: Costs,
        run: RunSettings,
        *,
        clock: Clock,
        observers: Sequence[Observer],
    ) -> None:
        self._recorder = recorder
        self._run = run
        self._clock = clock
        self._observers = observers
        self._stop: Stop | None = None
        self._retried: dict[tuple[str, int, int], Work] = {}
        self.pools: Sequence[WorkerPool] = [
            WorkerPool(queue, recorder, costs, run, clock=clock, notify=self._notify, stop_run=self._stop_pools) for queue in queues
        ]

    @property
    def tallies(self) -> Mapping[str, Tally]:
        """The counts by variant; updated in place."""
        return self._recorder.tallies

    async def execute(self) -> Stop | None:
        """Send all work. Returns why the run ended early; None if every task has its outcome, on disk."""
        async with anyio.create_task_group() as helpers:
            helpers.start_soon(self._sync_regularly)
            helpers.start_soon(self._report_regularly)
            async with anyio.create_task_group() as pools:
                for pool in self.pools:
                    pools.start_soon(pool.run)
            helpers.cancel_scope.cancel()
        # The last sync: also where the run is cancelled, what was answered becomes durable.
        with anyio.CancelScope(shield=True):
            await self._sync()
        stopped = [pool.stopped for pool in self.pools if pool.stopped is not None]
        if self._stop is not None and (stopped or self._stop.cause == "storage"):
            return self._stop
        return next(iter(stopped), None)

    @property
    def stopped(self) -> bool:
        """Whether the session was stopped, or one of its pools stopped by itself."""
        return self._stop is not None or any(pool.stopped is not None for pool in self.pools)

    def stop(self, stop: Stop, grace_s: float) -> None:
        """Read and send nothing more; requests in flight get `grace_s` to end."""
        self._stop_pools(stop, grace_s)

    def skip(self, variant: str) -> None:
        """Send no more of a variant; its requests in flight end."""
        for pool in self.pools:
            pool.skip(variant)

    def steer(self, steering: Steering) -> None:
        """Keep to other limits in all pools, and pause or resume them. The budget is the costs' own."""
        for pool in self.pools:
            pool.steer(steering)

    def retry(self, works: Sequence[Work]) -> list[Work]:
        """Send failed tasks again, before further rows. Returns those that are not sent: their pool has ended, or they are on their way."""
        refused: list[Work] = []
        pools = {variant: pool for pool in self.pools for variant in pool.variants}
        by_pool: dict[WorkerPool, list[Work]] = {}
        for work in works:
            home = pools.get(work.task.variant)
            if home is None or self._is_on_its_way(work):
                refused.append(work)
            else:
                by_pool.setdefault(home, []).append(work)
        for pool, waiting in by_pool.items():
            if pool.add(waiting):
                self._retried |= {key_of(work.task): work for work in waiting}
                for work in waiting:
                    self.tallies[work.task.variant].again += 1
            else:
                refused += waiting
        return refused

    def _is_on_its_way(self, work: Work) -> bool:
        before = self._retried.get(key_of(work.task))
        return before is not None and not before.is_recorded

    async def sync(self) -> None:
        """Make durable what was answered so far."""
        await self._sync()

    def drain(self) -> None:
        """Read and send nothing more; let the requests in flight end, up to the grace time."""
        self._stop_pools(Stop("interrupted", "interrupted"), self._run.grace_s)

    def abort(self) -> None:
        """Stop at once; requests in flight are abandoned and will be sent again."""
        self._stop_pools(Stop("interrupted", "interrupted"), 0.0)

    def _stop_pools(self, stop: Stop, grace_s: float) -> None:
        # A disk error is reported in any case: the answers in flight could not be kept.
        if self._stop is None or (stop.cause == "storage" and self._stop.cause != "storage"):
            self._stop = stop
        for pool in self.pools:
            pool.stop(stop, grace_s)

    async def _sync_regularly(self) -> None:
        while True:
            await anyio.sleep(SYNC_INTERVAL_S)
            await self._sync(due=True)

    async def _sync(self, *, due: bool = False) -> None:
        try:
            await self._recorder.sync(due=due)
        except StorageError as error:
            # Answers that cannot be kept are not waited for.
            self._stop_pools(Stop("storage", str(error)), 0.0)

    async def _report_regularly(self) -> None:
        while True:
            # Before the first wait, so that a display shows the counts of earlier sessions at once.
            self._notify(Progressed(self.tallies))
            for pool in self.pools:
                pool.monitor.sample(self._recorder.is_behind)
            due = self._clock.monotonic() + REPORT_INTERVAL_S
            await anyio.sleep(REPORT_INTERVAL_S)
            late = self._clock.monotonic() - due
            if late > LATE_S:
                self._notice(f"this process stood still for {late:,.0f} s: it was suspended, or the machine is overloaded")

    def _notice(self, text: str) -> None:
        self._notify(Notice(text))

    def _notify(self, event: Event) -> None:
        for observer in self._observers:
            observer.notify(event)
