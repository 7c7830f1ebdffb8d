"""Histories that broke a promise once, as Hypothesis found them."""

from __future__ import annotations

from pathlib import Path

from tests.simulation.history import play
from tests.simulation.test_simulation import Runs


def test_the_last_row_of_a_model_that_no_rate_lets_through_ends_beside_rows_of_another_model(tmp_path: Path) -> None:
    """Promise 7: an answered row shows that the model is served; it was given up instead, at each start again, with its row open."""
    play(20127, tmp_path)


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


def test_a_long_wait_holds_after_the_test_was_refused(tmp_path: Path) -> None:
    """Promise 6: the refused test asked for a shorter wait than the row before it, and only that was kept."""
    play(38, tmp_path)


def test_a_model_whose_last_rows_have_failed_stops_nothing(tmp_path: Path) -> None:
    """Promise 1: nothing of it could be served any more, and a minute later it was given up as if something were left."""
    play(100_048, tmp_path)


def test_a_test_of_one_model_is_not_ended_by_an_answer_of_another(tmp_path: Path) -> None:
    """Promise 1: an answer of another model that was sent at the moment of the suspicion ended it, and the model was given up untested."""
    play(602_352, tmp_path)


def test_a_row_whose_refusal_comes_after_its_endpoint_serves_again(tmp_path: Path) -> None:
    """Promise 13: all its attempts were sent while the endpoint refused all rows, and the last of them ended when it no longer did."""
    play(307_314, tmp_path)


def test_rows_refused_before_the_first_answer_came(tmp_path: Path) -> None:
    """Promise 13: the endpoint went out of order while its first answer was on its way; the rows that it refused then failed at once."""
    play(608_457, tmp_path)


def test_rows_that_were_given_up_before_more_of_them_had_failed(tmp_path: Path) -> None:
    """Promise 13: the two rows that failed first were withheld before a third failed, and nothing was known of an outage then."""
    play(702_624, tmp_path)


def test_a_newline_that_never_reached_the_disk(tmp_path: Path) -> None:
    """Promise 3: the power took the one byte behind a whole record, which read as NUL, and the run was refused as damaged."""
    play(722_348, tmp_path)
