"""Measure how far a judge agrees with people, by Cohen's kappa on a sample of its work that people labelled without seeing its verdicts.

Labels are kept in scores/calibration/NAME.jsonl, a line each; an answer's newest label counts. They belong to the displayed item (question,
right answer, answers, scale) and not to the judge, so that another judge, or another rubric, can be compared with the same labels.
"""

from __future__ import annotations

import heapq
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from itertools import groupby

import numpy as np

from batch.evaluation.grading.judge_chats import DEFAULT_SCALE
from batch.evaluation.grading.judge_grader import judge_of
from batch.evaluation.grading.judge_replies import nearest_step
from batch.evaluation.grading.judge_scores import JudgedItem
from batch.evaluation.grading.judge_stats import CorrectedScore, PersonStats
from batch.evaluation.grading.labels import PAIR_LABELS, Label, Labels, Unlabelled
from batch.evaluation.statistics.agreement import Agreement, cohen_kappa, krippendorff_alpha
from batch.evaluation.statistics.prediction_powered import FEWEST_LABELS, JudgedRest, corrected_mean
from batch.settings import ScoreSettings


@dataclass(frozen=True, slots=True)
class Calibration:
    """The agreement of a judge with people. `alpha` is Krippendorff's over the raters, None for fewer than two.

    `table` counts (people's label, judge's label); `labels` are in order. None: nothing is labelled.
    """

    score: str
    judge: str
    sampled: int
    labelled: int
    labels: tuple[Label, ...]
    weights: str
    agreement: Agreement | None
    raters: tuple[str, ...]
    alpha: float | None
    table: Mapping[tuple[Label, Label], int]


def labels_of(settings: ScoreSettings) -> tuple[Label, ...]:
    """List the labels that a person can give, in order."""
    return tuple(PAIR_LABELS) if settings.kind == "pairwise" else tuple(sorted(judge_of(settings).scale or DEFAULT_SCALE))


def draw(judged: Iterable[JudgedItem], settings: ScoreSettings, count: int) -> list[Unlabelled]:
    """Draw a sample of judged items, in a random order that is the same each time; equal answers appear once."""
    shown = (item for one in judged if (item := _unlabelled(one, settings)) is not None)
    # Equal answers to a row come one after the other.
    once = (item for _, of_row in groupby(shown, lambda item: item.row_id) for item in {item.key: item for item in of_row}.values())
    return heapq.nsmallest(count, once, key=lambda item: item.key)


def _unlabelled(one: JudgedItem, settings: ScoreSettings) -> Unlabelled | None:
    item = one.item
    verdict: Label
    if one.judgement is not None:
        if one.judgement.preference is None or not item.calls:
            return None
        verdict = one.judgement.preference
    elif one.cell is not None and one.cell.value is not None:
        verdict = nearest_step(one.cell.value, judge_of(settings).scale)
    else:
        return None
    row = item.answers[0].row
    shown = [settings.kind, list(labels_of(settings)), row.id, item.question, item.expected, *item.texts]
    key = blake2b(json.dumps(shown).encode(), digest_size=12).hexdigest()
    # By the hash: half of the pairs, the same ones each time, so that a person's habit of a side is no agreement.
    turned = len(item.texts) == 2 and int(key[-1], 16) % 2 == 1
    return Unlabelled(key, row.id, item.question, item.expected, item.texts[::-1] if turned else item.texts, turned, verdict)


def as_judged(item: Unlabelled, label: Label) -> Label:
    """Convert a label from the displayed order to the judge's first order, or back."""
    exchanged: Mapping[Label, Label] = {"first": "second", "second": "first"}
    return exchanged.get(label, label) if item.turned else label


