"""Agreement of two raters beyond chance: a judge against a person's labels."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from batch.evaluation.statistics.distributions import normal_quantile

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
    counts = np.zeros((len(labels), len(labels)), dtype=np.int64)
    np.add.at(counts, ([code[label] for label in first], [code[label] for label in second]), 1)
    return _from_counts(counts, *_credit(len(labels), weights), level)


def _credit(labels: int, weights: Weights) -> tuple[NDArray[np.int64], int]:
    """The credit for each pair of labels in whole units, and how many of them equal labels get."""
    if weights == "none" or labels == 1:
        return np.eye(labels, dtype=np.int64), 1
    apart, power = np.abs(np.subtract.outer(np.arange(labels), np.arange(labels))), 1 if weights == "linear" else 2
    full = (labels - 1) ** power
    return np.asarray(full - apart**power, dtype=np.int64), full


def _from_counts(counts: NDArray[np.int64], units: NDArray[np.int64], full: int, level: float) -> Agreement:
    # In whole numbers up to the one division, and without BLAS: kappa's last bit, and so its sign at 0, is the same on every machine.
    rows, left, right = int(counts.sum()), counts.sum(axis=1), counts.sum(axis=0)
    observed, by_chance = int((units * counts).sum()) * rows, int((units * np.multiply.outer(left, right)).sum())
    most = full * rows * rows
    agreed = int(np.trace(counts)) / rows
    if by_chance == most:
        return Agreement(None, -1.0, 1.0, agreed, rows)
    kappa, chance = (observed - by_chance) / (most - by_chance), by_chance / most
    of_row, of_column = (units * right).sum(axis=1) / (full * rows), (units * left[:, np.newaxis]).sum(axis=0) / (full * rows)
    terms = units / full - np.add.outer(of_row, of_column) * (1 - kappa)
    # Rounding can leave it a little below 0, of which there is no root.
    variance = (float(np.sum(counts * terms**2)) / rows - (kappa - chance * (1 - kappa)) ** 2) / (rows * (1 - chance) ** 2)
    half = normal_quantile((1 + level) / 2) * math.sqrt(max(0.0, variance))
    return Agreement(kappa, max(-1.0, kappa - half), min(1.0, kappa + half), agreed, rows)
