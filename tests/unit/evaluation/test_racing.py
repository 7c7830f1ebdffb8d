"""Racing: valid at any time, and quick where it matters."""

from __future__ import annotations

import numpy as np
import pytest

from batch.evaluation.statistics.racing import advance, start_race


def run(seed: int, scores: list[float], rows: int, step: int = 10):
    rng = np.random.default_rng(seed)
    race = start_race(tuple("ABCDEFGHIJ"[: len(scores)]))
    hard = rng.random(rows) < 0.3
    for start in range(0, rows, step):
        chance = np.array(scores)[:, np.newaxis] * np.where(hard[start : start + step], 0.5, 1.0)
        marks = (rng.random(chance.shape) < chance).astype(float)
        out = [name not in race.running for name in race.variants]
        marks[out] = np.nan
        race = advance(race, marks)
    return race


@pytest.mark.parametrize("models", [2, 5])
@pytest.mark.parametrize("runs", [60, pytest.param(500, marks=pytest.mark.long)])
def test_looking_all_the_time_stops_no_equal(models: int, runs: int) -> None:
    """Looked at every 10 of 2,000 rows, at most 5 % of the races between equals stop anyone."""
    assert sum(bool(run(seed, [0.8] * models, 2000).stops) for seed in range(runs)) / runs <= 0.05


def test_a_weak_variant_is_stopped_early_and_the_best_runs_on() -> None:
    """A model 30 points behind is out after some hundred rows, named with who beat it; the best is never stopped."""
    for seed in range(20):
        race = run(seed, [0.9, 0.88, 0.6], 1000)
        assert "A" in race.running
        (stop,) = [one for one in race.stops if one.variant == "C"]
        assert stop.beaten_by in ("A", "B")
        assert stop.after_rows <= 600
        assert stop.wealth >= 6 / 0.05


def test_the_steps_do_not_matter_to_the_wealth() -> None:
    """The same rows in one step, in many, or in another order give the same wealth; a race is a value and stays as it was."""
    marks = np.random.default_rng(0).random((3, 90))
    start = start_race(("A", "B", "C"))
    once = advance(start, marks)
    many = start
    for at in range(0, 90, 7):
        many = advance(many, marks[:, at : at + 7])
    assert many.log_wealth == pytest.approx(once.log_wealth)
    assert advance(start, marks[:, ::-1]).log_wealth == pytest.approx(once.log_wealth)
    assert (start.rows, once.rows) == (0, 90)
    assert not start.log_wealth.any()


def test_the_wealth_of_one_bet_is_what_the_game_pays() -> None:
    """After one row that the second wins fully, a bet b has paid 1 + b, and the bet against it 1 - b."""
    race = advance(start_race(("A", "B")), np.array([[0.0], [1.0]]))
    assert np.exp(race.log_wealth[0, 1, -1]) == pytest.approx(1.95)
    assert np.exp(race.log_wealth[1, 0, -1]) == pytest.approx(0.05)


def test_marks_out_of_bounds_would_break_the_guarantee_and_are_refused() -> None:
    """Only marks from 0 to 1 are bets that cannot go below zero."""
    with pytest.raises(ValueError, match="from 0 to 1"):
        advance(start_race(("A", "B")), np.array([[1.5], [0.0]]))
