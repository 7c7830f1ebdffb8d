"""The score table: one scorer's scores for every (variant, row, repeat). Scorers write it; statistics, verdict and report read it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Literal

import numpy as np
from numpy.typing import NDArray

ScoreState = Literal["scored", "unscored", "failed", "missing"]


class State(IntEnum):
    """The codes of `ScoreTable.states`. MISSING is 0, so that an empty table is all missing.

    SCORED: there is an answer and a score for it. UNSCORED: there is an answer, but no score could be given (unparseable).
    FAILED: the task's final record is an error. MISSING: the task has no final record (not attempted, or stopped by racing).
    """

    MISSING = 0
    SCORED = 1
    UNSCORED = 2
    FAILED = 3


@dataclass(frozen=True, slots=True)
class ScoreValue:
    """One task's score: `value` is from 0 to 1 (0 or 1 for right/wrong scorers), and None unless the state is scored.

    `extracted` is the answer that was found in the text; `reason` explains the score in a few words.
    """

    value: float | None
    state: ScoreState
    extracted: str | None
    reason: str


@dataclass(frozen=True, slots=True, eq=False)
class ScoreTable:
    """One scorer's scores as arrays of shape (variants, rows, repeats).

    `values` is float64 from 0 to 1, NaN wherever the state is not SCORED; `states` is uint8 of `State`. Both become read-only.
    `binary`: every value is 0 or 1. `clusters` names each row's group (such as rows on one document); None: rows are independent.
    `answers` has a code for each extracted answer, negative for none; None where they are not read.
    Raises ValueError when shapes, values and states do not fit together.
    """

    scorer: str
    binary: bool
    variants: tuple[str, ...]
    row_ids: tuple[str, ...]
    clusters: tuple[str, ...] | None
    values: NDArray[np.float64]
    states: NDArray[np.uint8]
    answers: NDArray[np.int64] | None = None

    def __post_init__(self) -> None:
        shape = (len(self.variants), len(self.row_ids))
        if self.values.ndim != 3 or self.values.shape[:2] != shape or self.values.shape != self.states.shape:
            raise ValueError(f"values {self.values.shape} and states {self.states.shape} must both be {(*shape, 'repeats')}")
        if self.clusters is not None and len(self.clusters) != len(self.row_ids):
            raise ValueError(f"{len(self.clusters)} clusters are named for {len(self.row_ids)} rows")
        scored = self.states == State.SCORED
        if not np.array_equal(scored, ~np.isnan(self.values)):
            raise ValueError("a task has a value when, and only when, it is scored")
        scores = self.values[scored]
        if scores.size and (scores.min() < 0 or scores.max() > 1 or (self.binary and np.any((scores != 0) & (scores != 1)))):
            raise ValueError(f"values of {self.scorer} must be {'0 or 1' if self.binary else 'from 0 to 1'}")
        self.values.setflags(write=False)
        self.states.setflags(write=False)

    @property
    def repeats(self) -> int:
        """The number of tasks of each row and variant."""
        return int(self.values.shape[2])
