"""The budget of a run in US dollars: what may be spent, what is spent, and what requests in flight may still cost."""

from __future__ import annotations

from typing import Protocol

from batch.policy.dollars import usd

# Sums of many small amounts are off by less than this; a smaller excess is rounding.
_ROUNDING_USD = 1e-9


class Budget(Protocol):
    """Grants money to requests before they are sent. Amounts are US dollars; `cap` and `spent` are those of the whole run."""

    cap: float
    spent: float

    def reserve(self, amount: float) -> bool:
        """Set `amount` aside for a request; False when that could overspend."""

    def settle(self, reserved: float, actual: float) -> None:
        """Replace the amount `reserved` for a request by its `actual` cost."""

    def never(self, amount: float) -> bool:
        """Whether `amount` can never be reserved any more, even when all that is in flight costs nothing."""

    def take_over(self, spent: float, reserved: float, requests: int) -> None:
        """Begin with what was `spent` without this budget, and what its `requests` in flight may cost."""


class Spending:
    """A budget of one process: `spent` and `reserved` together never pass `cap` by what `reserve` granted.

    `spent` begins with what earlier sessions spent. It passes the cap only where a request costs more than was reserved for it.
    """

    def __init__(self, cap: float, spent: float = 0.0) -> None:
        self.cap = cap
        self.spent = spent
        self.reserved = 0.0
        self._open = 0

    def reserve(self, amount: float) -> bool:
        """Set `amount` aside for a request; False when that could overspend."""
        if self.spent + self.reserved + amount > self.cap + _ROUNDING_USD:
            return False
        self.reserved += amount
        self._open += 1
        return True

    def settle(self, reserved: float, actual: float) -> None:
        """Replace the amount `reserved` for a request by its `actual` cost."""
        self.spent += actual
        self._open -= 1
        # Nothing in flight reserves nothing: the rounding errors of many sums end here.
        self.reserved = self.reserved - reserved if self._open else 0.0

    def never(self, amount: float) -> bool:
        """Whether `amount` can never be reserved any more, even when all that is in flight costs nothing."""
        return self.spent + amount > self.cap + _ROUNDING_USD

    def take_over(self, spent: float, reserved: float, requests: int) -> None:
        """Begin with what was `spent` without this budget, and what its `requests` in flight may cost."""
        self.spent += spent
        self.reserved, self._open = reserved, requests


def exhausted(budget: Budget, amount: float) -> str:
    """Say why a request that may cost `amount` is not sent."""
    return (
        f"the budget is spent: of run.max_cost_usd = {budget.cap:g}, {usd(budget.spent)} used (earlier sessions"
        f" included), and the next request may cost {usd(amount)}"
    )
