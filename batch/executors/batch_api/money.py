"""What batches cost, and what they may cost at most: reserved before they are submitted, settled when they are collected."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from batch.engine.costs import Charges
from batch.engine.stop import Stop
from batch.engine.work import Work
from batch.executors.batch_prices import batch_price
from batch.policy.budget import Budget, exhausted
from batch.settings import Variant


class BatchMoney:
    """The batch prices of a run's variants; `budget` is that of the whole run, None where the job sets no bound."""

    def __init__(self, variants: Sequence[Variant], budget: Budget | None) -> None:
        now = datetime.now(UTC)
        self._charges = Charges({v.name: price for v in variants if (price := batch_price(v, now)) is not None}, variants)
        self._budget = budget

    def most(self, work: Work) -> float:
        """Return the US dollars that a request may cost at most."""
        return self._charges.most(work)

    def reserve(self, amount: float) -> bool:
        """Set an amount aside; False when that could overspend."""
        return self._budget is None or self._budget.reserve(amount)

    def is_spent(self, amount: float) -> bool:
        """Whether the amount can never be reserved, whatever open batches cost."""
        return self._budget is not None and self._budget.never(amount)

    def exhausted(self, amount: float) -> Stop:
        """Say why a request is not submitted."""
        assert self._budget is not None  # noqa: S101 - without a budget none is spent
        return Stop("budget", exhausted(self._budget, amount), self._budget.spent + amount)

    def settle(self, reserved: float, paid: float) -> None:
        """Replace what was reserved for a batch by what it cost."""
        if self._budget is not None:
            self._budget.settle(reserved, paid)

    def paid(self, work: Work, usage: Mapping[str, Any] | None, *, answered: bool) -> float:
        """Add to `work` what a collected request cost, and return it. An answer without usage counts for what it may have cost at most."""
        return self._charges.add(work, usage, answered=answered, may_be_billed=False)
