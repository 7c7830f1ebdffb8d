"""Base of the launchers for local processes and Ray: starts workers, answers their check-ins, replaces lost ones."""

from __future__ import annotations

from abc import ABC, abstractmethod

import anyio
from anyio.abc import TaskGroup

from batch.engine.stop import Stop
from batch.events import Progressed
from batch.executors.context import RunContext
from batch.executors.workers.coordinator import CHECKIN_INTERVAL_S, Coordinator
from batch.executors.workers.messages import Assignment

# What a worker gets beyond the grace time to end when the run ends.
LAST_WORD_S = 10.0


class Launcher(ABC):
    """Runs the workers of one run. Each gets the assignment under a name of its own."""

    def __init__(self, coordinator: Coordinator, assignment: Assignment, context: RunContext) -> None:
        self._coordinator = coordinator
        self._assignment = assignment
        self._keys = context.keys
        self._clock = context.clock
        self._context = context
        self._started = 0

    async def run(self) -> Stop | None:
        """Send what is left; returns why the run ended early, None when every task has its outcome, on disk."""
        async with anyio.create_task_group() as helpers:
            helpers.start_soon(self._report_regularly)
            async with anyio.create_task_group() as workers:
                await self._start_workers(workers)
            helpers.cancel_scope.cancel()
        return self._coordinator.stopped_by

    @abstractmethod
    async def _start_workers(self, workers: TaskGroup) -> None:
        """Start workers in the task group, each until it ends or is replaced."""

    def _next_name(self) -> str:
        self._started += 1
        return f"w{self._started}"

    async def _report_regularly(self) -> None:
        while True:
            self._context.notify(Progressed(self._coordinator.tallies, self._coordinator.sharing))
            await anyio.sleep(CHECKIN_INTERVAL_S)
