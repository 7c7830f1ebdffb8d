"""Types for a figure of all of a variant's answers, and the base class of its makers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from batch.evaluation.answers import Answer
from batch.evaluation.statistics.intervals import Codes, Floats
from batch.evaluation.table import ScoreValue

PER_LABEL = ("precision", "recall", "F1")
"""The names of the figures that each label has, in the order in which they are shown."""
RESAMPLES = 1000
LEVEL = 0.95


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure. `of` names its label or column; None: all answers. `low` and `high` are the 95 % bootstrap interval.

    `share`: it is from 0 to 1 and shown in percent. It is computed from `rows` answers. `value` is None where there is none, and
    `note` says why.
    """

    name: str
    value: float | None
    low: float | None = None
    high: float | None = None
    of: str | None = None
    share: bool = True
    rows: int = 0
    note: str | None = None

    @property
    def is_of_label(self) -> bool:
        """Whether it is one of the figures that each label has."""
        return self.of is not None and self.name in PER_LABEL

    @property
    def value_text(self) -> str:
        """The value for people: "87.3 %"; empty where there is none."""
        return "" if self.value is None else f"{self._number(self.value)}{' %' if self.share else ''}"

    @property
    def limits_text(self) -> str:
        """The limits for people: "[84.1, 90.2]"; empty where there are none."""
        return "" if self.low is None or self.high is None else f"[{self._number(self.low)}, {self._number(self.high)}]"

    def _number(self, value: float) -> str:
        return f"{100 * value:z.1f}" if self.share else f"{value:z.4g}" if abs(value) >= 1 else f"{value:z.3f}"


@dataclass(frozen=True, slots=True)
class ConfusionCell:
    """How many answers to rows of the label `expected` gave the label `given` (None: no label), with the ids of the first of them."""

    expected: str
    given: str | None
    count: int
    ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class VariantFigures:
    """A variant's figures, and its confusion matrix where it names labels, the largest cells first."""

    variant: str
    figures: tuple[Figure, ...]
    confusion: tuple[ConfusionCell, ...] = ()

    def document(self) -> dict[str, Any]:
        """Convert to JSON values, which `from_document` reads."""
        return asdict(self)

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> VariantFigures:
        """Read what `document` gave."""
        cells = (ConfusionCell(**{**cell, "ids": tuple(cell["ids"])}) for cell in document["confusion"])
        return cls(document["variant"], tuple(Figure(**figure) for figure in document["figures"]), tuple(cells))


@dataclass(frozen=True, slots=True)
class ScoredAnswer:
    """A finished task's answer with its score. `expected` is None for a score without a right value."""

    answer: Answer
    expected: Any
    score: ScoreValue

    @property
    def strict(self) -> float:
        """The score in the strict sense: 0 for what failed or could not be scored."""
        return self.score.value or 0.0


class Resamples:
    """Bootstrap resamples of a variant's answers, drawn by whole rows or clusters. `units` has the number of each answer's."""

    def __init__(self, units: Codes, count: int = RESAMPLES) -> None:
        self.units = units
        # Resamples of a single unit are all equal, which would give an interval without width.
        self.count = count if len(np.unique(units)) > 1 else 0

    def weights(self) -> Iterator[Floats]:
        """Count how often each answer occurs in each resample. Every call returns the same resamples."""
        # A fixed seed: the same answers give the same intervals, and all figures see the same resamples.
        rng, groups = np.random.default_rng(0), int(self.units.max(initial=-1)) + 1
        for _ in range(self.count):
            yield np.bincount(rng.integers(0, groups, groups), minlength=groups)[self.units].astype(np.float64)

    def values(self, statistic: Callable[[Floats], Floats]) -> Floats:
        """Evaluate a statistic, of shape (1 + resamples, figures): first on the answers themselves, then on each resample."""
        plain = statistic(np.ones(len(self.units)))
        return np.stack([plain, *(statistic(weights) for weights in self.weights())])


def limits(values: Floats) -> tuple[float | None, float | None]:
    """Compute the percentile interval (Efron & Tibshirani 1993, chapter 13); no limits where over one resample in ten has no value."""
    known = values[np.isfinite(values)]
    # Resamples without a value are not a random selection: the quantiles of the others would be too narrow.
    if len(known) < 20 or len(known) < 0.9 * len(values):
        return None, None
    low, high = np.quantile(known, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def figures_of(names: Sequence[Mapping[str, Any]], values: Floats) -> list[Figure]:
    """Make figures from `Resamples.values`. `names` gives each figure's other fields. A value that is not finite becomes None."""
    made = []
    for at, members in enumerate(names):
        value = float(values[0, at])
        low, high = limits(values[1:, at])
        made.append(Figure(**members, value=value, low=low, high=high) if np.isfinite(value) else Figure(**members, value=None))
    return made


class FigureMaker(ABC):
    """Collects the finished answers of one variant, and makes figures of them."""

    @abstractmethod
    def add(self, scored: ScoredAnswer) -> None:
        """Take one answer."""

    @abstractmethod
    def figures(self, resamples: Resamples) -> list[Figure]:
        """Compute the figures of all added answers; `resamples` are of these answers, in the order of `add`."""

    def confusion(self) -> Sequence[ConfusionCell]:
        """Return the confusion matrix; empty unless answers name labels."""
        return ()
