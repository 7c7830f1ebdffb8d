"""Estimate the mean that people would give all answers, from a judge's scores of all and people's labels of some."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from batch.evaluation.statistics.distributions import t_quantile
from batch.evaluation.statistics.intervals import Floats, Interval, wilson

FEWEST_LABELS = 20
"""With fewer labels no corrected mean is given: the correction itself would be a guess."""


@dataclass(frozen=True, slots=True)
class JudgedRest:
    """The judge's scores of the answers without a label: how many, their mean, and their variance (with n - 1)."""

    rows: int
    mean: float
    variance: float


def corrected_mean(labels: Floats, judged: Floats, others: JudgedRest, *, level: float = 0.95) -> Interval:
    """Estimate the mean that people would give, from 0 to 1, with its interval; `judged` are the judge's scores of the labelled answers.

    Prediction-powered inference (Angelopoulos et al. 2023, Science 382:669): the judge's mean, corrected by its mean error on the labels.
    The judge's weight (lambda) is the one that minimises the variance, cut to 0..1: Angelopoulos, Duchi & Zrnic 2023,
    arXiv:2311.01453, eq. 9 and 10. The labels must be drawn at random. The interval is Wilson's at the effective number of rows with a t
    quantile, as in `intervals.mean_interval`, for the normal one covers 79 to 94 % at 50 labels; tests repeat the simulation.
    Raises ValueError for fewer than two labels.
    """
    rows = len(labels)
    if rows < 2:
        raise ValueError("a corrected mean needs at least two labels")
    share = _share_of_judge(labels, judged, others)
    errors = labels - share * judged
    estimate = min(1.0, max(0.0, share * others.mean + float(errors.mean())))
    variance = float(np.var(errors, ddof=1)) / rows + (share**2 * others.variance / others.rows if others.rows else 0.0)
    effective = _effective_rows(estimate, variance, rows)
    low, high = wilson(estimate, effective, t_quantile((1 + level) / 2, rows - 1))
    return Interval(estimate, low, high, rows + others.rows, effective)


def _share_of_judge(labels: Floats, judged: Floats, others: JudgedRest) -> float:
    if others.rows < 2:
        return 0.0
    rows, everyone = len(judged), len(judged) + others.rows
    between = rows * others.rows / everyone * (float(judged.mean()) - others.mean) ** 2
    within = (rows - 1) * float(np.var(judged, ddof=1)) + (others.rows - 1) * others.variance
    spread = (within + between) / (everyone - 1)
    if spread <= 0:
        return 0.0
    together = float(np.cov(labels, judged)[0, 1])
    return min(1.0, max(0.0, together / ((1 + rows / others.rows) * spread)))


def _effective_rows(estimate: float, variance: float, rows: int) -> float:
    """Return the number of right/wrong rows that carry as much information.

    Near 0 and 1 the variance rests on a handful of labels, so it is shrunk to that of labels alone, with the weight of half a label.
    """
    spread = estimate * (1 - estimate)
    if spread <= 0:
        return float(rows)
    weight = rows * min(estimate, 1 - estimate)
    deff = (variance * rows / spread * weight + 0.5) / (weight + 0.5)
    return rows / deff if deff > 0 else math.inf
