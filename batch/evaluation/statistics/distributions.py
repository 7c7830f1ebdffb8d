"""Quantiles and tails that neither numpy nor the standard library has.

Sources: DLMF 8.17 (the incomplete beta function and its continued fraction, 8.17.22), evaluated by Lentz's method as in
Press et al., Numerical Recipes, 3rd ed., section 6.4; t and binomial tails as incomplete betas, DLMF 8.17.5 and NR 6.14.
"""

from __future__ import annotations

import math
from functools import lru_cache
from statistics import NormalDist

# Lentz's method divides by terms that may be 0: they are replaced by this.
_TINY = 1e-300
_PRECISION = 1e-15
_MOST_TERMS = 100_000


def normal_quantile(probability: float) -> float:
    """Return the standard normal quantile."""
    return NormalDist().inv_cdf(probability)


def incomplete_beta(a: float, b: float, x: float) -> float:
    """Compute the regularised incomplete beta function I_x(a, b), for a, b > 0 and x from 0 to 1, to about 12 digits."""
    if x <= 0 or x >= 1:
        return float(x >= 1)
    front = math.exp(math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x))
    # On this side the continued fraction converges fast; the other follows by symmetry.
    if x < (a + 1) / (a + b + 2):
        return front * _continued_fraction(a, b, x) / a
    return 1 - front * _continued_fraction(b, a, 1 - x) / b


def _continued_fraction(a: float, b: float, x: float) -> float:
    """Evaluate DLMF 8.17.22; on the side where `incomplete_beta` uses it, it converges in about sqrt(max(a, b)) terms."""
    c = 1.0
    d = 1 / _not_zero(1 - (a + b) * x / (a + 1))
    value = d
    for m in range(1, _MOST_TERMS):
        for term in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d = 1 / _not_zero(1 + term * d)
            c = _not_zero(1 + term / c)
            value *= c * d
        if abs(c * d - 1) < _PRECISION:
            break
    return value


def _not_zero(number: float) -> float:
    return number if abs(number) > _TINY else _TINY


def t_tail(t: float, df: float) -> float:
    """Return the probability that Student's t with `df` degrees of freedom is above `t`."""
    upper = 0.5 * incomplete_beta(df / 2, 0.5, df / (df + t * t))
    return upper if t >= 0 else 1 - upper


@lru_cache(maxsize=1024)
def t_quantile(probability: float, df: float) -> float:
    """Find the quantile of Student's t by bisection; infinite for 0 degrees of freedom, which makes the interval cover everything."""
    if df <= 0:
        return math.inf if probability > 0.5 else -math.inf
    if probability < 0.5:
        return -t_quantile(1 - probability, df)
    low, high = 0.0, 1.0
    while t_tail(high, df) > 1 - probability:
        low, high = high, high * 2
    # Each step halves the interval: after 60 no bit of a double is left to find.
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if t_tail(middle, df) > 1 - probability else (low, middle)
    return (low + high) / 2


def fair_coin_tail(heads: int, tosses: int) -> float:
    """Return the probability of at most `heads` heads in `tosses` tosses of a fair coin."""
    return 1.0 if heads >= tosses else incomplete_beta(tosses - heads, heads + 1, 0.5)
