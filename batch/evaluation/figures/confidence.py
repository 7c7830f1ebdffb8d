"""Compare the probability of a model's answers with how often they are right: expected calibration error and Brier score."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from batch.evaluation.figures.figure import Figure, FigureMaker, Resamples, ScoredAnswer, figures_of
from batch.evaluation.statistics.intervals import Floats

BINS = 10


class ConfidenceFigures(FigureMaker):
    """ECE over ten bins of equal width (Guo et al. 2017, arXiv:1706.04599, eq. 3) and the Brier score, of right/wrong scores.

    An answer's confidence is the probability of the tokens of the extracted text, at its last occurrence in the answer. Answers
    without log probabilities, and those in which that is not found word for word, are in neither figure.
    """

    def __init__(self) -> None:
        self._confidence: list[float] = []
        self._right: list[float] = []

    def add(self, scored: ScoredAnswer) -> None:
        """Take one answer."""
        known = scored.score.state == "scored" and scored.score.value in {0.0, 1.0}
        found = confidence(scored.answer.logprobs, scored.score.extracted) if known else None
        self._confidence.append(math.nan if found is None else found)
        self._right.append(scored.strict)

    def figures(self, resamples: Resamples) -> list[Figure]:
        """Return ECE and Brier score; no figures where no answer has log probabilities."""
        sure, right = np.array(self._confidence), np.array(self._right)
        known = ~np.isnan(sure)
        if not known.any():
            return []
        sure, right = sure[known], right[known]
        bins = np.minimum((np.ceil(sure * BINS) - 1).clip(0).astype(np.intp), BINS - 1)

        def statistic(times: Floats) -> Floats:
            weights = times[known]
            total = float(weights.sum())
            if not total:
                return np.full(2, np.nan)
            gaps = np.bincount(bins, weights=weights * (right - sure), minlength=BINS)
            return np.array([np.abs(gaps).sum() / total, float(weights @ (sure - right) ** 2) / total])

        rows = int(known.sum())
        names = [{"name": name, "share": False, "rows": rows} for name in ("ECE", "Brier score")]
        return figures_of(names, resamples.values(statistic))


def confidence(logprobs: Sequence[Mapping[str, Any]] | None, extracted: str | None) -> float | None:
    """Return the joint probability of the tokens at the last occurrence of `extracted`; None where it does not occur."""
    if not logprobs or not extracted:
        return None
    tokens = [str(token["token"]) for token in logprobs]
    text = "".join(tokens)
    pattern = rf"(?<!\w){re.escape(extracted)}(?!\w)"
    places = list(re.finditer(pattern, text)) or list(re.finditer(pattern, text, re.IGNORECASE))
    if not places:
        return None
    start, end = places[-1].span()
    total, at = 0.0, 0
    for token, known in zip(tokens, logprobs, strict=True):
        # Tokens without a character of the answer, such as a space before it, decide nothing of it.
        if at < end and at + len(token) > start:
            total += float(known["logprob"])
        at += len(token)
    return min(1.0, math.exp(total))
