"""Means that people would give, from a judge's scores and some labels: coverage by simulation."""

from __future__ import annotations

import numpy as np
import pytest

from batch.evaluation.statistics.intervals import mean_interval
from batch.evaluation.statistics.prediction_powered import JudgedRest, corrected_mean

ROWS = 2000
# How often the judge agrees with people on right, and on wrong answers.
JUDGES = {"unbiased": (0.9, 0.6), "lenient": (0.95, 0.5), "strict": (0.7, 0.95), "poor": (0.6, 0.6)}


def covered(rng: np.random.Generator, labels: int, right: float, judge: tuple[float, float], runs: int) -> float:
    """The share of simulated runs whose interval has the true mean.

    A run is drawn by its counts of right and wrong answers that the judge finds right and wrong, which is all that an interval depends on.
    """
    chances = [right * judge[0], right * (1 - judge[0]), (1 - right) * (1 - judge[1]), (1 - right) * judge[1]]
    drawn, rest, rows = rng.multinomial(labels, chances, runs), rng.multinomial(ROWS - labels, chances, runs), ROWS - labels
    truth, said = np.array([1.0, 1.0, 0.0, 0.0]), np.array([1.0, 0.0, 1.0, 0.0])
    hits = 0
    for own, other in zip(drawn, rest, strict=True):
        mean = float(other[0] + other[2]) / rows
        others = JudgedRest(rows, mean, mean * (1 - mean) * rows / (rows - 1))
        found = corrected_mean(np.repeat(truth, own), np.repeat(said, own), others)
        hits += found.low <= right <= found.high
    return hits / runs


@pytest.mark.parametrize("judge", ["unbiased", "lenient"])
@pytest.mark.parametrize("labels", [50, 100, 300])
def test_corrected_means_cover_the_truth(labels: int, judge: str) -> None:
    """In 300 simulated runs the interval covers 95 %, give or take the simulation's own error, whether the judge is biased or not."""
    share = covered(np.random.default_rng(labels), labels, 0.8, JUDGES[judge], 300)
    assert 0.92 <= share <= 0.985


@pytest.mark.long
@pytest.mark.parametrize("judge", JUDGES)
@pytest.mark.parametrize("labels", [50, 100, 300])
def test_corrected_means_cover_94_to_96_percent(labels: int, judge: str) -> None:
    """In 40,000 simulated runs over easy and hard questions the coverage is 94 to 96 %; a printed line has it."""
    rng = np.random.default_rng(labels)
    share = np.mean([covered(rng, labels, right, JUDGES[judge], 10_000) for right in (0.4, 0.6, 0.75, 0.85)])
    print(f"{labels} labels, {judge} judge: {100 * share:.2f} %")
    assert 0.94 <= share <= 0.96


def test_a_good_judge_makes_the_interval_narrower_than_the_labels_alone() -> None:
    """With a judge that agrees on 95 % the interval is a third narrower; one that answers at random costs next to nothing."""
    rng = np.random.default_rng(1)
    truth = (rng.random(ROWS) < 0.7).astype(float)
    alone = mean_interval(truth[:100], None, plain=True)
    for agreement, least, most in ((0.95, 0.0, 0.67), (0.5, 0.9, 1.15)):
        said = np.where(rng.random(ROWS) < agreement, truth, 1 - truth)
        others = JudgedRest(ROWS - 100, float(said[100:].mean()), float(np.var(said[100:], ddof=1)))
        found = corrected_mean(truth[:100], said[:100], others)
        assert least <= (found.high - found.low) / (alone.high - alone.low) <= most


def test_the_bias_of_a_judge_is_corrected() -> None:
    """A judge that finds all answers right tells nothing: the estimate is the labels' mean. Without other answers, too."""
    labels = np.array([1.0, 0.0, 1.0, 0.0] * 10)
    assert corrected_mean(labels, np.ones(40), JudgedRest(100, 1.0, 0.0)).estimate == 0.5
    assert corrected_mean(labels, labels, JudgedRest(0, 0.0, 0.0)).estimate == 0.5
    always = corrected_mean(np.ones(40), np.ones(40), JudgedRest(100, 1.0, 0.0))
    assert (always.estimate, always.high) == (1.0, 1.0)
    assert 0.85 < always.low < 0.95
    with pytest.raises(ValueError, match="two labels"):
        corrected_mean(np.ones(1), np.ones(1), JudgedRest(9, 1.0, 0.0))
