"""Group rows by a value: which rows are of which group, and the columns of a group."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from batch.results.steps.rows import StepRow, StepRows, group_id, value_at
from batch.settings.inputs import STEP_ID

GROUP = "group"
WITHOUT_GROUP = "without a value to group by"


class Groups:
    """Which rows are of which group, in the order in which the groups first came."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self._of_rows = array("q")

    def add(self, identifier: str) -> None:
        """Add the next row to a group."""
        self._of_rows.append(self._numbers.setdefault(identifier, len(self._numbers)))

    def __len__(self) -> int:
        return len(self._numbers)

    def __iter__(self) -> Iterator[tuple[str, list[int]]]:
        """Yield each group's id with the numbers of its rows."""
        groups = np.frombuffer(self._of_rows, np.int64) if self._of_rows else np.empty(0, np.int64)
        order = np.argsort(groups, kind="stable")
        ends = np.searchsorted(groups[order], np.arange(len(self._numbers)), side="right")
        start = 0
        for identifier, end in zip(self._numbers, ends.tolist(), strict=True):
            yield identifier, order[start:end].tolist()
            start = end


def grouped_columns(rows: Iterable[Mapping[str, Any]], identifier: str, path: str) -> dict[str, Any]:
    """Return the columns of a group: lists of those of its rows, but for the value by which they are grouped."""
    members = list(rows)
    names = dict.fromkeys(name for row in members for name in row)
    columns: dict[str, Any] = {name: [row.get(name) for row in members] for name in names}
    columns[group_column(path, members[0])] = value_at(members[0], path)
    return {**columns, STEP_ID: identifier}


def group_column(path: str, row: Mapping[str, Any]) -> str:
    """Return the column that has a group's value: its own, or GROUP for a value within another."""
    return path if path in row else GROUP


def with_group(rows: StepRows, path: str, add: Callable[[str], None]) -> Iterator[StepRow]:
    """Yield those of `rows` that have a group, after `add` was called with its id; the others are counted."""
    for row in rows:
        identifier = group_id(row.columns, path)
        if identifier is None:
            rows.counts.omitted[WITHOUT_GROUP] += 1
            rows.counts.answers -= 1
            continue
        add(identifier)
        yield row
