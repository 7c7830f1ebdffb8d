"""The budget's policy: whatever comes in whatever order, what is granted never passes the cap."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from batch.policy.budget import Spending

AMOUNTS = st.floats(min_value=0.0, max_value=2.0, allow_nan=False)
# Reserve so much, or settle the open request with this number at this share of what was reserved for it.
MOVES = st.lists(st.one_of(AMOUNTS, st.tuples(st.integers(0, 20), st.floats(0.0, 1.0))), max_size=60)


@given(cap=st.floats(0.01, 5.0), spent=st.floats(0.0, 1.0), moves=MOVES)
def test_what_is_granted_never_passes_the_cap(cap: float, spent: float, moves: list) -> None:
    """Promise 4: as long as no request costs more than was reserved, spent and reserved stay within the cap, or within what came before."""
    budget, granted = Spending(cap, spent), []
    for move in moves:
        if isinstance(move, tuple):
            if granted:
                reserved = granted.pop(move[0] % len(granted))
                budget.settle(reserved, reserved * move[1])
        elif budget.reserve(move):
            granted.append(move)
        assert budget.spent + budget.reserved <= max(cap, spent) + 1e-8
        assert abs(budget.reserved - sum(granted)) < 1e-8


@given(cap=st.floats(0.01, 5.0), moves=MOVES, over=st.floats(1.0, 3.0))
def test_it_is_overshot_by_what_is_in_flight_at_most(cap: float, moves: list, over: float) -> None:
    """Promise 4: where requests cost more than was reserved, only those that were granted add to it: nothing is granted above the cap."""
    budget, granted = Spending(cap), []
    for move in moves:
        if isinstance(move, tuple):
            if granted:
                reserved = granted.pop(move[0] % len(granted))
                budget.settle(reserved, reserved * over)
        elif budget.reserve(move):
            assert budget.spent + move <= cap + 1e-8
            granted.append(move)


@given(cap=st.floats(0.01, 5.0), moves=MOVES, amount=AMOUNTS)
def test_never_means_never(cap: float, moves: list, amount: float) -> None:
    """Promise 7: an amount that the budget can never have is refused now and when all is settled; any other is granted then."""
    budget = Spending(cap)
    granted = [move for move in moves if not isinstance(move, tuple) and budget.reserve(move)]
    never = budget.never(amount)
    for reserved in granted:
        budget.settle(reserved, 0.0)
    assert budget.reserve(amount) is not never
