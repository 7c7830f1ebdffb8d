"""The score table: one scorer's marks for every (variant, row, repeat). Scorers write it; statistics, verdict and report read it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

CellState = Literal["scored", "unscored", "failed", "missing"]


class State(IntEnum):
    """The codes of `ScoreTable.states`. MISSING is 0, so that an empty table is all missing.

    SCORED: there is an answer and a mark for it. UNSCORED: there is an answer, but no mark could be given (unparseable).
    FAILED: the task's final record is an error. MISSING: the task has no final record (not attempted, or stopped by racing).
    """

    MISSING = 0
    SCORED = 1
    UNSCORED = 2
    FAILED = 3


@dataclass(frozen=True, slots=True)
class Cell:
    """One task's mark: `value` is from 0 to 1 (0 or 1 for right/wrong scorers), and None unless the state is scored.

    `extracted` is the answer that was found in the text, `reason` a few words on why it has this mark.
    """

    value: float | None
    state: CellState
    extracted: str | None
    reason: str


@dataclass(frozen=True, slots=True, eq=False)
class ScoreTable:
    """One scorer's marks as arrays of shape (variants, rows, repeats).

    `values` is float64 from 0 to 1, NaN wherever the state is not SCORED; `states` is uint8 of `State`. Both become read-only.
    `binary` says that every value is 0 or 1. `clusters` names each row's group (rows on one document, say); None: each row stands
    for itself. Raises ValueError when shapes, values and states do not fit together.
    """

    scorer: str
    binary: bool
    variants: tuple[str, ...]
    row_ids: tuple[str, ...]
    clusters: tuple[str, ...] | None
    values: NDArray[np.float64]
    states: NDArray[np.uint8]

    def __post_init__(self) -> None:
        shape = (len(self.variants), len(self.row_ids))
        if self.values.ndim != 3 or self.values.shape[:2] != shape or self.values.shape != self.states.shape:
            raise ValueError(f"values {self.values.shape} and states {self.states.shape} must both be {(*shape, 'repeats')}")
        if self.clusters is not None and len(self.clusters) != len(self.row_ids):
            raise ValueError(f"{len(self.clusters)} clusters are named for {len(self.row_ids)} rows")
        scored = self.states == State.SCORED
        if not np.array_equal(scored, ~np.isnan(self.values)):
            raise ValueError("a task has a value when, and only when, it is scored")
        marks = self.values[scored]
        if marks.size and (marks.min() < 0 or marks.max() > 1 or (self.binary and np.any((marks != 0) & (marks != 1)))):
            raise ValueError(f"values of {self.scorer} must be {'0 or 1' if self.binary else 'from 0 to 1'}")
        self.values.setflags(write=False)
        self.states.setflags(write=False)

    @property
    def repeats(self) -> int:
        """How often each row was asked."""
        return int(self.values.shape[2])


class TableBuilder:
    """Collects marks in any order; what is never put stays missing. 5 × 10,000 marks take a tenth of a second or less."""

    def __init__(
        self,
        scorer: str,
        *,
        binary: bool,
        variants: Sequence[str],
        row_ids: Sequence[str],
        repeats: int = 1,
        clusters: Sequence[str] | None = None,
    ) -> None:
        self._head: dict[str, Any] = {"scorer": scorer, "binary": binary, "variants": tuple(variants), "row_ids": tuple(row_ids)}
        self._clusters = None if clusters is None else tuple(clusters)
        shape = (len(variants), len(row_ids), repeats)
        self._values = np.full(shape, np.nan)
        self._states = np.zeros(shape, dtype=np.uint8)

    def put(self, variant: int, row: int, repeat: int, cell: Cell) -> None:
        """Set one mark; `variant` and `row` are indices into the names given at the start."""
        self._states[variant, row, repeat] = State[cell.state.upper()]
        self._values[variant, row, repeat] = np.nan if cell.value is None else cell.value

    def build(self) -> ScoreTable:
        """The table of all marks so far. Raises ValueError as `ScoreTable` does."""
        return ScoreTable(**self._head, clusters=self._clusters, values=self._values.copy(), states=self._states.copy())
