"""Reads ranges of rows from the nearest mark, and avoids reading anything twice."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from batch.errors import InputError
from batch.readers.choosing import of_rows
from batch.readers.dataset import Dataset
from batch.readers.record import RowFilter, Skip
from batch.readers.rows import in_batches
from batch.records import BadRow, InputOffset, Row


class Ranges:
    """Reads ranges of a dataset; cheap where they come in their order, since one open file is read on."""

    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset
        self._rows: Iterator[tuple[Row | BadRow, int]] = iter(())
        self._skip = Skip()
        self._next = -1

    def batches(
        self, start: int, stop: int, mark: InputOffset, size: int = 256, wanted: RowFilter | None = None
    ) -> Iterator[list[Row | BadRow]]:
        """Those rows with ordinals from `start` up to `stop` that the job takes; `mark` is a place at or before `start`.

        The job's limit is the caller's business; `wanted` is as for `Dataset.batches`.

        Raises:
            InputError: a file cannot be read to its end, or does not have these rows any more.
        """
        if not mark.ordinal <= self._next <= start:
            self._skip = Skip()
            self._rows, self._next = self._dataset.rows(mark, self._skip), mark.ordinal
        self._skip.records = start - self._next
        self._next = -1
        read = 0

        def counted() -> Iterator[tuple[Row | BadRow, int]]:
            nonlocal read
            for sized in islice(self._rows, stop - start):
                read += 1
                yield sized

        taken = self._dataset.taken(counted())
        yield from in_batches(taken, size) if wanted is None else of_rows(taken, wanted, size)
        if read < stop - start:
            raise InputError(f"the input ends before row {stop:,}: it was changed while it was read")
        self._next = stop
