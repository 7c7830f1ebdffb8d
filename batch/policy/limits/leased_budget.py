"""A worker's part of the run's budget. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from batch.policy.budget import Spending


@dataclass(frozen=True, slots=True)
class BudgetUsage:
    """A worker's use of the run's budget, in US dollars: `spent` and still `reserved` by it, and what it lacks for its next request.

    `unrecorded` of what it spent, or may have spent, is in no outcome.
    """

    spent: float
    reserved: float
    lacking: float
    unrecorded: float


@dataclass(frozen=True, slots=True)
class BudgetShare:
    """What a worker may spend and reserve in total, and what the whole run has spent. `over`: the budget cannot cover what it lacks."""

    allowed: float
    spent: float
    over: bool


class LeasedBudget:
    """A part of the run's budget, as policy.spending.Budget wants it; `spent` is what is known of the whole run."""

    def __init__(self, cap: float) -> None:
        self.cap = cap
        self.spent = 0.0
        self._own = Spending(0.0)
        self._lacking = 0.0
        self._over = False

    def grant(self, share: BudgetShare) -> None:
        """Set what may be spent from now on."""
        self._own.cap = share.allowed
        self.spent, self._over = share.spent, share.over

    def reserve(self, amount: float) -> bool:
        """Reserve `amount` for a request; False if the worker's part is too small."""
        if not self._own.reserve(amount):
            self._lacking = max(self._lacking, amount)
            return False
        if amount >= self._lacking:
            self._lacking = 0.0
        return True

    def settle(self, reserved: float, actual: float) -> None:
        """Replace the amount `reserved` for a request by its `actual` cost."""
        self._own.settle(reserved, actual)

    def never(self, amount: float) -> bool:
        """Whether `amount` can never be reserved any more: only the coordinator knows, and has said so."""
        return self._over and self._own.never(amount)

    def take_over(self, spent: float, reserved: float, requests: int) -> None:
        """Begin with what was `spent` without this budget, and what its `requests` in flight may cost."""
        self._own.take_over(spent, reserved, requests)

    def use(self, unrecorded: float) -> BudgetUsage:
        """Return the use of the budget."""
        return BudgetUsage(self._own.spent, self._own.reserved, self._lacking, unrecorded)
