"""Intervals: against statsmodels, and by their coverage in simulations."""

from __future__ import annotations

import numpy as np
import pytest
import statsmodels.api as sm
from statsmodels.stats.proportion import proportion_confint

from batch.evaluation.statistics.distributions import t_quantile
from batch.evaluation.statistics.intervals import cluster_sums, difference_interval, mean_interval, wilson

Z = 1.959963984540054
RUNS = pytest.mark.parametrize("runs", [400, pytest.param(4000, marks=pytest.mark.long)])


@pytest.mark.parametrize(("right", "rows"), [(0, 20), (1, 20), (19, 20), (20, 20), (485, 500), (873, 1000)])
def test_wilson_equals_statsmodels(right: int, rows: int) -> None:
    """Single right/wrong marks get Wilson's interval as everyone knows it."""
    values = np.repeat([1.0, 0.0], [right, rows - right])
    interval = mean_interval(values, None, plain=True)
    low, high = proportion_confint(right, rows, method="wilson")
    assert (interval.low, interval.high) == pytest.approx((low, high), abs=1e-9)
    assert interval.low <= interval.estimate <= interval.high
    assert interval.rows == interval.effective_rows == rows


@pytest.mark.parametrize("rows", [20, 50, 100, 200, 500, 1000])
@pytest.mark.parametrize("draws", [4_000, pytest.param(200_000, marks=pytest.mark.long)])
def test_wilson_covers_at_97_percent(rows: int, draws: int) -> None:
    """At p = 0.97 the 95 % interval covers the truth in 93 % of the samples at every size, simulated (issue 6)."""
    right = np.random.default_rng(rows).binomial(rows, 0.97, draws)
    limits = np.array([wilson(count / rows, rows, Z) for count in range(rows + 1)])[right]
    assert np.mean((limits[:, 0] <= 0.97) & (limits[:, 1] >= 0.97)) >= 0.93 - 1.96 * np.sqrt(0.93 * 0.07 / draws)


def test_wilson_covers_95_percent_on_average() -> None:
    """Averaged over sizes near 0.97 (its coverage goes up and down with the size) it keeps its promise."""
    rng = np.random.default_rng(0)
    covered = []
    for rows in range(20, 1001, 7):
        right = rng.binomial(rows, 0.97, 300)
        covered += [low <= 0.97 <= high for low, high in (wilson(count / rows, rows, Z) for count in right)]
    assert 0.945 <= np.mean(covered) <= 0.965


