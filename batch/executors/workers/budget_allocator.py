"""Allocates the budget of a run to its workers: never more than the whole in sum. Pure.

Each worker has a cap on what it may have spent and reserved. A lowered cap counts in full until the worker checks in again; for a dead
worker, everything that it might have spent counts as spent.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from batch.policy.limits.leased_budget import BudgetShare, BudgetUsage

# Less than any request costs, more than the rounding errors of a long run's sums.
ROUNDING_USD = 1e-9


@dataclass(slots=True)
class _Holder:
    allowed: float = 0.0
    exposed: float = 0.0
    spent: float = 0.0


class BudgetAllocator:
    """Allocates what is left of `cap` US dollars, of which `spent` were spent before this session."""

    def __init__(self, cap: float, spent: float) -> None:
        self._cap = cap
        self._before = spent
        self._holders: dict[str, _Holder] = {}
        self._short: dict[str, None] = {}
        self._exposed = 0.0
        self._spent = 0.0

    def change(self, cap: float) -> None:
        """Allow another sum from now on, or any (infinity); what workers were allowed before counts until they have checked in."""
        if cap == math.inf:
            # Workers count from the start when a sum is set again; those that have ended do not.
            self._before += self._spent - sum(holder.spent for holder in self._holders.values())
            self._holders, self._short, self._exposed, self._spent = {}, {}, 0.0, 0.0
        self._cap = cap

    @property
    def is_limited(self) -> bool:
        """Whether there is a sum to keep to."""
        return self._cap < math.inf

    def add_spent(self, usd: float) -> None:
        """Count what was spent before the budget was set."""
        self._before += usd

    @property
    def spent(self) -> float:
        """US dollars known to be spent."""
        return self._before + self._spent

    @property
    def exposed(self) -> float:
        """US dollars that the workers may have spent and reserved at worst, with those spent before."""
        return self._before + self._exposed

    def checkin(self, name: str, use: BudgetUsage) -> BudgetShare:
        """Return the worker's cap from now on: what it used, and half of its part of what is free.

        When a worker lacks more than is free, all others keep only what they used until it has got it, or it is clear that it cannot.
        """
        if not self.is_limited:
            return BudgetShare(math.inf, self.spent, over=False)
        holder = self._holders.setdefault(name, _Holder())
        self._spent += use.spent - holder.spent
        holder.spent = use.spent
        used = use.spent + use.reserved
        free = self._cap - self._before - (self._exposed - holder.exposed) - used
        if use.lacking > free + ROUNDING_USD:
            self._short.setdefault(name)
        else:
            self._short.pop(name, None)
        first = next(iter(self._short), name)
        more = 0.0 if name in self._short or first != name else max(use.lacking, free / (2 * len(self._holders)))
        allowed = used + max(0.0, more)
        exposed = max(holder.allowed, allowed, used)
        self._exposed += exposed - holder.exposed
        holder.allowed, holder.exposed = allowed, exposed
        over = use.lacking > 0 and self.spent + use.lacking > self._cap + ROUNDING_USD
        return BudgetShare(allowed, self.spent, over)

    def ended(self, name: str, use: BudgetUsage | None) -> None:
        """Settle a worker that ended; `use` is None when it died without a report."""
        holder = self._holders.pop(name, None)
        self._short.pop(name, None)
        if holder is None:
            return
        # A worker that died without a report may have spent all that it was allowed.
        used = holder.exposed if use is None else use.spent + use.reserved
        self._exposed += used - holder.exposed
        self._spent += used - holder.spent
