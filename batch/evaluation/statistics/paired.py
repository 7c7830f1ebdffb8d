"""Test pairs of variants over the rows that both have, and correct for testing many pairs."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from batch.evaluation.statistics.distributions import fair_coin_tail, normal_quantile
from batch.evaluation.statistics.intervals import TIE, Codes, Floats, Interval, cluster_sums, difference_interval

DRAWS = 9_999
"""Monte Carlo draws: the least p is 1/10,000, which Holm's correction can still multiply by 45 pairs (10 variants) and more."""

ENUMERATED_UNITS = 14
"""Up to this many differing units, all 2^units sign patterns are counted instead of drawn."""

_CHUNK = 4_000_000  # numbers in memory at a time: 32 MB


@dataclass(frozen=True, slots=True)
class Pair:
    """Two variants compared, `first` minus `second`, in scores from -1 to 1, on strict scores.

    `wins` and `losses` count the rows where the first, or the second, has the higher score. `p` is two-sided; `p_holm` is corrected
    over all pairs of the family. `discordance` is the mean squared difference: for single right/wrong scores the share of rows on which
    they disagree. `separable`: p_holm is at most alpha and the interval excludes 0. `rows_for_gap` rows are needed to find a true gap of
    the given size, and this pair's rows find a gap of `smallest_gap`, both with 80 % power at the first step of Holm's correction.
    """

    first: str
    second: str
    difference: Interval
    wins: int
    losses: int
    discordance: float
    p: float
    p_holm: float
    separable: bool
    rows_for_gap: int
    smallest_gap: float


def mcnemar(wins: int, losses: int) -> float:
    """Compute the two-sided exact McNemar p: a fair coin's tail, doubled.

    McNemar 1947, Psychometrika 12:153; Fagerland, Lydersen & Laake 2013, BMC Med. Res. Methodol. 13:91.
    """
    return min(1.0, 2 * fair_coin_tail(min(wins, losses), wins + losses))


def sign_flip(differences: Floats, rng: np.random.Generator, draws: int = DRAWS) -> Floats:
    """Compute, per pair, the two-sided p that random signs alone give the sum of its differences (Fisher's randomisation test).

    `differences` has shape (pairs, units): one sum per cluster, or one difference per row; 0 where the pair has nothing.
    Exact for few units; else Monte Carlo with one added above and below (Phipson & Smyth 2010, SAGMB 9:39), the same
    signs for all pairs.
    """
    observed = np.abs(differences.sum(axis=1))
    few = np.count_nonzero(differences, axis=1) <= ENUMERATED_UNITS
    p = np.ones(len(differences))
    for index in np.flatnonzero(few):
        p[index] = _enumerated(differences[index], observed[index])
    drawn = np.flatnonzero(~few)
    if drawn.size:
        p[drawn] = _sampled(differences[drawn], observed[drawn], rng, draws)
    return p


def _reached(sums: Floats, observed: Floats | np.float64) -> NDArray[np.bool_]:
    # Sums that are equal but for rounding are ties, and a tie counts.
    return np.abs(sums) >= observed * (1 - 1e-9) - 1e-9


def _enumerated(differences: Floats, observed: np.float64) -> float:
    sums = np.zeros(1)
    for unit in differences[differences != 0]:
        sums = np.concatenate((sums + unit, sums - unit))
    return float(np.mean(_reached(sums, observed)))


