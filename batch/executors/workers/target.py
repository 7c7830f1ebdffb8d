"""What commands steer in a run of several workers: their coordinator, which passes it all to them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import anyio.to_thread

from batch.engine.steering import Steering
from batch.executors.context import RunContext
from batch.executors.control import Retried, counts_of
from batch.executors.costs import prices_of, require_prices, run_spent_usd
from batch.executors.retry import FailedTask, find_failed
from batch.executors.workers.coordinator import Coordinator
from batch.executors.workers.messages import RetriedTask


class WorkersTarget:
    """Steers the workers of one run through their coordinator."""

    def __init__(self, context: RunContext, coordinator: Coordinator) -> None:
        self._context = context
        self._coordinator = coordinator
        self._has_spent = context.settings.max_cost_usd is not None

    async def steer(self, steering: Steering) -> None:
        """Keep to other limits, and pause or resume. Raises ValueError for a budget without prices."""
        job = self._context.job
        if steering.max_cost_usd is not None:
            prices = prices_of(job)
            require_prices([variant.name for variant in job.variants if variant.name not in prices])
            await self._count_spent()
        self._coordinator.steer(steering, self._context.clock.monotonic())

    async def retry(self, ids: Sequence[str]) -> Retried:
        """Send the failed tasks of these rows again, each with the next lease of its shard."""
        context = self._context
        plans = [plan for group in context.groups for plan in context.plans(group, stream=context.settings.stream)]
        found = await anyio.to_thread.run_sync(find_failed, context.prepared, plans, context.feed_options, ids, context.control.began)
        queues = {variant.name: number for number, group in enumerate(context.groups) for variant in group.variants}
        tasks: dict[int, list[RetriedTask]] = {}
        for failed in found.failed:
            tasks.setdefault(queues[failed.task.variant], []).append(_retried(failed))
        accepted = self._coordinator.retry(tasks)
        problems = list(found.problems)
        if rest := len(found.failed) - accepted:
            problems.append(f"{rest:,} tasks are on their way already, or their endpoint has finished or is stopped")
        return Retried(accepted, problems)

    def state(self) -> dict[str, Any]:
        """Return the counts by variant, the workers, and the spent part of the budget."""
        coordinator = self._coordinator
        counts = counts_of(coordinator.tallies)
        return {"variants": counts, "workers": coordinator.sharing.workers, "spent_usd": coordinator.budget.spent}

    async def _count_spent(self) -> None:
        """Add what earlier sessions have spent, which a run without a budget does not look up."""
        if self._has_spent:
            return
        self._has_spent = True
        prepared = self._context.prepared
        numbers = {} if prepared.sharding is None else prepared.sharding.numbers
        before = {variant.slug: numbers[variant.name] for variant in prepared.job.variants if variant.name in numbers}
        spent = await anyio.to_thread.run_sync(partial(run_spent_usd, prepared.directory, before))
        self._coordinator.budget.add_spent(spent)


def _retried(failed: FailedTask) -> RetriedTask:
    task = failed.task
    return RetriedTask(task.variant, task.ordinal, task.id, task.repeat, failed.code)
