"""From a score table to marks per row: strict, answered, coverage; and what may be shown of them.

Strict: a failed call and an answer that could not be scored count 0. This is the score: headline, intervals, pairs, ranks and
P(best) use no other. Tasks that were never finished are in no denominator; they are counted apart.

Answered: the mean over scored tasks alone. No such figure can be safe from failures by itself, for dropping a wrong answer from
its denominator raises it (only strict cannot rise whichever calls fail). So it is shown only where coverage is at least
`ANSWERED_FROM`: there it exceeds strict by 1 - coverage at most, and a variant that fails 10 % of its calls shows none at all.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from batch.evaluation.statistics.intervals import TIE, Interval, mean_interval
from batch.evaluation.table import ScoreTable, State

ANSWERED_FROM = 0.95
"""The coverage from which the score on answered tasks is shown."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class RowMarks:
    """Marks of shape (variants, rows), repeats averaged; NaN where a row has no finished (for `answered`: no scored) task."""

    strict: Floats
    answered: Floats
    coverage: Floats


@dataclass(frozen=True, slots=True)
class OutcomeCounts:
    """How many of a variant's tasks ended how."""

    scored: int
    unscored: int
    failed: int
    missing: int

    @property
    def finished(self) -> int:
        """Tasks with a final record."""
        return self.scored + self.unscored + self.failed


@dataclass(frozen=True, slots=True)
class Summary:
    """One variant's score. Scores and coverage are from 0 to 1.

    `strict` is None when no task is finished. `answered` is None when coverage is under `ANSWERED_FROM` (see the module's text).
    `flips` is the share of re-asked rows whose scored repeats do not all have one mark, None when no row was re-asked.
    """

    variant: str
    strict: Interval | None
    answered: float | None
    coverage: float
    counts: OutcomeCounts
    flips: float | None


def row_marks(table: ScoreTable) -> RowMarks:
    """The marks per row: means over the row's finished, or scored, repeats."""
    scored = np.count_nonzero(table.states == State.SCORED, axis=2)
    finished = np.count_nonzero(table.states != State.MISSING, axis=2)
    total = np.nansum(table.values, axis=2)
    return RowMarks(_ratio(total, finished), _ratio(total, scored), _ratio(scored, finished))


def cluster_codes(table: ScoreTable) -> NDArray[np.intp] | None:
    """Each row's cluster as a number from 0, or None when each row stands for itself."""
    return None if table.clusters is None else np.unique(np.asarray(table.clusters), return_inverse=True)[1]


def summarise(table: ScoreTable, level: float = 0.95) -> tuple[Summary, ...]:
    """Every variant's score, in the table's order; `level` is the confidence of the intervals."""
    marks = row_marks(table)
    clusters = cluster_codes(table)
    plain = table.binary and table.repeats == 1
    return tuple(_summary(table, marks, index, clusters, plain, level) for index in range(len(table.variants)))


def _summary(table: ScoreTable, marks: RowMarks, index: int, clusters: NDArray[np.intp] | None, plain: bool, level: float) -> Summary:
    tally = np.bincount(table.states[index].ravel(), minlength=len(State))
    counts = OutcomeCounts(int(tally[State.SCORED]), int(tally[State.UNSCORED]), int(tally[State.FAILED]), int(tally[State.MISSING]))
    strict = marks.strict[index]
    finished = ~np.isnan(strict)
    coverage = float(marks.coverage[index, finished].mean()) if counts.finished else 0.0
    answered = float(np.nanmean(marks.answered[index])) if counts.finished and coverage >= ANSWERED_FROM else None
    interval = mean_interval(strict, clusters, plain=plain, level=level) if counts.finished else None
    return Summary(table.variants[index], interval, answered, coverage, counts, _flips(table.values[index]))


def _flips(values: Floats) -> float | None:
    asked_again = np.count_nonzero(~np.isnan(values), axis=1) > 1
    if not asked_again.any():
        return None
    again = values[asked_again]
    return float(np.mean(np.nanmax(again, axis=1) - np.nanmin(again, axis=1) > TIE))


def _ratio(above: NDArray[np.generic], below: NDArray[np.generic]) -> Floats:
    wide = np.asarray(above, dtype=np.float64)
    ratio: Floats = np.divide(wide, below, out=np.full(wide.shape, np.nan), where=np.asarray(below) > 0)
    return ratio