def _sampled(differences: Floats, observed: Floats, rng: np.random.Generator, draws: int) -> Floats:
    used = differences[:, np.any(differences != 0, axis=0)]
    units = used.shape[1]
    reached = np.zeros(len(used), dtype=np.int64)
    chunk = max(1, _CHUNK // units)
    for start in range(0, draws, chunk):
        count = min(chunk, draws - start)
        bits = np.unpackbits(np.frombuffer(rng.bytes((count * units + 7) // 8), dtype=np.uint8), count=count * units)
        # sum(s d) = 2 sum(bit d) - sum(d): the bits need not become signs.
        sums = 2 * (bits.reshape(count, units).astype(np.float64) @ used.T) - used.sum(axis=1)
        reached += np.count_nonzero(_reached(sums, observed), axis=0)
    return (reached + 1) / (draws + 1)


def holm(p: Floats) -> Floats:
    """Correct p values so that the chance of any false finding is at most alpha (Holm 1979, Scand. J. Stat. 6:65)."""
    return _restored(p, lambda ordered: np.maximum.accumulate(ordered * np.arange(len(p), 0, -1)))


def benjamini_hochberg(p: Floats) -> Floats:
    """Correct p values so that the expected share of false findings is at most alpha (Benjamini & Hochberg 1995, JRSS B 57:289)."""
    steps = len(p) / np.arange(1, len(p) + 1)
    return _restored(p, lambda ordered: np.minimum.accumulate((ordered * steps)[::-1])[::-1])


def _restored(p: Floats, correct: Callable[[Floats], Floats]) -> Floats:
    order = np.argsort(p, kind="stable")
    corrected = np.empty(len(p))
    corrected[order] = np.minimum(correct(p[order]), 1.0)
    return corrected


def compare_all(
    variants: Sequence[str],
    strict: Floats,
    clusters: Codes | None,
    *,
    plain: bool,
    alpha: float,
    gap: float,
    rng: np.random.Generator,
) -> tuple[Pair, ...]:
    """Compare every pair of variants, in order; `strict` has shape (variants, rows), NaN where a variant has no finished task.

    `plain`: each score is one right/wrong answer. Such scores, if not clustered, are tested by McNemar; all others by flipping the
    signs of clusters or rows. Holm's family is all these pairs. The intervals are each at 1 - alpha, not corrected. `gap` is from 0 to 1.
    """
    names = list(itertools.combinations(variants, 2))
    if not names:
        return ()
    left, right = np.array(list(itertools.combinations(range(len(variants)), 2))).T
    return compare_pairs(names, strict[left] - strict[right], clusters, PairedTest(alpha, gap, plain), rng)


@dataclass(frozen=True, slots=True)
class PairedTest:
    """The settings of a family of paired tests. `plain`: each score is one right/wrong answer. `gap` is from 0 to 1."""

    alpha: float
    gap: float
    plain: bool


def compare_pairs(
    names: Sequence[tuple[str, str]], differences: Floats, clusters: Codes | None, test: PairedTest, rng: np.random.Generator
) -> tuple[Pair, ...]:
    """Test the given pairs, which are one family; `differences` has shape (pairs, rows), the first's strict score minus the second's.

    NaN where one of the two has no finished task. Otherwise as `compare_all`.
    """
    # The last bit of a mean is no win.
    differences = np.where(np.abs(differences) <= TIE, 0.0, differences)
    if test.plain and clusters is None:
        p = np.array([mcnemar(int(np.sum(one > 0)), int(np.sum(one < 0))) for one in differences])
    else:
        p = sign_flip(cluster_sums(differences, clusters), rng)
    question = _Question(test.alpha, test.gap, test.plain, len(names))
    each = zip(names, differences, p.tolist(), holm(p).tolist(), strict=True)
    return tuple(_pair(pair, rows, clusters, one, corrected, question) for pair, rows, one, corrected in each)


@dataclass(frozen=True, slots=True)
class _Question:
    """The test's settings, the same for each of `pairs` pairs."""

    alpha: float
    gap: float
    plain: bool
    pairs: int


def _pair(names: tuple[str, str], differences: Floats, clusters: Codes | None, p: float, p_holm: float, question: _Question) -> Pair:
    interval = difference_interval(differences, clusters, level=1 - question.alpha)
    spread = unit_spread(differences, clusters)
    first_step = question.alpha / question.pairs
    exact = question.plain and clusters is None
    return Pair(
        first=names[0],
        second=names[1],
        difference=interval,
        wins=int(np.count_nonzero(differences > 0)),
        losses=int(np.count_nonzero(differences < 0)),
        discordance=float(np.nanmean(differences**2)) if interval.rows else 0.0,
        p=p,
        p_holm=p_holm,
        separable=p_holm <= question.alpha and not interval.low <= 0 <= interval.high,
        # Right/wrong scores cannot be a gap apart without differing on as many rows.
        rows_for_gap=required_rows(question.gap, max(spread, question.gap) if question.plain else spread, alpha=first_step, exact=exact),
        smallest_gap=smallest_gap(interval.rows, spread, alpha=first_step, exact=exact),
    )


def with_correction(pair: Pair, p_holm: float, alpha: float) -> Pair:
    """Return the pair as a test of a larger family, with its p corrected over that family."""
    apart = not pair.difference.low <= 0 <= pair.difference.high
    return replace(pair, p_holm=p_holm, separable=p_holm <= alpha and apart)


POWER = 0.8


def unit_spread(differences: Floats, clusters: Codes | None) -> float:
    """Return the mean squared paired difference of the rows, for `required_rows`; clusters raise it by their design effect.

    Two pairs of the size of the largest difference (1 when there is none) are added, as in `intervals.difference_interval`, so that it is
    never 0. NaN rows are skipped.
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


def required_rows(gap: float, spread: float, *, alpha: float = 0.05, power: float = POWER, exact: bool = False) -> int:
    """Compute the rows needed to find a true gap (from 0 to 1) with `power` by a two-sided test at `alpha`. Raises ValueError for gap <= 0.

    `spread` is the mean squared difference; it is taken to be at least gap squared. Of single right/wrong scores it is at least the gap.
    Sample size of the paired z test (Connor 1987, Biometrics 43:207). McNemar's exact test, which keeps below its alpha, needs more
    (`exact`): by enumeration of its power, 1.6 / gap rows where spread is far above gap, and none where it equals gap.
    """
    if gap <= 0:
        raise ValueError("a gap of 0 needs infinitely many rows")
    spread = max(spread, gap**2)
    under_null = normal_quantile(1 - alpha / 2) * math.sqrt(spread)
    under_gap = normal_quantile(power) * math.sqrt(spread - gap**2)
    more = 1.6 / gap * max(0.0, 1 - (gap / spread) ** 2) if exact else 0.0
    return math.ceil(((under_null + under_gap) / gap) ** 2 + more - 1e-9)  # a whole number stays itself, however it was rounded


def smallest_gap(rows: int, spread: float, *, alpha: float = 0.05, power: float = POWER, exact: bool = False) -> float:
    """Compute the smallest gap that `rows` rows find with `power`, to 1e-6: the inverse of `required_rows`; 1.0 when they can find none."""
    low, high = 0.0, 1.0
    while high - low > 1e-6:
        middle = (low + high) / 2
        low, high = (low, middle) if required_rows(middle, spread, alpha=alpha, power=power, exact=exact) <= rows else (middle, high)
    return high