def calibrate(settings: ScoreSettings, sample: Sequence[Unlabelled], labels: Labels) -> Calibration:
    """Compute the agreement of the judge with the labels of the sample. On a scale of more than two steps kappa has quadratic weights."""
    order = labels_of(settings)
    both = [(label, item.judged) for item in sample if (label := labels.get(item.key)) in order and label is not None]
    weighted = settings.kind == "judge" and len(order) > 2
    agreement = None
    if both:
        person, judge = zip(*both, strict=True)
        agreement = cohen_kappa(person, judge, scale=order, weights="quadratic" if weighted else "none")
    return Calibration(
        settings.name,
        judge_of(settings).model,
        len(sample),
        len(both),
        order,
        "quadratic" if weighted else "none",
        agreement,
        tuple(labels.raters),
        _raters_alpha(settings, sample, labels),
        Counter(both),
    )


def _raters_alpha(settings: ScoreSettings, sample: Sequence[Unlabelled], labels: Labels) -> float | None:
    """Compute Krippendorff's alpha of the raters on the sample; None for fewer than two raters."""
    order, raters = labels_of(settings), labels.raters
    if len(raters) < 2:
        return None
    codes = {label: float(at if settings.kind == "pairwise" else label) for at, label in enumerate(order)}
    values = [[codes.get(labels.by_rater(item.key).get(rater, ""), np.nan) for item in sample] for rater in raters]
    return krippendorff_alpha(np.array(values), metric="nominal" if settings.kind == "pairwise" else "interval")


class LabelledItems:
    """Collects the labelled items among a judge's work, row by row."""

    def __init__(self, settings: ScoreSettings, labels: Labels) -> None:
        self._settings = settings
        self._labels = labels
        self._found: dict[str, Unlabelled] = {}
        self._scores: dict[str, _LabelledScores] = {}

    def add(self, one: JudgedItem) -> None:
        """Add a judged item, if it has a label."""
        item = _unlabelled(one, self._settings) if len(self._labels) else None
        if item is None:
            return
        if self._labels.get(item.key) is not None:
            self._found[item.key] = item
        if one.cell is not None and one.cell.value is not None:
            steps = labels_of(self._settings)
            value = self._labels.value(item.key, float(steps[0]), float(steps[-1]))
            self._scores.setdefault(one.item.answers[0].variant, _LabelledScores()).add(one.cell.value, value)

    @property
    def corrected(self) -> list[CorrectedScore]:
        """The estimated means that people would give, for the variants with enough labels."""
        return [found for name, scores in self._scores.items() if (found := scores.corrected(name)) is not None]

    @property
    def generosity(self) -> dict[str, list[float]]:
        """The judge's ratings minus the labels, by variant."""
        return {name: [judged - label for label, judged in scores.pairs] for name, scores in self._scores.items()}

    @property
    def stats(self) -> PersonStats | None:
        """The judge's agreement with these labels; None where there are none."""
        found = calibrate(self._settings, list(self._found.values()), self._labels)
        if (agreement := found.agreement) is None:
            return None
        return PersonStats(found.labelled, agreement.kappa, agreement.low, agreement.high, agreement.agreed, found.weights)


@dataclass(slots=True)
class _LabelledScores:
    """One variant's judged scores: (label, judged) for each labelled one, sums of the others."""

    pairs: list[tuple[float, float]] = field(default_factory=list)
    others: int = 0
    total: float = 0.0
    squares: float = 0.0

    def add(self, judged: float, label: float | None) -> None:
        if label is not None:
            self.pairs.append((label, judged))
            return
        self.others += 1
        self.total += judged
        self.squares += judged * judged

    def corrected(self, variant: str) -> CorrectedScore | None:
        """Return the corrected mean; None with too few labels."""
        if len(self.pairs) < FEWEST_LABELS:
            return None
        labels, judged = np.array(self.pairs).T
        mean = self.total / self.others if self.others else 0.0
        variance = max(0.0, self.squares - self.others * mean * mean) / (self.others - 1) if self.others > 1 else 0.0
        found = corrected_mean(labels, judged, JudgedRest(self.others, mean, variance))
        own = (self.total + float(judged.sum())) / (self.others + len(judged))
        return CorrectedScore(variant, len(labels), own, found.estimate, found.low, found.high)
