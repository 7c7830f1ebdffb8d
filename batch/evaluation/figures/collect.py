"""Collect the figures of one score while its answers go by."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from batch.evaluation.answers import Answer
from batch.evaluation.expected import expected_value
from batch.evaluation.figures.classification import ClassificationFigures
from batch.evaluation.figures.confidence import ConfidenceFigures
from batch.evaluation.figures.corpus import CorpusFigures
from batch.evaluation.figures.figure import FigureMaker, Resamples, ScoredAnswer, VariantFigures
from batch.evaluation.figures.means import MeanFigures
from batch.evaluation.figures.row_weights import RowWeights
from batch.evaluation.figures.user import UserFigures
from batch.evaluation.scorers import KINDS
from batch.evaluation.scorers.labels import reader_of
from batch.evaluation.scorers.overlap import sacrebleu_metric
from batch.evaluation.scorers.sample import ExpectedError
from batch.evaluation.table import ScoreValue
from batch.records import Row
from batch.settings import ScoreSettings


class FigureCollector:
    """All figures of one score, variant by variant.

    Raises:
        SetupError: a file or a library that a figure needs is missing.
    """

    def __init__(self, settings: ScoreSettings) -> None:
        self._settings = settings
        self._expected = expected_value(settings)
        self._variants: dict[str, _Variant] = {}
        self._units: dict[str, int] = {}
        # Made at once, so that what is missing is missing before rows are read.
        self._next = _Variant(settings)

    def add_row(self, row: Row, answers: Sequence[Answer], scores: Sequence[ScoreValue]) -> None:
        """Take the answers to a row with their scores; those without an outcome are in no figure."""
        try:
            expected = self._expected(row)
        except ExpectedError:
            expected = None
        unit = self._units.setdefault(self._unit(row), len(self._units))
        for answer, score in zip(answers, scores, strict=True):
            if answer.variant not in self._variants:
                self._variants[answer.variant], self._next = self._next, _Variant(self._settings)
            if score.state != "missing":
                self._variants[answer.variant].add(ScoredAnswer(answer, expected, score), unit)

    def _unit(self, row: Row) -> str:
        value = row.columns.get(self._settings.cluster) if self._settings.cluster is not None else None
        return f"alone {row.ordinal}" if value is None else f"of {value}"

    def document(self) -> list[dict[str, Any]]:
        """Return the figures of all variants as JSON values; an empty dict for a score without figures."""
        made = (variant.figures(name) for name, variant in self._variants.items())
        return [each.document() for each in made if each.figures]


def read_figures(document: Sequence[Mapping[str, Any]], variants: Sequence[str]) -> tuple[VariantFigures, ...]:
    """Read the output of `FigureCollector.document`, in the order of `variants`."""
    found = {each.variant: each for each in map(VariantFigures.from_document, document)}
    return tuple(found[name] for name in variants if name in found)


class _Variant:
    """The figure makers of one variant."""

    def __init__(self, settings: ScoreSettings) -> None:
        self._makers = list(_makers(settings))
        self._units: list[int] = []

    def add(self, scored: ScoredAnswer, unit: int) -> None:
        self._units.append(unit)
        for maker in self._makers:
            maker.add(scored)

    def figures(self, name: str) -> VariantFigures:
        if not self._units or not self._makers:
            return VariantFigures(name, ())
        resamples = Resamples(np.unique(self._units, return_inverse=True)[1])
        figures = [figure for maker in self._makers for figure in maker.figures(resamples)]
        return VariantFigures(name, tuple(figures), tuple(cell for maker in self._makers for cell in maker.confusion()))


def _makers(settings: ScoreSettings) -> Iterator[FigureMaker]:
    options = settings.options
    weights, macro = options.get("weights"), tuple(options.get("macro", ()))
    if settings.kind == "label":
        yield ClassificationFigures(reader_of(options), RowWeights(weights))
    if weights is not None or macro:
        yield MeanFigures(RowWeights(weights), macro, weighted=weights is not None)
    if settings.kind in {"bleu", "chrf"}:
        yield CorpusFigures(settings.kind, sacrebleu_metric(settings.kind, **_own(options)), settings.options.get("thinking"))
    if settings.kind in KINDS and KINDS[settings.kind].binary:
        yield ConfidenceFigures()
    if "figures" in options:
        yield UserFigures(str(options["figures"]))


def _own(options: Mapping[str, Any]) -> dict[str, Any]:
    return {key: options[key] for key in ("language", "tokenize") if key in options}
