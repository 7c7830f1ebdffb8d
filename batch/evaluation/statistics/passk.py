"""Repeats as attempts: at least one of k right (pass@k), all k right (pass^k)."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from batch.evaluation.table import ScoreTable, State


def pass_at_k(table: ScoreTable, k: int) -> tuple[float | None, ...]:
    """Per variant, the chance that at least one of k tries at a row is right, unbiased: 1 - C(n-c, k) / C(n, k), averaged over rows.

    Chen et al. 2021, arXiv:2107.03374, eq. 1. Strict: failed and unscored tries are wrong ones. Rows with fewer than k finished
    tries are left out; None when no row has k. Raises ValueError for graded scores and for k below 1.
    """
    return tuple(None if tries is None else float(np.mean(1 - _all_from(tries[0] - tries[1], tries[0], k))) for tries in _tries(table, k))


def pass_hat_k(table: ScoreTable, k: int) -> tuple[float | None, ...]:
    """Per variant, the chance that all k tries at a row are right, unbiased: C(c, k) / C(n, k), averaged over rows.

    Yao et al. 2024 (tau-bench), arXiv:2406.12045, section 3. Otherwise as `pass_at_k`.
    """
    return tuple(None if tries is None else float(np.mean(_all_from(tries[1], tries[0], k))) for tries in _tries(table, k))


def _tries(table: ScoreTable, k: int) -> list[tuple[NDArray[np.intp], NDArray[np.intp]] | None]:
    """Per variant the (finished, right) tries of the rows that have k finished ones."""
    if not table.binary or k < 1:
        raise ValueError("pass@k and pass^k need right/wrong scores and k of at least 1")
    finished = np.count_nonzero(table.states != State.MISSING, axis=2)
    right = np.count_nonzero(table.values == 1, axis=2)
    enough = finished >= k
    return [(finished[at, rows], right[at, rows]) if rows.any() else None for at, rows in enumerate(enough)]


def _all_from(chosen: NDArray[np.intp], of: NDArray[np.intp], k: int) -> NDArray[np.float64]:
    """C(chosen, k) / C(of, k), elementwise, by a small table: repeats are few."""
    ways = np.array([math.comb(count, k) for count in range(int(of.max()) + 1)], dtype=np.float64)
    return np.asarray(ways[chosen] / ways[of])
