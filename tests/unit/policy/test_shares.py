"""What one request used is divided among its rows without anything lost or made."""

from __future__ import annotations

import math
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from batch.policy.shares import shared
from batch.policy.usage import added

WEIGHTS = st.lists(st.integers(1, 10**6), min_size=1, max_size=40)


@given(st.integers(0, 10**12), WEIGHTS)
def test_whole_numbers_add_up(amount: int, weights: list[int]) -> None:
    """The parts are whole, add up to the amount, and each is within one of its share."""
    parts = shared(amount, weights)
    assert sum(parts) == amount
    assert all(type(part) is int for part in parts)
    assert all(abs(part - amount * weight / sum(weights)) < 1 + 1e-3 for part, weight in zip(parts, weights, strict=True))


@given(st.floats(0, 1e6), WEIGHTS)
def test_fractions_add_up(amount: float, weights: list[int]) -> None:
    """US dollars add up as far as doubles do."""
    assert math.isclose(sum(shared(amount, weights)), amount, rel_tol=1e-12, abs_tol=1e-12)


_USAGE = st.recursive(
    st.integers(0, 10**9) | st.none() | st.text(max_size=3) | st.booleans(),
    lambda inner: st.dictionaries(st.text(max_size=3), inner, max_size=4),
)


@given(st.dictionaries(st.text(max_size=3), _USAGE, max_size=4), WEIGHTS)
def test_usage_adds_up_to_what_it_was(usage: dict[str, Any], weights: list[int]) -> None:
    """Added up again as a run does, the parts are the whole usage, its tables too; what is no amount stays as it is."""
    total: Any = None
    for part in shared(usage, weights):
        total = added(total, part)
    assert (total or {}) == usage
