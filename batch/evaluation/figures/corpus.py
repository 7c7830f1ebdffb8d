"""Compute corpus BLEU and chrF, which are not means of the single answers' values."""

from __future__ import annotations

from typing import Any

import numpy as np

from batch.evaluation.figures.figure import Figure, FigureMaker, Resamples, ScoredAnswer, figures_of
from batch.evaluation.scorers.sample import Sample
from batch.evaluation.scorers.texts import answer_text, expected_texts
from batch.evaluation.statistics.intervals import Floats

_NAMES = {"bleu": "corpus BLEU", "chrf": "corpus chrF"}


class CorpusFigures(FigureMaker):
    """The corpus value by sacrebleu over all finished answers, with all right values of each row as references.

    Failed calls, and answers without a text, are empty texts. The interval is a bootstrap's over the rows' counts (Koehn 2004).
    """

    def __init__(self, kind: str, metric: Any, thinking: str | None) -> None:
        self._name = _NAMES[kind]
        self._metric = metric
        self._thinking = thinking
        self._counts: list[list[float]] = []

    def add(self, scored: ScoredAnswer) -> None:
        """Take one answer."""
        text = answer_text(Sample(scored.answer.text, thinking=self._thinking)) if scored.score.state == "scored" else ""
        references = [[each] for each in expected_texts(scored.expected)]
        # sacrebleu has no public way to the counts of a sentence, from which resamples are computed at once.
        (counts,) = self._metric._extract_corpus_statistics([text if isinstance(text, str) else ""], references)  # noqa: SLF001
        self._counts.append(counts)

    def figures(self, resamples: Resamples) -> list[Figure]:
        """Return the corpus value."""
        counts = np.array(self._counts, dtype=np.float64)

        def statistic(times: Floats) -> Floats:
            total = (times @ counts).round().astype(np.int64).tolist()
            return np.array([float(self._metric._compute_score_from_stats(total).score) / 100])  # noqa: SLF001

        return figures_of([{"name": self._name, "rows": len(counts)}], resamples.values(statistic))
