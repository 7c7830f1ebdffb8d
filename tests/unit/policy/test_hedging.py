"""When a second request may be sent: a pure decision."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from batch.policy.hedging import FLOOR_S, SHARE, HedgePolicy, Quantile


def test_a_quantile_is_unknown_until_answers_lie_beyond_it() -> None:
    """p99 needs 100 answers of the variant, p50 20; other variants' answers say nothing."""
    policy = HedgePolicy("p99")
    for number in range(99):
        policy.served("a", float(number))
    assert policy.patience_s("a") == policy.shortest_s == math.inf
    policy.served("a", 99.0)
    assert policy.patience_s("a") == policy.shortest_s == 98.0
    assert policy.patience_s("b") == math.inf
    assert not policy.is_late("b", 0.0, 1e9)
    assert policy.is_late("a", 1.0, 99.0)
    assert not policy.is_late("a", 1.0, 98.9)


def test_fast_answers_are_never_late_and_seconds_are_taken_as_they_are() -> None:
    """The floor bounds a quantile; a number of seconds needs no answers and has none."""
    policy = HedgePolicy("p50")
    for _ in range(20):
        policy.served("a", 0.01)
    assert policy.patience_s("a") == FLOOR_S
    assert HedgePolicy(0.1).patience_s("a") == HedgePolicy(0.1).shortest_s == 0.1


def test_the_share_in_flight_is_bounded() -> None:
    """At most a twentieth of the requests in flight, and one of few: the stragglers of a run's end."""
    assert [HedgePolicy.allows(n, 0) for n in (0, 1, 10, 1000)] == [True] * 4
    assert not HedgePolicy.allows(39, 1)
    assert HedgePolicy.allows(40, 1)
    assert not HedgePolicy.allows(1000, int(1000 * SHARE))


@given(st.lists(st.floats(0, 1e6), min_size=100, max_size=100), st.sampled_from([0.5, 0.9, 0.99]))
def test_the_quantile_is_one_of_the_values_with_its_share_below(values: list[float], share: float) -> None:
    """At least the share of the values is not greater, and fewer than it are smaller, for the values seen when it was computed."""
    quantile = Quantile(share)
    seen = 0
    for number, value in enumerate(values, 1):
        before = quantile.value
        quantile.add(value)
        seen = number if quantile.value != before or (number == 100 and share == 0.99) else seen
    if seen:
        among = values[:seen]
        assert sum(value <= quantile.value for value in among) >= share * seen - 1e-9
        assert sum(value < quantile.value for value in among) < share * seen + 1e-9
