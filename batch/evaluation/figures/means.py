"""Compute means of the strict score: weighted by a column, or with equal weight for each group of a column."""

from __future__ import annotations

from typing import Any

import numpy as np

from batch.evaluation.figures.figure import Figure, FigureMaker, Resamples, ScoredAnswer, figures_of
from batch.evaluation.figures.row_weights import RowWeights
from batch.evaluation.scorers.texts import as_text
from batch.evaluation.statistics.intervals import Floats


class MeanFigures(FigureMaker):
    """The weighted mean, and for each column of `macro` the plain mean of its groups' means (as MMLU is reported).

    Rows without a value in the column are a group of their own.
    """

    def __init__(self, weights: RowWeights, macro: tuple[str, ...], *, weighted: bool) -> None:
        self._weights = weights
        self._weighted = weighted
        self._groups: dict[str, list[str | None]] = {column: [] for column in macro}
        self._strict: list[float] = []

    def add(self, scored: ScoredAnswer) -> None:
        """Take one answer. Raises InputError when it has no weight."""
        self._strict.append(scored.strict)
        self._weights.add(scored)
        for column, values in self._groups.items():
            value = scored.answer.row.columns.get(column)
            values.append(None if value is None else as_text(value))

    def figures(self, resamples: Resamples) -> list[Figure]:
        """Return a figure for the weights, and one for each `macro` column."""
        strict, own = np.array(self._strict), self._weights.array()
        codes = [np.unique([value or "" for value in values], return_inverse=True)[1] for values in self._groups.values()]

        def statistic(times: Floats) -> Floats:
            weights = times * own
            mean = float(weights @ strict) / float(weights.sum()) if weights.sum() else np.nan
            return np.array([mean, *(_mean_of_groups(group, strict, weights) for group in codes)])

        names: list[dict[str, Any]] = [{"name": "weighted score", "rows": len(strict)}]
        names += [{"name": "macro mean", "of": column, "rows": len(strict)} for column in self._groups]
        made = figures_of(names, resamples.values(statistic))
        return made if self._weighted else made[1:]


def _mean_of_groups(codes: Any, strict: Floats, weights: Floats) -> float:
    total = np.bincount(codes, weights=weights)
    known = total > 0
    return float((np.bincount(codes, weights=weights * strict)[known] / total[known]).mean()) if known.any() else np.nan