def clustered(rng: np.random.Generator, rows: int) -> tuple[np.ndarray, np.ndarray | None, bool, float]:
    chance = rng.beta(0.97, 0.03, rows // 5)
    return (rng.random(rows) < np.repeat(chance, 5)).astype(float), np.repeat(np.arange(rows // 5), 5), True, 0.97


def repeated(rng: np.random.Generator, rows: int) -> tuple[np.ndarray, np.ndarray | None, bool, float]:
    return rng.binomial(5, rng.beta(2.91, 0.09, rows)) / 5, None, False, 0.97


def mostly_full_marks(rng: np.random.Generator, rows: int) -> tuple[np.ndarray, np.ndarray | None, bool, float]:
    return np.where(rng.random(rows) < 0.95, 1.0, rng.random(rows)), None, False, 0.975


def skewed(rng: np.random.Generator, rows: int) -> tuple[np.ndarray, np.ndarray | None, bool, float]:
    return rng.beta(8, 2, rows), None, False, 0.8


@RUNS
@pytest.mark.parametrize("rows", [20, 50, 200, 1000])
@pytest.mark.parametrize("draw", [clustered, repeated, mostly_full_marks, skewed])
def test_mean_intervals_cover(draw, rows: int, runs: int) -> None:
    """Graded, repeated and clustered scores near the top are covered as promised, from 20 rows up."""
    rng = np.random.default_rng(rows)
    covered = 0
    for _ in range(runs):
        values, clusters, plain, truth = draw(rng, rows)
        interval = mean_interval(values, clusters, plain=plain)
        covered += interval.low <= truth <= interval.high
    assert covered / runs >= 0.935 - 1.96 * np.sqrt(0.06 / runs)


def test_large_graded_intervals_are_the_t_interval() -> None:
    """Away from the ends and with many rows the interval is the t interval, neither wider nor narrower by 2 %."""
    values = np.random.default_rng(1).beta(8, 5, 5000)
    interval = mean_interval(values, None, plain=False)
    half = t_quantile(0.975, 4999) * values.std(ddof=1) / np.sqrt(5000)
    assert (interval.high - interval.low) / 2 == pytest.approx(half, rel=0.02)
    assert interval.estimate == pytest.approx(values.mean())


def test_the_clustered_variance_is_statsmodels() -> None:
    """The cluster-robust error of a mean is that of an intercept-only regression with clustered covariance (CR1)."""
    rng = np.random.default_rng(2)
    groups = np.repeat(np.arange(300), 10)
    values = np.clip(0.5 + np.repeat(rng.normal(0, 0.1, 300), 10) + rng.normal(0, 0.1, 3000), 0, 1)
    fit = sm.OLS(values, np.ones(3000)).fit(cov_type="cluster", cov_kwds={"groups": groups})
    interval = difference_interval(values - values.mean(), groups)
    half = t_quantile(0.975, 299) * float(fit.bse[0])
    assert (interval.high - interval.low) / 2 == pytest.approx(half, rel=0.01)
    wide = mean_interval(values, groups, plain=False)
    assert (wide.high - wide.low) / 2 == pytest.approx(half, rel=0.02)


def test_clusters_of_one_change_nothing_but_t() -> None:
    """Naming each row its own cluster gives the same sums, and the interval hardly moves."""
    values = (np.random.default_rng(3).random(400) < 0.8).astype(float)
    own = mean_interval(values, np.arange(400), plain=True)
    none = mean_interval(values, None, plain=True)
    assert (own.low, own.high) == pytest.approx((none.low, none.high), abs=0.002)
    assert np.array_equal(cluster_sums(values, np.arange(400)), values)


def test_copied_rows_are_no_new_evidence() -> None:
    """Each row copied five times, named as clusters, gives the interval of the rows themselves; without clusters it is far too narrow."""
    values = (np.random.default_rng(4).random(200) < 0.7).astype(float)
    once = mean_interval(values, None, plain=True)
    copied = mean_interval(np.repeat(values, 5), np.repeat(np.arange(200), 5), plain=True)
    blind = mean_interval(np.repeat(values, 5), None, plain=True)
    assert copied.high - copied.low == pytest.approx(once.high - once.low, rel=0.03)
    assert blind.high - blind.low < 0.5 * (copied.high - copied.low)


def test_one_unit_says_nothing() -> None:
    """One cluster gives 0 to 1, one row of graded marks as well."""
    assert (mean_interval(np.ones(9), np.zeros(9, dtype=np.intp), plain=True).low, 1.0) == (0.0, 1.0)
    assert mean_interval(np.array([0.5]), None, plain=False).high == 1.0
    assert difference_interval(np.full(3, 0.2), np.zeros(3, dtype=np.intp)).low == -1.0


def test_rows_without_a_value_are_left_out() -> None:
    """NaN rows change neither estimate nor interval."""
    values = np.array([1.0, 0.0, 1.0, 1.0, 0.5])
    padded = np.array([1.0, np.nan, 0.0, 1.0, 1.0, np.nan, 0.5])
    assert mean_interval(padded, None, plain=False) == mean_interval(values, None, plain=False)
    assert difference_interval(padded, None) == difference_interval(values, None)
    assert difference_interval(np.array([np.nan]), None).rows == 0


@pytest.mark.parametrize(("won", "lost"), [(0.01, 0.01), (0.05, 0.01), (0.1, 0.1), (0.2, 0.1)])
@pytest.mark.parametrize("rows", [20, 50, 200, 1000])
@RUNS
def test_difference_intervals_cover(won: float, lost: float, rows: int, runs: int) -> None:
    """Paired right/wrong differences are covered at every size, also when models hardly ever disagree."""
    counts = np.random.default_rng(rows).multinomial(rows, [won, lost, 1 - won - lost], size=runs)
    covered = 0
    for more, fewer, equal in counts:
        interval = difference_interval(np.repeat([1.0, -1.0, 0.0], [more, fewer, equal]), None)
        covered += interval.low <= won - lost <= interval.high
    assert covered / runs >= 0.94 - 1.96 * np.sqrt(0.06 / runs)


def test_models_that_never_differ_are_not_called_equal_beyond_doubt() -> None:
    """Zero discordant rows of 100 leave room for about 3 points either way (the rule of three)."""
    interval = difference_interval(np.zeros(100), None)
    assert interval.estimate == 0
    assert interval.high == pytest.approx(-interval.low)
    assert 0.015 < interval.high < 0.04
