"""Classification: precision, recall, F1, MCC and the confusion matrix of answers that name a label."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from batch.evaluation.figures.figure import PER_LABEL, ConfusionCell, Figure, FigureMaker, Resamples, ScoredAnswer, figures_of
from batch.evaluation.figures.row_weights import RowWeights
from batch.evaluation.scorers.labels import LabelReader
from batch.evaluation.statistics.intervals import Floats

MOST_LABELS_SHOWN = 50
"""With more labels, only the averages over them are figures."""
MOST_CELLS, MOST_IDS = 1000, 20


class ClassificationFigures(FigureMaker):
    """Figures as scikit-learn defines them (precision_recall_fscore_support, matthews_corrcoef), over the labels of the right values.

    An answer without a label, and a failed call, is a wrong answer without a label: it lowers recall and accuracy, and no precision. Of
    several right labels, the one that was given counts, else the first.
    """

    def __init__(self, reader: LabelReader, weights: RowWeights) -> None:
        self._reader = reader
        self._weights = weights
        self._expected: list[str] = []
        self._given: list[str | None] = []
        self._cells: dict[tuple[str, str | None], list[str]] = defaultdict(list)
        self._counts: dict[tuple[str, str | None], int] = defaultdict(int)

    def add(self, scored: ScoredAnswer) -> None:
        """Take one answer."""
        wanted = self._reader.expected(scored.expected)
        given = scored.score.extracted if scored.score.state == "scored" else None
        # Any of several right labels is right: the one that was given must not count as confused.
        expected = given if given in wanted and given is not None else wanted[0]
        self._expected.append(expected)
        self._given.append(given)
        self._weights.add(scored)
        self._counts[expected, given] += 1
        ids = self._cells[expected, given]
        if len(ids) < MOST_IDS:
            ids.append(scored.answer.row.id)

    def figures(self, resamples: Resamples) -> list[Figure]:
        """Return the averages, then each label's own figures."""
        labels = sorted(set(self._expected))
        others = sorted({given for given in self._given if given is not None} - set(labels))
        code: dict[str | None, int] = {label: at for at, label in enumerate([*labels, *others, None])}
        expected, given = (np.array([code[one] for one in each], dtype=np.intp) for each in (self._expected, self._given))
        own = self._weights.array()

        def statistic(times: Floats) -> Floats:
            return _measures(expected, given, times * own, len(labels), len(code))

        shown = labels if len(labels) <= MOST_LABELS_SHOWN else []
        names: list[dict[str, Any]] = [{"name": name, "share": name != "MCC", "rows": len(expected)} for name in AVERAGES]
        support = np.bincount(expected, minlength=len(labels))
        of_labels = [{"name": name, "of": label, "rows": int(support[at])} for at, label in enumerate(shown) for name in PER_LABEL]
        return figures_of([*names, *of_labels], resamples.values(statistic)[:, : len(names) + len(of_labels)])

    def confusion(self) -> Sequence[ConfusionCell]:
        """Return the confusion cells that have answers, the largest first."""
        cells = [
            ConfusionCell(expected, given, count, tuple(self._cells[expected, given])) for (expected, given), count in self._counts.items()
        ]
        return sorted(cells, key=lambda cell: (-cell.count, cell.expected, cell.given or ""))[:MOST_CELLS]


AVERAGES = (
    "accuracy",
    "balanced accuracy",
    "macro precision",
    "macro recall",
    "macro F1",
    "micro F1",
    "weighted precision",
    "weighted recall",
    "weighted F1",
    "MCC",
)


def _sums(codes: NDArray[np.intp], weights: Floats, count: int) -> Floats:
    """Sum the weights by code."""
    return np.bincount(codes, weights=weights, minlength=count).astype(np.float64)


def _measures(expected: NDArray[np.intp], given: NDArray[np.intp], weights: Floats, labels: int, codes: int) -> Floats:
    """Compute the averages, then each label's figures. A label that is absent from a resample does not enter that resample's averages."""
    right = expected == given
    hits = _sums(expected[right], weights[right], codes)
    of_expected, of_given = _sums(expected, weights, codes), _sums(given, weights, codes)
    total = float(weights.sum())
    hit, wanted, named = hits[:labels], of_expected[:labels], of_given[:labels]
    precision, recall = _ratio(hit, named), _ratio(hit, wanted)
    f1 = _ratio(2 * hit, named + wanted)
    # A bootstrap may draw no row of a rare label.
    there = wanted > 0
    shares = _ratio(wanted, np.full(labels, total))
    averages = [
        hits.sum() / total if total else np.nan,
        *(each[there].mean() if there.any() else np.nan for each in (recall, precision, recall, f1)),
        2 * hit.sum() / (named.sum() + wanted.sum()) if named.sum() + wanted.sum() else np.nan,
        *(float(each @ shares) for each in (precision, recall, f1)),
        _mcc(float(hits.sum()), of_expected, of_given, total),
    ]
    return np.concatenate([averages, np.stack([precision, recall, f1], axis=1).ravel()])


def _ratio(above: Floats, below: Floats) -> Floats:
    """Divide; 0 where the denominator is 0 (scikit-learn's zero_division = 0)."""
    return np.divide(above, below, out=np.zeros(len(above)), where=below > 0)


def _mcc(right: float, expected: Floats, given: Floats, total: float) -> float:
    """Compute Matthews' correlation coefficient for any number of classes (Gorodkin 2004); 0 where one side has a single class."""
    # The threshold is relative: the fourth power of a total of weights has no scale of its own.
    spread = (total**2 - float(given @ given)) * (total**2 - float(expected @ expected))
    return (right * total - float(expected @ given)) / float(np.sqrt(spread)) if spread > 1e-9 * total**4 else 0.0
