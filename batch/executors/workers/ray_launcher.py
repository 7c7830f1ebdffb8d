"""The launcher on a Ray cluster: keeps a worker on each CPU, fetches their reports, and puts others in the place of those that are lost.

The coordinator stays with the driver, and the driver calls the workers, not they the driver: a call that fails is then all that has to
be known of a death, a driver that dies takes its actors with it, and a message takes one way only. Ray does not restart the actors
(max_restarts): one that came back would hold nothing of what its name stands for. Another one is asked for instead, which waits for room
as a restarted one would.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import anyio
import anyio.to_thread
from anyio.abc import TaskGroup

from batch.clock import Clock
from batch.engine.stop import Stop
from batch.events import Observer, Progressed
from batch.executors.workers.coordinator import CHECKIN_INTERVAL_S, Coordinator
from batch.executors.workers.messages import Assignment, Grant, Report
from batch.executors.workers.ray_actor import NodeCheck, RayWorker
from batch.policy.redaction import ApiKeys

# A worker that has not been heard of for so long hangs, or is cut off: its rows go to others.
SILENT_S = 30.0
LAST_WORD_S = 10.0
# How often the launcher looks whether the cluster has become larger, and after which time without a worker it says what it waits for.
LOOK_INTERVAL_S = 5.0
WAIT_NOTICE_S = 30.0
# After a lost worker, so that a node that is dying is not asked again at once.
PAUSE_S = 1.0
_LOSSES = {"ActorDiedError": "it died", "ActorUnavailableError": "it cannot be reached: its node may be dead"}
# So many lost workers without an outcome in between are no accident.
MOST_IDLE_DEATHS = 20


@dataclass(eq=False, slots=True)
class WorkerSlot:
    """A worker's place. `where` is empty until it has begun; `scope` ends the wait for that."""

    name: str
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    where: str = ""


class RayLauncher:
    """Runs a session over workers on a connected cluster: `workers` of them, or (None) as many as it has CPUs; at most `most`."""

    def __init__(
        self,
        ray: Any,
        coordinator: Coordinator,
        assignment: Assignment,
        keys: ApiKeys,
        brief: NodeCheck,
        *,
        workers: int | None,
        most: int,
        clock: Clock,
        observers: Sequence[Observer],
        notice: Callable[[str], None],
    ) -> None:
        self._ray = ray
        self._actor = ray.remote(num_cpus=1, max_restarts=0, scheduling_strategy="SPREAD")(RayWorker)
        self._coordinator = coordinator
        self._assignment = assignment
        self._keys = keys
        self._brief = brief
        self._workers = workers
        self._most = most
        self._clock = clock
        self._observers = observers
        self._notice = notice
        self._seats: set[WorkerSlot] = set()
        self._started = self._idle_deaths = self._outcomes = 0
        self._waiting_since = clock.monotonic()

    async def run(self) -> Stop | None:
        """Send what is to be sent; returns why the run ended early, None when every task has its outcome, on disk."""
        async with anyio.create_task_group() as helpers:
            helpers.start_soon(self._report_regularly)
            async with anyio.create_task_group() as workers:
                await self._fill(workers)
            helpers.cancel_scope.cancel()
        return None if self._coordinator.finished else self._coordinator.stop

    async def _fill(self, workers: TaskGroup) -> None:
        """Ask for as many workers as there is room for, until it is over."""
        look_at, room = -math.inf, 1
        while not self._coordinator.over:
            now = self._clock.monotonic()
            if now >= look_at:
                look_at, room = now + LOOK_INTERVAL_S, await anyio.to_thread.run_sync(self._room)
                self._coordinator.expect(room)
            while len(self._seats) < room:
                self._started += 1
                seat = WorkerSlot(f"w{self._started}")
                self._seats.add(seat)
                workers.start_soon(self._keep, seat)
            self._tell_of_waiting(now)
            await anyio.sleep(CHECKIN_INTERVAL_S)
        for seat in self._seats:
            if not seat.where:
                seat.scope.cancel()

    def _room(self) -> int:
        cpus = int(self._ray.cluster_resources().get("CPU", 0)) if self._workers is None else self._workers
        return max(1, min(cpus, self._most))

    async def _keep(self, seat: WorkerSlot) -> None:
        """One worker, until it is over or lost."""
        actor = self._actor.remote()
        try:
            lost = await self._attend(seat, actor)
        finally:
            # Also whoever is only believed dead: nothing that it writes would count.
            self._ray.kill(actor)
        if lost is not None:
            await self._mourn(seat, lost)
            with seat.scope:
                await anyio.sleep(0 if self._coordinator.over else PAUSE_S)
        self._seats.discard(seat)

    async def _attend(self, seat: WorkerSlot, actor: Any) -> str | None:
        """Let it begin, and answer its reports; returns how it was lost, None when it has ended as it was told to."""
        exceptions = self._ray.exceptions
        try:
            with seat.scope:
                where = await actor.begin.remote(self._brief, replace(self._assignment, worker=seat.name), self._keys)
                seat.where = where
            if not seat.where:
                return None
            grant: Grant | None = None
            while True:
                with anyio.move_on_after(self._patience) as waiting:
                    report: Report | None = await actor.exchange.remote(grant)
                if waiting.cancelled_caught:
                    return f"not heard of for {self._patience:.0f} s"
                if report is None:
                    return "it heard nothing of this driver" if self._coordinator.knows(seat.name) else None
                grant = self._coordinator.checkin(report, self._clock.monotonic())
        except exceptions.RayTaskError as error:
            self._coordinator.end(Stop("refused", f"a Ray worker cannot go on: {_first_words(error.cause)}"), 0.0)
            return None
        except exceptions.RayError as error:
            if getattr(error, "actor_init_failed", False):
                self._coordinator.end(Stop("refused", f"no worker can be made on this Ray cluster: {_last_words(error)}"), 0.0)
            return _LOSSES.get(type(error).__name__) or _first_words(error)

    async def _mourn(self, seat: WorkerSlot, how: str) -> None:
        """Say so, and let others have its rows."""
        await self._coordinator.lost(seat.name)
        if self._coordinator.over or not seat.where:
            return
        outcomes = sum(tally.ok + tally.failed for tally in self._coordinator.tallies.values())
        self._idle_deaths = self._idle_deaths + 1 if outcomes == self._outcomes else 1
        self._outcomes = outcomes
        if self._idle_deaths > MOST_IDLE_DEATHS:
            self._coordinator.end(Stop("refused", f"{self._idle_deaths} Ray workers were lost with nothing done, the last one: {how}"), 0.0)
        else:
            self._notice(f"worker {seat.name} on {seat.where} is lost ({how}); others go on with its rows")

    @property
    def _patience(self) -> float:
        return SILENT_S if self._coordinator.stop is None else max(SILENT_S, self._coordinator.grace_s + LAST_WORD_S)

    def _tell_of_waiting(self, now: float) -> None:
        if any(seat.where for seat in self._seats):
            self._waiting_since = now
        elif now - self._waiting_since > WAIT_NOTICE_S:
            self._waiting_since = now
            self._notice("waiting for a free CPU on the Ray cluster (`ray status` shows who has them)")

    async def _report_regularly(self) -> None:
        while True:
            for observer in self._observers:
                observer.notify(Progressed(self._coordinator.tallies, self._coordinator.sharing))
            await anyio.sleep(CHECKIN_INTERVAL_S)


def _first_words(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0]


def _last_words(error: BaseException) -> str:
    return str(error).strip().splitlines()[-1]
