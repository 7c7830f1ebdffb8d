"""Synthetic benchmarks with known truth, for the tests of statistics and verdict."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from batch.evaluation.table import ScoreTable, ScoreValue, State


def table_of(
    values: np.ndarray, *, binary: bool = True, clusters: Sequence[str] | None = None, variants: Sequence[str] | None = None
) -> ScoreTable:
    """A table of (variants, rows[, repeats]) values, all scored but for NaN, which failed."""
    cube = np.array(values, dtype=np.float64)
    cube = cube[:, :, np.newaxis] if cube.ndim == 2 else cube
    states = np.where(np.isnan(cube), State.FAILED, State.SCORED).astype(np.uint8)
    names = tuple(variants or "ABCDEFGHIJ"[: len(cube)])
    rows = tuple(str(row) for row in range(cube.shape[1]))
    return ScoreTable("exact", binary, names, rows, None if clusters is None else tuple(clusters), cube, states)


def benchmark(
    seed: int, scores: Sequence[float], *, rows: int = 1000, cluster_size: int = 5, failing: float = 0.02, repeats: int = 1
) -> ScoreTable:
    """Right/wrong marks of models whose true scores are about `scores`; equal numbers are equal models.

    Rows differ in difficulty, clusters of rows too, for all models alike; `failing` is the share of calls that fail.
    """
    rng = np.random.default_rng(seed)
    difficulty = np.repeat(rng.normal(0, 1, rows // cluster_size), cluster_size) + rng.normal(0, 1, rows)
    true = np.array(scores)
    logit = 1.35 * np.log(true / (1 - true))
    chance = 1 / (1 + np.exp(-(logit[:, np.newaxis] + difficulty)))
    values = (rng.random((len(scores), rows, repeats)) < chance[:, :, np.newaxis]).astype(np.float64)
    values[rng.random(values.shape) < failing] = np.nan
    clusters = None if cluster_size == 1 else [str(row // cluster_size) for row in range(rows)]
    return table_of(values, clusters=clusters)


class TableBuilder:
    """Collects marks in any order; what is never put stays missing. 5 × 10,000 marks take a tenth of a second or less."""

    def __init__(
        self,
        scorer: str,
        *,
        binary: bool,
        variants: Sequence[str],
        row_ids: Sequence[str],
        repeats: int = 1,
        clusters: Sequence[str] | None = None,
    ) -> None:
        self._head: dict[str, Any] = {"scorer": scorer, "binary": binary, "variants": tuple(variants), "row_ids": tuple(row_ids)}
        self._clusters = None if clusters is None else tuple(clusters)
        shape = (len(variants), len(row_ids), repeats)
        self._values = np.full(shape, np.nan)
        self._states = np.zeros(shape, dtype=np.uint8)

    def put(self, variant: int, row: int, repeat: int, cell: ScoreValue) -> None:
        """Set one mark; `variant` and `row` are indices into the names given at the start."""
        self._states[variant, row, repeat] = State[cell.state.upper()]
        self._values[variant, row, repeat] = np.nan if cell.value is None else cell.value

    def build(self) -> ScoreTable:
        """The table of all marks so far. Raises ValueError as `ScoreTable` does."""
        return ScoreTable(**self._head, clusters=self._clusters, values=self._values.copy(), states=self._states.copy())
