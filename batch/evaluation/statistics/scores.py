"""Compute scores per row from a score table (strict, answered, coverage), and decide which may be shown.

Strict: a failed call and an answer that could not be scored count 0. This is the score: headline, intervals, pairs, ranks and
P(best) use no other. Tasks that were never finished are in no denominator; they are counted apart.

Answered: the mean over scored tasks alone. No such figure can be safe from failures by itself, for dropping a wrong answer from
its denominator raises it (only strict cannot rise whichever calls fail). So it is shown only where coverage is at least
`ANSWERED_FROM`: there it exceeds strict by 1 - coverage at most, and a variant that fails 10 % of its calls shows none at all.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from batch.evaluation.statistics.intervals import TIE, Codes, Floats, Interval, cluster_sums, mean_interval
from batch.evaluation.table import ScoreTable, State

ANSWERED_FROM = 0.95
"""The coverage from which the score on answered tasks is shown."""


@dataclass(frozen=True, slots=True, eq=False)
class RowScores:
    """Scores of shape (variants, rows), repeats averaged; NaN where a row has no finished (for `answered`: no scored) task."""

    strict: Floats
    answered: Floats
    coverage: Floats


@dataclass(frozen=True, slots=True)
class OutcomeCounts:
    """The counts of a variant's tasks by outcome."""

    scored: int
    unscored: int
    failed: int
    missing: int

    @property
    def finished(self) -> int:
        """Tasks with a final record."""
        return self.scored + self.unscored + self.failed


@dataclass(frozen=True, slots=True)
class Summary:
    """One variant's score. Scores and coverage are from 0 to 1.

    `strict` is None when no task is finished. `answered` is None when coverage is under `ANSWERED_FROM` (see the module's text).
    `flips` is the share of re-asked rows whose scored repeats do not all have one score, None when no row was re-asked.
    """

    variant: str
    strict: Interval | None
    answered: float | None
    coverage: float
    counts: OutcomeCounts
    flips: float | None


def row_scores(table: ScoreTable) -> RowScores:
    """Average scores per row: over the row's finished repeats, and over its scored ones."""
    scored = np.count_nonzero(table.states == State.SCORED, axis=2)
    finished = np.count_nonzero(table.states != State.MISSING, axis=2)
    total = np.nansum(table.values, axis=2)
    return RowScores(_ratio(total, finished), _ratio(total, scored), _ratio(scored, finished))


def cluster_codes(table: ScoreTable) -> NDArray[np.intp] | None:
    """Number the cluster of each row from 0; None when rows are not clustered."""
    return None if table.clusters is None else np.unique(np.asarray(table.clusters), return_inverse=True)[1]


def summarise(table: ScoreTable, level: float = 0.95) -> tuple[Summary, ...]:
    """Summarise every variant's score, in the table's order; `level` is the confidence of the intervals."""
    scores = row_scores(table)
    clusters = cluster_codes(table)
    plain = table.binary and table.repeats == 1
    return tuple(_summary(table, scores, index, clusters, plain, level) for index in range(len(table.variants)))


def _summary(table: ScoreTable, scores: RowScores, index: int, clusters: NDArray[np.intp] | None, plain: bool, level: float) -> Summary:
    tally = np.bincount(table.states[index].ravel(), minlength=len(State))
    counts = OutcomeCounts(int(tally[State.SCORED]), int(tally[State.UNSCORED]), int(tally[State.FAILED]), int(tally[State.MISSING]))
    strict = scores.strict[index]
    finished = ~np.isnan(strict)
    coverage = float(scores.coverage[index, finished].mean()) if counts.finished else 0.0
    # See the module's text: below that coverage the figure would flatter.
    answered = float(np.nanmean(scores.answered[index])) if counts.finished and coverage >= ANSWERED_FROM else None
    interval = mean_interval(strict, clusters, plain=plain, level=level) if counts.finished else None
    return Summary(table.variants[index], interval, answered, coverage, counts, _flips(table.values[index]))


