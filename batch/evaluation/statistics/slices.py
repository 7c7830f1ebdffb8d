"""Find where a variant is worse than elsewhere: one test per value of a column, corrected for the number of tests."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from batch.evaluation.statistics.distributions import t_tail
from batch.evaluation.statistics.intervals import Codes, Floats, cluster_sums
from batch.evaluation.statistics.paired import benjamini_hochberg

LEAST_ROWS = 10
"""Smaller slices are not tested: they would only thin out the power for the others."""

MOST_VALUES = 50
"""A column with more values is a text or an id, and no way to slice the rows."""


@dataclass(frozen=True, slots=True)
class Slice:
    """A variant's strict score on the rows where `column` is `value`, against its other rows.

    `p` is one-sided (worse than elsewhere), `p_adjusted` is it by Benjamini and Hochberg over all slices of all variants.
    """

    variant: str
    column: str
    value: str
    rows: int
    score: float
    elsewhere: float
    p: float
    p_adjusted: float


def find_slices(
    variants: Sequence[str], strict: Floats, columns: Mapping[str, Sequence[str | None]], clusters: Codes | None, *, plain: bool
) -> tuple[Slice, ...]:
    """Compute all slices of all variants, the most significantly worse first.

    `strict` has shape (variants, rows), NaN where a variant has no finished task; each column has one value per row, None for
    none. `plain` says that each score is one right/wrong answer: unclustered, that is tested by Fisher's exact test, all else by the
    score test with cluster-robust variance. The correction bounds the share of false ones among those reported.
    """
    found: list[Slice] = []
    for column, values in columns.items():
        names = sorted({value for value in values if value is not None})
        if not 2 <= len(names) <= MOST_VALUES:
            continue
        code = {name: index for index, name in enumerate(names)}
        codes = np.array([-1 if value is None else code[value] for value in values])
        for variant, scores in zip(variants, strict, strict=True):
            there = ~np.isnan(scores)
            groups = None if clusters is None else clusters[there]
            found += _of_column(variant, column, names, scores[there], codes[there], groups, exact=plain and clusters is None)
    if not found:
        return ()
    adjusted = benjamini_hochberg(np.array([one.p for one in found]))
    corrected = [_with_adjusted(one, float(p)) for one, p in zip(found, adjusted, strict=True)]
    return tuple(sorted(corrected, key=_likelihood))


def _likelihood(one: Slice) -> tuple[float, ...]:
    # Nine digits: exp and log round differently from machine to machine, and ties must keep their order on all of them.
    return tuple(float(f"{value:.9g}") for value in (one.p_adjusted, one.p, one.score - one.elsewhere))


def _with_adjusted(one: Slice, p: float) -> Slice:
    return Slice(one.variant, one.column, one.value, one.rows, one.score, one.elsewhere, one.p, p)


def _of_column(
    variant: str, column: str, names: Sequence[str], scores: Floats, codes: NDArray[np.int_], groups: Codes | None, *, exact: bool
) -> list[Slice]:
    found = []
    for index, name in enumerate(names):
        inside = codes == index
        rows = int(np.count_nonzero(inside))
        if rows < LEAST_ROWS or len(scores) - rows < LEAST_ROWS:
            continue
        score, elsewhere = float(scores[inside].mean()), float(scores[~inside].mean())
        p = _fisher(scores, inside) if exact else _score_test(scores, inside, groups)
        found.append(Slice(variant, column, name, rows, score, elsewhere, p, 1.0))
    return found


def _fisher(scores: Floats, inside: NDArray[np.bool_]) -> float:
    """Return the chance of as few right answers in the slice, or fewer, if right answers fell at random (Fisher 1934; hypergeometric)."""
    total, right, drawn = len(scores), int(scores.sum()), int(np.count_nonzero(inside))
    seen = int(scores[inside].sum())
    factorial = np.concatenate(([0.0], np.cumsum(np.log(np.arange(1, total + 1)))))
    counts = np.arange(max(0, drawn - (total - right)), seen + 1)
    ways = factorial[right] - factorial[counts] - factorial[right - counts]
    ways = ways + factorial[total - right] - factorial[drawn - counts] - factorial[total - right - drawn + counts]
    return min(1.0, float(np.sum(np.exp(ways - (factorial[total] - factorial[drawn] - factorial[total - drawn])))))


def _score_test(scores: Floats, inside: NDArray[np.bool_], groups: Codes | None) -> float:
    """Test the slice against the rest with the variance under equality (a score test), summed within clusters, on a t scale."""
    rows = int(np.count_nonzero(inside))
    weight = np.where(inside, 1 / rows, -1 / (len(scores) - rows))
    units = cluster_sums((scores - scores.mean()) * weight, groups)
    degrees = (rows if groups is None else len(np.unique(groups[inside]))) - 1
    error = math.sqrt(float(np.sum(units**2)) * len(units) / max(1, len(units) - 1))
    if error == 0 or degrees < 1:
        return 1.0
    return 1 - t_tail(float(scores @ weight) / error, degrees)
