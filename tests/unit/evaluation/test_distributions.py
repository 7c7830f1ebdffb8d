"""Tails and quantiles against SciPy."""

from __future__ import annotations

import math

import pytest
from scipy import special, stats

from batch.evaluation.statistics.distributions import fair_coin_tail, incomplete_beta, normal_quantile, t_quantile, t_tail


@pytest.mark.parametrize("a", [0.5, 1.0, 3.7, 80.0, 5000.0])
@pytest.mark.parametrize("b", [0.5, 2.0, 41.5, 5000.0])
@pytest.mark.parametrize("x", [0.0, 1e-9, 0.03, 0.5, 0.97, 1.0])
def test_the_incomplete_beta_equals_scipys(a: float, b: float, x: float) -> None:
    """I_x(a, b) agrees to 9 digits over the whole range that is used."""
    assert incomplete_beta(a, b, x) == pytest.approx(special.betainc(a, b, x), rel=1e-9, abs=1e-280)


@pytest.mark.parametrize("df", [1, 2, 4.5, 19, 999, 100_000])
def test_students_t_equals_scipys(df: float) -> None:
    """Tails and quantiles of t agree, also far out and on the lower side."""
    for t in (-3.0, -0.4, 0.0, 1.5, 12.0):
        assert t_tail(t, df) == pytest.approx(stats.t.sf(t, df), rel=1e-8)
    for probability in (0.0005, 0.025, 0.5, 0.9, 0.975, 0.9995):
        assert t_quantile(probability, df) == pytest.approx(stats.t.ppf(probability, df), rel=1e-8, abs=1e-9)


def test_without_degrees_of_freedom_nothing_is_known() -> None:
    """One unit of evidence gives an infinite quantile, not an error."""
    assert t_quantile(0.975, 0) == math.inf
    assert t_quantile(0.025, 0) == -math.inf


@pytest.mark.parametrize(("heads", "tosses"), [(0, 0), (0, 1), (3, 10), (10, 10), (40, 100), (4900, 10_000)])
def test_the_fair_coins_tail_equals_scipys(heads: int, tosses: int) -> None:
    """Binomial tails at one half agree."""
    assert fair_coin_tail(heads, tosses) == pytest.approx(stats.binom.cdf(heads, tosses, 0.5), rel=1e-10)


def test_the_normal_quantile_equals_scipys() -> None:
    """The standard library's quantile is the one meant."""
    assert normal_quantile(0.975) == pytest.approx(stats.norm.ppf(0.975), rel=1e-12)
