"""Counts what the requests of a run cost, by their usage, and reserves what they may cost from the budget before they are sent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from batch.engine.stop import Stop
from batch.engine.work import Work
from batch.policy.budget import Budget, exhausted
from batch.policy.pricing import WorstCase, cost_of, difference
from batch.policy.tiers import STANDARD
from batch.policy.verdicts import Action, Verdict
from batch.records import Exchange
from batch.settings import Price, Variant


class Charges:
    """The prices of a run's variants by name: what requests cost by them, and what they may cost at most."""

    def __init__(self, prices: Mapping[str, Price], variants: Sequence[Variant]) -> None:
        self._prices = prices
        self._worst = {v.name: WorstCase(prices[v.name], v) for v in variants if v.name in prices}
        # What a row costs that falls back to the standard tier, where that has another price.
        tiered = [v for v in variants if v.name in prices and prices[v.name].by_tier]
        self._worst_standard = {v.name: WorstCase(prices[v.name].at_tier(STANDARD), v) for v in tiered}

    def most(self, work: Work) -> float:
        """Return the US dollars that `work` may cost at most; 0 without a price."""
        variant = work.task.variant
        worst = (self._worst_standard.get(variant) if work.fell_back else None) or self._worst.get(variant)
        return worst.dollars(work.request) if worst is not None else 0.0

    def add(self, work: Work, usage: Mapping[str, Any] | None, *, answered: bool, may_be_billed: bool, tier: str | None = None) -> float:
        """Add to `work` what an ended attempt cost, or may have cost, and return it; `tier` is the service tier that answered.

        An attempt that may have been billed, but whose usage was not reported, counts for what it may have cost at most.
        """
        variant = work.task.variant
        price = self._prices.get(variant)
        if price is not None and price.by_tier:
            price = price.at_tier(tier or (STANDARD if work.fell_back else None))
        paid = cost_of(price, usage)
        if paid is not None:
            work.cost_usd = (work.cost_usd or 0.0) + paid
            if answered and variant in self._worst:
                self._worst[variant].observe(work.request, usage)
                if variant in self._worst_standard:
                    self._worst_standard[variant].observe(work.request, usage)
            return paid
        paid = self.most(work) if answered or may_be_billed else 0.0
        work.extra_usd += paid
        if answered:
            # The known cost of earlier attempts is not the answer's.
            work.extra_usd, work.cost_usd = work.extra_usd + (work.cost_usd or 0.0), None
        return paid


class Costs:
    """The prices of a run's variants, and its budget, which is None where the job sets no bound."""

    def __init__(self, prices: Mapping[str, Price], variants: Sequence[Variant], budget: Budget | None = None) -> None:
        self._charges = Charges(prices, variants)
        self._unpriced = [variant.name for variant in variants if variant.name not in prices]
        self._budget = budget
        self._paid = self._recorded = self._in_flight = 0.0
        self._open = 0

    def change_budget(self, budget: Budget | None) -> None:
        """Spend from another budget, or without one. It gets what this session has spent, and what is in flight, as reserved."""
        self._budget = budget
        if budget is not None:
            budget.take_over(self._paid, self._in_flight, self._open)

    @property
    def unpriced(self) -> list[str]:
        """Return the variants without a known price, of which no budget can be kept."""
        return self._unpriced

    @property
    def recorded_usd(self) -> float:
        """Return the US dollars of this session's outcomes that are in the journal."""
        return self._recorded

    @property
    def budget(self) -> Budget | None:
        """Return the budget; None where none is set."""
        return self._budget

    @property
    def unrecorded(self) -> float:
        """US dollars of this session that are in no outcome: of tasks left without one, and of abandoned requests."""
        return difference(self._paid + self._in_flight, self._recorded)

    def reserve(self, work: Work) -> bool:
        """Reserve what `work` may cost; False while that could exceed the budget."""
        if self._budget is None:
            return True
        work.reserved = self._charges.most(work)
        return self._budget.reserve(work.reserved)

    def is_spent(self, work: Work) -> bool:
        """Return whether the budget can never cover `work`, however the requests in flight end."""
        return self._budget is not None and self._budget.never(self._charges.most(work))

    def exhausted(self, work: Work) -> Stop:
        """Return why `work` is not sent."""
        assert self._budget is not None  # noqa: S101 - without a budget none is spent
        amount = self._charges.most(work)
        return Stop("budget", exhausted(self._budget, amount), self._budget.spent + amount)

    def sent(self, work: Work) -> None:
        """Count a request that leaves."""
        if self._budget is None:
            work.reserved = self._charges.most(work)
        self._in_flight += work.reserved
        self._open += 1

    def ended(self, work: Work, exchange: Exchange, verdict: Verdict) -> None:
        """Add to `work` what an ended attempt cost, or may have cost, and settle what was reserved for it."""
        reply = exchange.reply
        usage, tier = (reply.usage, reply.tier) if reply else (None, None)
        answered = verdict.action is Action.DONE
        paid = self._charges.add(work, usage, answered=answered, may_be_billed=verdict.may_be_billed_twice, tier=tier)
        self._paid += paid
        self._in_flight -= work.reserved
        self._open -= 1
        if self._budget is not None:
            self._budget.settle(work.reserved, paid)
        work.reserved = 0.0

    def given_up(self, work: Work, reserved: float) -> None:
        """Settle what was `reserved` for an attempt of `work` that was given up in flight: it may have cost that much."""
        work.extra_usd += reserved
        self._paid += reserved
        self._in_flight -= reserved
        self._open -= 1
        if self._budget is not None:
            self._budget.settle(reserved, reserved)

    def recorded(self, dollars: float) -> None:
        """Count an outcome of this cost that is in the journal."""
        self._recorded += dollars
