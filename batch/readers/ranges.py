"""Reads ranges of rows from the nearest mark, and avoids reading anything twice."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Protocol

from batch.errors import InputError
from batch.readers.choosing import of_rows
from batch.readers.record import FinishedRows, RowFilter, Skip
from batch.readers.rows import Sized, in_batches
from batch.records import BadRow, InputOffset, Row

# Rows passed over before the caller may do other work.
_PASSED = 1 << 16


class RowsFrom(Protocol):
    """What ranges are read of: a Dataset."""

    def rows(self, mark: InputOffset, skip: Skip) -> Iterator[Sized]:
        """Yield all rows from `mark` on with their sizes, without those that `skip` passes over."""

    def taken(self, rows: Iterator[Sized]) -> Iterator[Sized]:
        """Yield those of `rows` that the job takes."""


class Ranges:
    """Reads ranges of a dataset; cheap where they come in their order, since one open file is read on."""

    def __init__(self, dataset: RowsFrom) -> None:
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
        taken = self._dataset.taken(self.rows(start, stop, mark))
        yield from in_batches(taken, size) if wanted is None else of_rows(taken, wanted, size)

    def rows(self, start: int, stop: int, mark: InputOffset) -> Iterator[Sized]:
        """Yield the rows with ordinals from `start` up to `stop`, also those that the job does not take. Raises as `batches`."""
        if not mark.ordinal <= self._next <= start:
            self._skip = Skip()
            self._rows, self._next = self._dataset.rows(mark, self._skip), mark.ordinal
        self._skip.records = start - self._next
        self._next = -1
        read = 0
        for sized in islice(self._rows, stop - start):
            read += 1
            yield sized
        if read < stop - start:
            raise InputError(f"the input ends before row {stop:,}: it was changed while it was read")
        self._next = stop

    def distance(self, start: int, mark: InputOffset) -> int:
        """Return how many rows must be passed over to reach `start`, from `mark` or from where the reader stands."""
        return start - (self._next if mark.ordinal <= self._next <= start else mark.ordinal)


def mark_before(offsets: Sequence[InputOffset], ordinal: int) -> InputOffset:
    """Return the last of the places to begin reading, sorted and the first that of row 0, that is not behind the row `ordinal`."""
    return offsets[bisect_right(offsets, ordinal, key=lambda offset: offset.ordinal) - 1]


def unfinished(
    ranges: Ranges, offsets: Sequence[InputOffset], bound: int, finished: FinishedRows, size: int
) -> Iterator[list[Row | BadRow]]:
    """Yield those of the first `bound` rows that are not finished and that the job takes; an empty list while many are passed over.

    `offsets` are where reading can begin, sorted; the first is that of row 0. Raises as `Ranges.batches`.
    """
    batch: list[Row | BadRow] = []
    for start, stop in finished.gaps(0, bound):
        mark = mark_before(offsets, start)
        while ranges.distance(start, mark) > _PASSED:
            # One row is read to get there, and is not given.
            at = start - ranges.distance(start, mark) + _PASSED
            for _ in ranges.rows(at, at + 1, mark):
                pass
            yield []
        for rows in ranges.batches(start, stop, mark, size):
            batch += rows
            if len(batch) >= size or len(rows) >= size:
                yield batch
                batch = []
    if batch:
        yield batch
