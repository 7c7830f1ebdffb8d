"""A score's marks, read along with the results that they judge."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from batch.evaluation.table import Cell

_TASK = ("row", "variant", "repeat")
_CELL = ("value", "state", "extracted", "reason")

TaskKey = tuple[int, str, int]


class MarksReader:
    """The marks of one score in the order in which they were written, which is that of the results; a batch of them is held at a time."""

    def __init__(self, path: Path) -> None:
        self._marks = _read(path)
        self._next = next(self._marks, None)

    def take(self, row: int, variant: str, repeat: int) -> Cell | None:
        """The mark of this task; None when it has none, as rows without a right value. Tasks must be asked for in their order."""
        task = (row, variant, repeat)
        while self._next is not None and self._next[0][0] < row:
            self._next = next(self._marks, None)
        if self._next is None or self._next[0] != task:
            return None
        found = self._next[1]
        self._next = next(self._marks, None)
        return found


def _read(path: Path) -> Iterator[tuple[TaskKey, Cell]]:
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(batch_size=4096, columns=[*_TASK, *_CELL]):
            columns: list[list[Any]] = [batch.column(name).to_pylist() for name in (*_TASK, *_CELL)]
            for row, variant, repeat, *cell in zip(*columns, strict=True):
                yield (row, variant, repeat), Cell(*cell)