def _flips(values: Floats) -> float | None:
    asked_again = np.count_nonzero(~np.isnan(values), axis=1) > 1
    if not asked_again.any():
        return None
    again = values[asked_again]
    return float(np.mean(np.nanmax(again, axis=1) - np.nanmin(again, axis=1) > TIE))


def _ratio(above: NDArray[np.generic], below: NDArray[np.generic]) -> Floats:
    wide = np.asarray(above, dtype=np.float64)
    ratio: Floats = np.divide(wide, below, out=np.full(wide.shape, np.nan), where=np.asarray(below) > 0)
    return ratio


RESAMPLES = 4_000
"""Resamples: the probability's own error is at most 0.008."""


def probability_best(strict: Floats, clusters: Codes | None, rng: np.random.Generator, resamples: int = RESAMPLES) -> Floats:
    """Return each variant's share of bootstrap resamples in which its mean is the highest; equals share a win. Shape (variants,).

    `strict` has shape (variants, rows); only rows that all variants have are used, and each resample of rows (of whole clusters,
    where there are some) serves all variants, so what makes a row hard for all cancels (Efron & Tibshirani 1993, chapters 6 and 8).
    All NaN when there is no such row.
    """
    together = ~np.isnan(strict).any(axis=0)
    if not together.any():
        return np.full(len(strict), np.nan)
    groups = None if clusters is None else np.unique(clusters[together], return_inverse=True)[1]
    sums = cluster_sums(strict[:, together], groups).T
    sizes = np.ones(len(sums)) if groups is None else np.bincount(groups).astype(np.float64)
    units = len(sums)
    won = np.zeros(len(strict))
    for _ in range(resamples):
        times = np.bincount(rng.integers(0, units, units), minlength=units)
        means = (times @ sums) / (times @ sizes)
        best = means >= means.max() - 1e-12
        won += best / np.count_nonzero(best)
    return won / resamples


def pass_at_k(table: ScoreTable, k: int) -> tuple[float | None, ...]:
    """Estimate without bias, per variant, the chance that any of k tries at a row is right: 1 - C(n-c, k) / C(n, k), averaged over rows.

    Chen et al. 2021, arXiv:2107.03374, eq. 1. Strict: failed and unscored tries are wrong ones. Rows with fewer than k finished
    tries are skipped; None when no row has k. Raises ValueError for graded scores and for k below 1.
    """
    return tuple(None if tries is None else float(np.mean(1 - all_from(tries[0] - tries[1], tries[0], k))) for tries in _tries(table, k))


def pass_hat_k(table: ScoreTable, k: int) -> tuple[float | None, ...]:
    """Estimate without bias, per variant, the chance that all k tries at a row are right: C(c, k) / C(n, k), averaged over rows.

    Yao et al. 2024 (tau-bench), arXiv:2406.12045, section 3. Otherwise as `pass_at_k`.
    """
    return tuple(None if tries is None else float(np.mean(all_from(tries[1], tries[0], k))) for tries in _tries(table, k))


def _tries(table: ScoreTable, k: int) -> list[tuple[NDArray[np.intp], NDArray[np.intp]] | None]:
    """Return, per variant, the (finished, right) tries of the rows that have at least k finished ones."""
    if not table.binary or k < 1:
        raise ValueError("pass@k and pass^k need right/wrong scores and k of at least 1")
    finished = np.count_nonzero(table.states != State.MISSING, axis=2)
    right = np.count_nonzero(table.values == 1, axis=2)
    enough = finished >= k
    return [(finished[at, rows], right[at, rows]) if rows.any() else None for at, rows in enumerate(enough)]


def all_from(chosen: NDArray[np.intp], of: NDArray[np.intp], k: int) -> NDArray[np.float64]:
    """Compute C(chosen, k) / C(of, k) elementwise, by a small table, since repeats are few."""
    ways = np.array([math.comb(count, k) for count in range(int(of.max()) + 1)], dtype=np.float64)
    return np.asarray(ways[chosen] / ways[of])
