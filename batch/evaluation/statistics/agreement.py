"""Agreement of two raters beyond chance: a judge against a person's labels."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from batch.evaluation.statistics.distributions import normal_quantile
from batch.evaluation.statistics.intervals import Floats

Weights = Literal["none", "linear", "quadratic"]


@dataclass(frozen=True, slots=True)
class Agreement:
    """Cohen's kappa with its interval, and the plain share of equal labels. `kappa` is None when chance alone explains everything."""

    kappa: float | None
    low: float
    high: float
    agreed: float
    rows: int


def cohen_kappa(
    first: Sequence[Hashable],
    second: Sequence[Hashable],
    *,
    scale: Sequence[Any] | None = None,
    weights: Weights = "none",
    level: float = 0.95,
) -> Agreement:
    """Cohen's kappa of two label lists of one length, with a normal interval cut to -1..1.

    Kappa: Cohen 1960, Educ. Psychol. Meas. 20:37, weighted: Cohen 1968; its standard error: Fleiss, Cohen & Everitt 1969, Psychol.
    Bull. 72:323. `scale` gives the labels in order, which weights need; by default it is the labels seen, sorted by text.
    Raises ValueError for lists of different or no length, and for labels that are not on the scale.
    """
    if len(first) != len(second) or not first:
        raise ValueError("kappa needs two lists of one length, with at least one label")
    labels = sorted({*first, *second}, key=str) if scale is None else list(scale)
    code = {label: index for index, label in enumerate(labels)}
    strays = {str(label) for label in (*first, *second) if label not in code}
    if strays:
        raise ValueError(f"labels that are not on the scale: {', '.join(sorted(strays))}")
    table = np.zeros((len(labels), len(labels)))
    np.add.at(table, ([code[label] for label in first], [code[label] for label in second]), 1)
    return _from_shares(table / len(first), _credit(len(labels), weights), len(first), level)


def _credit(labels: int, weights: Weights) -> Floats:
    """The credit for each pair of labels: 1 for equal ones."""
    if weights == "none" or labels == 1:
        return np.eye(labels)
    apart = np.abs(np.subtract.outer(np.arange(labels), np.arange(labels))) / (labels - 1)
    return np.asarray(1 - (apart if weights == "linear" else apart**2), dtype=np.float64)


def _from_shares(shares: Floats, credit: Floats, rows: int, level: float) -> Agreement:
    left, right = shares.sum(axis=1), shares.sum(axis=0)
    agreed = float(np.trace(shares))
    observed, chance = float(np.sum(credit * shares)), float(left @ credit @ right)
    if chance >= 1:
        return Agreement(None, -1.0, 1.0, agreed, rows)
    kappa = (observed - chance) / (1 - chance)
    of_row, of_column = credit @ right, left @ credit
    terms = credit - np.add.outer(of_row, of_column) * (1 - kappa)
    variance = (float(np.sum(shares * terms**2)) - (kappa - chance * (1 - kappa)) ** 2) / (rows * (1 - chance) ** 2)
    half = normal_quantile((1 + level) / 2) * math.sqrt(max(0.0, variance))
    return Agreement(kappa, max(-1.0, kappa - half), min(1.0, kappa + half), agreed, rows)
