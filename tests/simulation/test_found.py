"""Histories that broke a promise once, as Hypothesis found them."""

from __future__ import annotations

from tests.simulation.test_simulation import Runs


def test_a_row_that_no_rate_lets_through_ends_beside_an_endpoint_that_fails_half_of_all_requests() -> None:
    """Promise 7: the tests of the endpoint failed as often as not, and each failed test gave the row another attempt."""
    state = Runs()
    state.begin(seed=3201)
    try:
        signals = [2.697957175620724, 3.394752477329321]
        state.session(changed="refuse", crash="kill", crash_at=None, retry_failed=True, seed=324315, signals=signals)
        state.session(changed="refuse", crash="kill", crash_at=1, retry_failed=True, seed=324315, signals=signals)
        state.session(changed="keep", crash="power", crash_at=19, retry_failed=False, seed=90, signals=[4.340888472901083])
        state.session(changed="rerun", crash="kill", crash_at=19, retry_failed=True, seed=517455, signals=signals)
        state.session(changed="refuse", crash="power", crash_at=None, retry_failed=True, seed=324315, signals=[])
    finally:
        state.teardown()
