"""Build the index of the samples, which the page's list and filters need: every row without its texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from batch.evaluation.scorers.texts import as_text
from batch.evaluation.statistics.intervals import TIE
from batch.evaluation.table import ScoreValue
from batch.records import BadRow, Outcome, Row

MISSING, FAILED, UNSCORED, WRONG, PARTIAL, RIGHT, ANSWERED = "0123456"
"""A task's state, as a digit. ANSWERED: there is an answer, which no score judges."""

DISAGREEMENT = 0.25
"""From this difference between the highest and the lowest score of a row on, its variants disagree. Right and wrong differ by 1."""

MOST_VALUES = 200
"""A column with more values is no filter."""

# Codes are the characters from "0" on. 40 of them end before the backslash, so that JSON escapes none.
_FIRST_CODE = 48
_MOST_FINISHES = 40


def state_of(outcome: Outcome | None, cell: ScoreValue | None) -> str:
    """Return the state of a task with this outcome and this score."""
    if cell is not None and cell.state == "scored":
        return RIGHT if cell.value == 1 else PARTIAL if cell.value else WRONG
    if cell is not None and cell.state == "unscored":
        return UNSCORED
    if outcome is None:
        return MISSING
    return ANSWERED if outcome.ok else FAILED


def scores_disagree(cells: Sequence[ScoreValue | None], repeats: int) -> bool:
    """Whether the variants' scores of a row differ. A variant's repeats are averaged; unscored ones are skipped."""
    scores = [None if cell is None else cell.value for cell in cells]
    if repeats == 1:
        known = [score for score in scores if score is not None]
    else:
        groups = (scores[at : at + repeats] for at in range(0, len(scores), repeats))
        scored = ([score for score in group if score is not None] for group in groups)
        known = [float(np.mean(group)) for group in scored if group]
    return len(known) > 1 and max(known) - min(known) >= DISAGREEMENT - TIE


def texts_disagree(texts: Sequence[str | None]) -> bool:
    """Whether the answers of a row differ by more than case and space."""
    return len({" ".join(text.split()).casefold() for text in texts if text is not None}) > 1


class SampleIndex:
    """Collects the index row by row. Codes are strings with one character per row, or per task in the order of the results."""

    def __init__(self, columns: Sequence[str], scores: int) -> None:
        self._ids: list[str] = []
        self._ordinals: list[int] = []
        self._previews: list[str] = []
        self._columns = {name: _Column() for name in columns}
        self._finishes: dict[str, str] = {}
        self._finish_codes: list[str] = []
        self._states: list[list[str]] = [[] for _ in range(max(1, scores))]
        self._disagree: list[list[str]] = [[] for _ in range(max(1, scores))]
        self._labels: dict[int, _Labels] = {}

    def __len__(self) -> int:
        return len(self._ids)

    def add_row(self, row: Row | BadRow, preview: str) -> None:
        """Begin a row."""
        self._ids.append(row.id)
        self._ordinals.append(row.ordinal)
        self._previews.append(preview)
        values: Mapping[str, Any] = {} if isinstance(row, BadRow) else row.columns
        for name, column in self._columns.items():
            column.add(values.get(name))

    def add_scores(self, score: int, states: Sequence[str], *, disagree: bool) -> None:
        """Add the states of the row's tasks by one score."""
        self._states[score].append("".join(states))
        self._disagree[score].append("1" if disagree else "0")

    def add_labels(self, score: int, right: Sequence[str], cells: Sequence[ScoreValue | None]) -> None:
        """Add the row's right labels, and the labels that its answers gave, for a score that reads labels."""
        given = [cell.extracted if cell is not None and cell.state == "scored" else None for cell in cells]
        self._labels.setdefault(score, _Labels()).add(right, given)

    def add_finishes(self, outcomes: Sequence[Outcome | None]) -> None:
        """Add the finish reasons of the row's answers."""
        self._finish_codes.append("".join(self._finish(outcome) for outcome in outcomes))

    def _finish(self, outcome: Outcome | None) -> str:
        reason = "" if outcome is None or not outcome.ok else outcome.finish_reason or ""
        if reason not in self._finishes:
            if len(self._finishes) > _MOST_FINISHES:
                reason = "other"
            self._finishes.setdefault(reason, chr(_FIRST_CODE + len(self._finishes)))
        return self._finishes[reason]

    def document(self) -> dict[str, Any]:
        """Return the index as JSON."""
        return {
            "ids": self._ids,
            "ordinals": self._ordinals,
            "previews": self._previews,
            "columns": [{"name": name, **column.document()} for name, column in self._columns.items() if column.is_filter],
            "finishes": list(self._finishes),
            "finishCodes": "".join(self._finish_codes),
            "states": ["".join(states) for states in self._states],
            "labels": {str(score): labels.document() for score, labels in self._labels.items()},
            "disagree": ["".join(flags) for flags in self._disagree],
        }


class _Labels:
    """Numbers labels; -1 is none. `expected` has the first right label of a row, or the one that was given.

    With several right labels the given one counts for each task, as in the confusion matrix.
    """

    def __init__(self) -> None:
        self._known: dict[str, int] = {}
        self._expected: list[int] = []
        self._given: list[int] = []

    def add(self, right: Sequence[str], given: Sequence[str | None]) -> None:
        for label in given:
            self._given.append(self._code(label))
            self._expected.append(self._code(label if label in right else right[0] if right else None))

    def _code(self, label: str | None) -> int:
        return -1 if label is None else self._known.setdefault(label, len(self._known))

    def document(self) -> dict[str, Any]:
        return {"values": list(self._known), "expected": self._expected, "given": self._given}


class _Column:
    """Numbers the distinct values of a column."""

    def __init__(self) -> None:
        self._known: dict[str, int] = {}
        self._codes: list[int] = []

    def add(self, value: Any) -> None:
        text = None if value is None else as_text(value)
        # A column with too many values is no filter, so no more of them are kept.
        if text is None or (len(self._known) > MOST_VALUES and text not in self._known):
            self._codes.append(-1)
        else:
            self._codes.append(self._known.setdefault(text, len(self._known)))

    @property
    def is_filter(self) -> bool:
        return 1 < len(self._known) <= MOST_VALUES

    def document(self) -> dict[str, Any]:
        return {"values": list(self._known), "codes": self._codes}
