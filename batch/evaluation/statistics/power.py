"""How many rows a gap needs, and which gap the rows can show.

Source: Connor 1987, Biometrics 43:207 (sample size for McNemar's test from the share of discordant pairs), with the mean squared
difference in place of that share, which it equals for right/wrong marks; times the design effect of clusters.
"""

from __future__ import annotations

import math

import numpy as np

from batch.evaluation.statistics.distributions import normal_quantile
from batch.evaluation.statistics.intervals import Codes, Floats, cluster_sums

POWER = 0.8


def unit_spread(differences: Floats, clusters: Codes | None) -> float:
    """The mean squared paired difference as the rows show it, for `required_rows`; clusters raise it by their design effect.

    Two pairs of the size of the largest difference (1 when there is none) are added, as in `intervals.difference_interval`, so that it is
    never 0. NaN rows are left out.
    """
    there = ~np.isnan(differences)
    known, groups = differences[there], None if clusters is None else np.unique(clusters[there], return_inverse=True)[1]
    if not known.size:
        return 1.0
    extra = float(np.abs(known).max()) or 1.0
    squares = (float(np.sum(known**2)) + 2 * extra**2) / (len(known) + 2)
    centred = known - known.mean()
    within = float(np.sum(centred**2))
    if groups is None or within == 0:
        return squares
    # Fewer rows are never promised for clusters that happen to cancel.
    return squares * max(1.0, float(np.sum(cluster_sums(centred, groups) ** 2)) / within)


def required_rows(gap: float, spread: float, *, alpha: float = 0.05, power: float = POWER) -> int:
    """Rows that a true gap (from 0 to 1) needs to be found with `power` by a two-sided test at `alpha`. Raises ValueError for gap <= 0.

    `spread` is the mean squared difference; it is taken to be at least gap squared. Of single right/wrong marks it is at least the gap.
    """
    if gap <= 0:
        raise ValueError("a gap of 0 needs infinitely many rows")
    spread = max(spread, gap**2)
    under_null = normal_quantile(1 - alpha / 2) * math.sqrt(spread)
    under_gap = normal_quantile(power) * math.sqrt(spread - gap**2)
    return math.ceil(((under_null + under_gap) / gap) ** 2 - 1e-9)  # a whole number stays itself, however it was rounded


def smallest_gap(rows: int, spread: float, *, alpha: float = 0.05, power: float = POWER) -> float:
    """The smallest gap that `rows` rows find with `power`: the inverse of `required_rows`, to 1e-6; 1.0 when they can find none."""
    low, high = 0.0, 1.0
    while high - low > 1e-6:
        middle = (low + high) / 2
        low, high = (low, middle) if required_rows(middle, spread, alpha=alpha, power=power) <= rows else (middle, high)
    return high
