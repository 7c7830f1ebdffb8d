"""Read the weight of each row in figures: a column, or 1."""

from __future__ import annotations

import math

import numpy as np

from batch.errors import InputError
from batch.evaluation.figures.figure import ScoredAnswer
from batch.evaluation.statistics.intervals import Floats
from batch.records import Row


def row_weight(row: Row, column: str | None) -> float:
    """Read a row's weight. Raises InputError when its column is not a number of at least 0."""
    if column is None:
        return 1.0
    value = row.columns.get(column)
    try:
        weight = float(value) if value is not None and not isinstance(value, bool) else math.nan
    except (TypeError, ValueError):
        weight = math.nan
    if not (math.isfinite(weight) and weight >= 0):
        raise InputError(f"row {row.id}: its weight, the column {column}, must be a number of at least 0, not {str(value)[:40]!r}")
    return weight


class RowWeights:
    """Collects the weights of answers."""

    def __init__(self, column: str | None) -> None:
        self._column = column
        self._weights: list[float] = []

    def add(self, scored: ScoredAnswer) -> None:
        """Take an answer's. Raises InputError."""
        self._weights.append(row_weight(scored.answer.row, self._column))

    def array(self) -> Floats:
        """Return all weights as an array."""
        return np.array(self._weights)
