"""One budget spent by many workers: never passed, used up, and what a dead one might have spent counts."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from batch.executors.workers.budget_allocator import BudgetAllocator
from batch.policy.limits.leased_budget import BudgetShare, LeasedBudget


def live_purse(cap: float, workers: int, chance: random.Random) -> tuple[float, float]:
    """Spend from a purse until a worker is told that it is over, which ends the run; the dollars spent, and the dearest request."""
    purse = BudgetAllocator(cap, 0.0)
    budgets = [LeasedBudget(cap) for _ in range(workers)]
    flying: list[list[float]] = [[] for _ in budgets]
    spent = dearest = 0.0
    over = False
    wanted = [chance.uniform(0.01, 0.2) for _ in budgets]
    answers: dict[int, BudgetShare] = {}
    for _ in range(20_000):
        if over:
            break
        number = chance.randrange(workers)
        budget = budgets[number]
        match chance.randrange(3):
            case 0:
                if budget.reserve(wanted[number]):
                    flying[number].append(wanted[number])
                    dearest = max(dearest, wanted[number])
                    wanted[number] = chance.uniform(0.01, 0.2)
                elif not flying[number]:
                    over = budget.never(wanted[number])
            case 1 if flying[number]:
                reserved = flying[number].pop()
                actual = reserved * chance.uniform(0.3, 1.0)
                spent += actual
                budget.settle(reserved, actual)
            case _:
                # The answer is under way for a while, and the worker goes on under what it had.
                share = answers.pop(number, None)
                if share is not None:
                    budget.grant(share)
                else:
                    answers[number] = purse.checkin(f"w{number}", budget.use(0.0))
        assert spent + sum(map(sum, flying)) <= cap + 1e-6
    assert over
    return spent, dearest


@hypothesis_settings(max_examples=60)
@given(st.floats(0.0, 20.0), st.integers(1, 12), st.integers(0, 2**32))
def test_the_budget_is_never_passed_and_used_up(cap: float, workers: int, seed: int) -> None:
    """All workers together never spend or reserve more than the cap; it is over when less is left than a request."""
    spent, _ = live_purse(cap, workers, random.Random(seed))
    assert spent >= cap - 0.2 - 1e-6


def test_what_a_dead_worker_might_have_spent_counts_as_spent() -> None:
    """Nobody knows what became of its requests in flight, so they are not spent a second time."""
    purse = BudgetAllocator(1.0, 0.0)
    budget = LeasedBudget(1.0)
    budget.grant(purse.checkin("a", budget.use(0.0)))
    assert budget.reserve(0.5)
    purse.checkin("b", LeasedBudget(1.0).use(0.0))
    purse.ended("a", None)
    other = LeasedBudget(1.0)
    for _ in range(5):
        other.grant(purse.checkin("b", other.use(0.0)))
        assert not other.reserve(0.6)
