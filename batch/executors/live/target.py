"""What commands steer in a live run: the session of this process."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import anyio.to_thread

from batch.engine import endpoints
from batch.engine.costs import Costs
from batch.engine.feed import Plan
from batch.engine.session import Session
from batch.engine.steering import Steering
from batch.engine.work import Work
from batch.executors.context import RunContext
from batch.executors.control import Retried, counts_of
from batch.executors.costs import require_prices, run_spent_usd
from batch.executors.retry import FailedTask, find_failed
from batch.policy.budget import Spending


class LiveTarget:
    """Steers one session; `plans` are those of all its variants."""

    def __init__(self, context: RunContext, session: Session, costs: Costs, plans: Sequence[Plan]) -> None:
        self._context = context
        self._session = session
        self._costs = costs
        self._plans = plans

    async def steer(self, steering: Steering) -> None:
        """Keep to other limits, and pause or resume. Raises ValueError for a budget without prices."""
        await self._set_budget(steering.max_cost_usd)
        wanted = steering.applied(self._context.settings)
        allowed = endpoints.allow_connections(wanted, sum(len(group.providers) for group in self._context.groups), self._context.report)
        self._session.steer(replace(steering, concurrency=allowed.concurrency))

    async def retry(self, ids: Sequence[str]) -> Retried:
        """Send the failed tasks of these rows again."""
        await self._session.sync()
        context = self._context
        found = await anyio.to_thread.run_sync(find_failed, context.prepared, self._plans, context.feed_options, ids, context.control.began)
        works = [_work(failed) for failed in found.failed]
        refused = self._session.retry(works)
        problems = list(found.problems)
        if refused:
            names = ", ".join(dict.fromkeys(work.task.id for work in refused))
            problems.append(f"on their way already, or their endpoint has finished or is stopped: {names}")
        return Retried(len(works) - len(refused), problems)

    def state(self) -> dict[str, Any]:
        """Return the counts by variant, and the spent part of the budget."""
        budget = self._costs.budget
        return {"variants": counts_of(self._session.tallies), "spent_usd": None if budget is None else budget.spent}

    async def _set_budget(self, cap: float | None) -> None:
        costs, budget = self._costs, self._costs.budget
        if cap is None:
            costs.change_budget(None)
        elif budget is not None:
            budget.cap = cap
        else:
            require_prices(costs.unpriced)
            await self._session.sync()
            # Read before the journals, which get more outcomes meanwhile: a budget errs on the safe side.
            recorded = costs.recorded_usd
            spent = await anyio.to_thread.run_sync(partial(run_spent_usd, self._context.prepared.directory))
            costs.change_budget(Spending(cap, max(0.0, spent - recorded)))


def _work(failed: FailedTask) -> Work:
    if failed.code is None:
        return Work(failed.task, previous="failed")
    return Work(failed.task, replaces=failed.code)
