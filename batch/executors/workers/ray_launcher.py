"""Launches workers on a Ray cluster: keeps a worker on each CPU, fetches its reports, and replaces lost workers.

The coordinator stays with the driver, and the driver calls the workers: a failed call is all that must be known of a death, and a driver
that dies takes its actors with it. Ray does not restart the actors (max_restarts), since a restarted actor has lost its leases; the
launcher asks for a new one instead, which waits for room as a restarted one would.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any

import anyio
import anyio.to_thread
from anyio.abc import TaskGroup

from batch.engine.stop import Stop
from batch.executors.context import RunContext
from batch.executors.workers.coordinator import CHECKIN_INTERVAL_S, Coordinator
from batch.executors.workers.launcher import LAST_WORD_S, Launcher
from batch.executors.workers.messages import Assignment, Grant, Report
from batch.executors.workers.ray_actor import NodeCheck, RayWorker

# A worker that is silent for this long hangs or is cut off: other workers take over its rows.
SILENT_S = 30.0
# Seconds between looks at the size of the cluster, and seconds without a worker until the wait is reported.
LOOK_INTERVAL_S = 5.0
WAIT_NOTICE_S = 30.0
# After a lost worker, so that a node that is dying is not asked again at once.
PAUSE_S = 1.0
_LOSSES = {"ActorDiedError": "it died", "ActorUnavailableError": "it cannot be reached: its node may be dead"}
# This many lost workers without an outcome in between are no accident.
MOST_IDLE_DEATHS = 20


@dataclass(eq=False, slots=True)
class WorkerSlot:
    """A worker's place. `where` is empty until it has begun; `scope` ends the wait for that."""

    name: str
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    where: str = ""


class RayLauncher(Launcher):
    """Runs workers on a connected cluster: as many as the job's processes, or as the cluster has CPUs; no more than there are leases."""

    def __init__(self, ray: Any, coordinator: Coordinator, assignment: Assignment, context: RunContext, node_check: NodeCheck) -> None:
        super().__init__(coordinator, assignment, context)
        sharding = context.prepared.sharding
        assert sharding is not None  # noqa: S101 - run_workers has seen it
        self._ray = ray
        self._actor = ray.remote(num_cpus=1, max_restarts=0, scheduling_strategy="SPREAD")(RayWorker)
        self._node_check = node_check
        self._workers = sharding.processes
        self._most = len(sharding.shards) * len(context.groups)
        self._slots: set[WorkerSlot] = set()
        self._idle_deaths = self._outcomes = 0
        self._waiting_since = self._clock.monotonic()

    async def _start_workers(self, workers: TaskGroup) -> None:
        """Ask for as many workers as there is room for, until the run is over."""
        look_at, room = -math.inf, 1
        while not self._coordinator.over:
            now = self._clock.monotonic()
            if now >= look_at:
                look_at, room = now + LOOK_INTERVAL_S, await anyio.to_thread.run_sync(self._room)
                # The coordinator divides the last shards by the number of workers that will come.
                self._coordinator.expect(room)
            while len(self._slots) < room:
                slot = WorkerSlot(self._next_name())
                self._slots.add(slot)
                workers.start_soon(self._keep, slot)
            self._report_waiting(now)
            await anyio.sleep(CHECKIN_INTERVAL_S)
        for slot in self._slots:
            if not slot.where:
                slot.scope.cancel()

    def _room(self) -> int:
        cpus = int(self._ray.cluster_resources().get("CPU", 0)) if self._workers is None else self._workers
        return max(1, min(cpus, self._most))

    async def _keep(self, slot: WorkerSlot) -> None:
        """Run one worker until it ends or is lost."""
        actor = self._actor.remote()
        try:
            lost = await self._attend(slot, actor)
        finally:
            # A worker that is only believed dead, too: nothing that it writes counts from here on.
            self._ray.kill(actor)
        if lost is not None:
            await self._on_worker_lost(slot, lost)
            with slot.scope:
                await anyio.sleep(0 if self._coordinator.over else PAUSE_S)
        self._slots.discard(slot)

    async def _attend(self, slot: WorkerSlot, actor: Any) -> str | None:
        """Start the worker and answer its reports; returns how it was lost, None when it ended as asked."""
        exceptions = self._ray.exceptions
        try:
            with slot.scope:
                where = await actor.begin.remote(self._node_check, replace(self._assignment, worker=slot.name), self._keys)
                slot.where = where
            if not slot.where:
                return None
            grant: Grant | None = None
            while True:
                with anyio.move_on_after(self._patience) as waiting:
                    report: Report | None = await actor.exchange.remote(grant)
                if waiting.cancelled_caught:
                    return f"silent for {self._patience:.0f} s"
                if report is None:
                    return "it lost contact with this driver" if self._coordinator.knows(slot.name) else None
                grant = self._coordinator.checkin(report, self._clock.monotonic())
        except exceptions.RayTaskError as error:
            self._coordinator.end(Stop("refused", f"a Ray worker cannot continue: {_first_words(error.cause)}"), 0.0)
            return None
        except exceptions.RayError as error:
            if getattr(error, "actor_init_failed", False):
                self._coordinator.end(Stop("refused", f"no worker can be made on this Ray cluster: {_last_words(error)}"), 0.0)
            return _LOSSES.get(type(error).__name__) or _first_words(error)

    async def _on_worker_lost(self, slot: WorkerSlot, how: str) -> None:
        """Report the lost worker and release its leases."""
        await self._coordinator.lost(slot.name)
        if self._coordinator.over or not slot.where:
            return
        outcomes = sum(tally.ok + tally.failed for tally in self._coordinator.tallies.values())
        self._idle_deaths = self._idle_deaths + 1 if outcomes == self._outcomes else 1
        self._outcomes = outcomes
        if self._idle_deaths > MOST_IDLE_DEATHS:
            self._coordinator.end(
                Stop("refused", f"{self._idle_deaths} Ray workers were lost before any outcome, the last one: {how}"), 0.0
            )
        else:
            self._context.report(f"worker {slot.name} on {slot.where} is lost ({how}); other workers take over its rows")

    @property
    def _patience(self) -> float:
        return SILENT_S if self._coordinator.stop is None else max(SILENT_S, self._coordinator.grace_s + LAST_WORD_S)

    def _report_waiting(self, now: float) -> None:
        if any(slot.where for slot in self._slots):
            self._waiting_since = now
        elif now - self._waiting_since > WAIT_NOTICE_S:
            self._waiting_since = now
            self._context.report("waiting for a free CPU on the Ray cluster (`ray status` shows what uses them)")


def _first_words(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0]


def _last_words(error: BaseException) -> str:
    return str(error).strip().splitlines()[-1]
