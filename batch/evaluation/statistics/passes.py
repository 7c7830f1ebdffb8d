"""Compute pass@k, pass^k and maj@k for every k up to the number of tries at a row, with intervals."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from batch.evaluation.statistics.intervals import Codes, Floats, Interval, mean_interval
from batch.evaluation.statistics.scores import all_from, cluster_codes
from batch.evaluation.table import ScoreTable, State

MOST_KS = 8
"""With more tries, k doubles from 1 up to their number."""

SUBSETS = 64
"""Of more choices of k tries, as many drawn ones stand for all."""

# Rows at a time: the votes of all pairs of tries are in memory.
_CHUNK = 256


@dataclass(frozen=True, slots=True)
class PassRate:
    """The chances, in k tries at a row, that any is right, that all are, and that the most frequent answer is.

    `majority` is None where no scorer says which answers are equal. Intervals are over rows, or clusters.
    """

    k: int
    any_right: Interval
    all_right: Interval
    majority: Interval | None


def chosen_ks(tries: int) -> list[int]:
    """Return the values of k that are shown for this number of tries."""
    if tries <= MOST_KS:
        return list(range(1, tries + 1))
    doubled = [2**power for power in range(tries.bit_length()) if 2**power < tries]
    return [*doubled, tries]


def pass_rates(table: ScoreTable, level: float = 0.95) -> tuple[tuple[PassRate, ...], ...]:
    """Compute each variant's rates by k, over the rows with k finished tries; empty for graded scores and for rows asked once.

    pass@k: 1 - C(n-c, k) / C(n, k), Chen et al. 2021, arXiv:2107.03374, eq. 1. pass^k: C(c, k) / C(n, k), Yao et al. 2024,
    arXiv:2406.12045, section 3. maj@k (Lewkowycz et al. 2022, arXiv:2206.14858): the most frequent answer of k of the tries is right,
    averaged over choices of k; of equally frequent answers each counts for its share. Failed and unscored tries are wrong ones.
    """
    if not table.binary or table.repeats == 1:
        return tuple(() for _ in table.variants)
    clusters = cluster_codes(table)
    return tuple(
        tuple(rate for k in chosen_ks(table.repeats) if (rate := _rate(table, at, k, clusters, level)) is not None)
        for at in range(len(table.variants))
    )


def _rate(table: ScoreTable, at: int, k: int, clusters: Codes | None, level: float) -> PassRate | None:
    finished = np.count_nonzero(table.states[at] != State.MISSING, axis=1)
    right = np.count_nonzero(table.values[at] == 1, axis=1)
    enough = finished >= k
    if not enough.any():
        return None
    groups = None if clusters is None else clusters[enough]
    values = [1 - all_from(finished[enough] - right[enough], finished[enough], k), all_from(right[enough], finished[enough], k)]
    any_right, all_right = (mean_interval(each, groups, plain=False, level=level) for each in values)
    return PassRate(k, any_right, all_right, _majority(table, at, k, clusters, level))


def _majority(table: ScoreTable, at: int, k: int, clusters: Codes | None, level: float) -> Interval | None:
    if table.answers is None:
        return None
    # Rows with all tries: of fewer, a choice of k is another draw than that of the other rows.
    whole = np.all(table.states[at] != State.MISSING, axis=1)
    if not whole.any():
        return None
    values = majority_right(table.answers[at, whole], table.values[at, whole] == 1, k)
    return mean_interval(values, None if clusters is None else clusters[whole], plain=False, level=level)


def majority_right(answers: NDArray[np.int64], right: NDArray[np.bool_], k: int) -> Floats:
    """Compute, per row, the chance that the most frequent of k of its answers is right.

    Both have shape (rows, tries); equal codes are equal answers, a negative code is none and gets no votes.
    """
    subsets = _subsets(answers.shape[1], k)
    found = np.empty(len(answers))
    for start in range(0, len(answers), _CHUNK):
        chunk = slice(start, start + _CHUNK)
        chosen, is_right = answers[chunk][:, subsets], right[chunk][:, subsets]
        # Answers without a code equal each other, but vote for nothing.
        votes = np.count_nonzero(chosen[..., :, None] == chosen[..., None, :], axis=-1) * (chosen >= 0)
        most = votes.max(axis=-1, keepdims=True)
        modes = (votes == most) & (most > 0)
        # Where no try has an answer there is no mode, and the share is 0.
        share = np.count_nonzero(modes & is_right, axis=-1) / np.maximum(1, np.count_nonzero(modes, axis=-1))
        found[chunk] = share.mean(axis=-1)
    return found


def _subsets(tries: int, k: int) -> NDArray[np.intp]:
    if math.comb(tries, k) <= SUBSETS:
        return np.array(list(itertools.combinations(range(tries), k)), dtype=np.intp)
    # A fixed seed: the same answers give the same rates.
    rng = np.random.default_rng(0)
    drawn: Sequence[NDArray[np.intp]] = [rng.permutation(tries)[:k] for _ in range(SUBSETS)]
    return np.array(drawn, dtype=np.intp)
