"""P(best) by joint bootstrap."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from batch.evaluation.statistics.scores import probability_best


def test_two_models_agree_with_the_normal_approximation() -> None:
    """P(best) of the better of two is the normal tail of its paired difference over its error."""
    strict = (np.random.default_rng(0).random((2, 2000)) < np.array([[0.71], [0.70]])).astype(float)
    difference = strict[0] - strict[1]
    expected = norm.cdf(difference.mean() / (difference.std() / np.sqrt(2000)))
    assert probability_best(strict, None, np.random.default_rng(1))[0] == pytest.approx(expected, abs=0.03)


def test_equals_share_and_the_shares_add_up() -> None:
    """Two identical variants have half each; a hopeless one has nothing; the same seed gives the same shares."""
    good = (np.random.default_rng(2).random(300) < 0.8).astype(float)
    shares = probability_best(np.array([good, good, good * 0]), None, np.random.default_rng(3), 500)
    assert shares == pytest.approx([0.5, 0.5, 0.0])
    again = probability_best(np.array([good, good, good * 0]), None, np.random.default_rng(3), 500)
    assert np.array_equal(shares, again)


def test_resamples_are_joint() -> None:
    """A variant that is a hair better on every row is always best, however much the rows vary: the same rows are drawn for all."""
    base = np.random.default_rng(4).random(50) * 0.9
    assert probability_best(np.array([base, base + 0.001]), None, np.random.default_rng(5), 500).tolist() == [0.0, 1.0]


def test_clusters_are_drawn_whole() -> None:
    """Copies of rows within clusters add no certainty."""
    strict = (np.random.default_rng(6).random((2, 60)) < np.array([[0.8], [0.7]])).astype(float)
    once = probability_best(strict, None, np.random.default_rng(7))
    copied = probability_best(np.repeat(strict, 9, axis=1), np.repeat(np.arange(60), 9), np.random.default_rng(7))
    assert copied == pytest.approx(once, abs=0.03)


def test_without_a_common_row_nothing_is_said() -> None:
    """Variants that share no row have no probability."""
    assert np.isnan(probability_best(np.array([[1.0, np.nan], [np.nan, 1.0]]), None, np.random.default_rng(8))).all()
