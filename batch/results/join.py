"""Join input and journals: every task of the job, in input order, with its newest outcome."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from batch.journal.index import Location, ResumeIndex
from batch.journal.lines import task_hash
from batch.journal.reading import RecordReader
from batch.record_class import record_class
from batch.records import BadRow, Outcome, Row
from batch.rundir.stored_run import StoredRun
from batch.settings import Job, Variant

# The most bytes of records in memory at a time; one task's record is always read whole.
_RECORD_BYTES = 64 << 20


@record_class(frozen=True, slots=True)
class Result:
    """A task with its newest outcome; None when it was not attempted, or its attempt was interrupted."""

    row: Row | BadRow
    variant: Variant
    repeat: int
    outcome: Outcome | None


class InputRows(Protocol):
    """The rows of an input, or a part of them."""

    def batches(self) -> Iterator[list[Row | BadRow]]:
        """Iterate over the rows in batches, in input order. Raises InputError."""


class MatchedTasks:
    """Track which records of a journal have their task in the input."""

    def __init__(self, index: ResumeIndex) -> None:
        self._index = index
        self._seen = np.zeros(len(index), np.bool_)
        self.doubled = 0
        self._left = len(index)

    def mark(self, task_hashes: Sequence[int]) -> None:
        """Record that the input has these tasks."""
        places = [place for place in self._index.positions(task_hashes) if place >= 0]
        # A set, not np.unique: that loads numpy.ma, 40 ms of each run.
        fresh = int(np.count_nonzero(~self._seen[np.array(list(set(places)), np.intp)]))
        self.doubled += len(places) - fresh
        self._left -= fresh
        self._seen[places] = True

    @property
    def orphaned(self) -> int:
        """The number of tasks with an outcome that are no longer in the input."""
        return self._left


def results(
    run: StoredRun,
    variants: Sequence[Variant] | None = None,
    *,
    indexes: Mapping[str, ResumeIndex] | None = None,
    rows: InputRows | None = None,
) -> Iterator[Result]:
    """Iterate over every task: rows in input order, per row the variants (default: the job's) in order, per variant the repeats.

    Memory is bounded except for the indexes, which are loaded unless given (by slug). `rows` are those of the run's dataset by default.

    Raises:
        InputError: the input cannot be read.
        DamagedError: a journal is not as it was written.
    """
    for portion in portions(run, variants, indexes=indexes, rows=rows):
        yield from portion


def portions(
    run: StoredRun,
    variants: Sequence[Variant] | None = None,
    *,
    indexes: Mapping[str, ResumeIndex] | None = None,
    rows: InputRows | None = None,
    matched: Mapping[str, MatchedTasks] | None = None,
    enough_rows: int | None = None,
) -> Iterator[Iterator[Result]]:
    """Iterate over every task as `results` does, in portions whose rows and records fit in memory together. Raises as `results`.

    `matched` (by slug) records each task. After `enough_rows` reading ends as soon as all outcomes are `matched`, so that a job's limit
    keeps its effect.
    """
    chosen = run.job.variants if variants is None else tuple(variants)
    with ExitStack() as stack:
        columns = []
        for variant in chosen:
            index = indexes[variant.slug] if indexes is not None else ResumeIndex.load(run.directory.journal_dir(variant.slug))
            reader = stack.enter_context(RecordReader(index.segments))
            columns.append(_Column(variant, index, reader, None if matched is None else matched[variant.slug]))
        count = 0
        for batch in (run.dataset if rows is None else rows).batches():
            yield from _joined(batch, columns, run.job)
            count += len(batch)
            if matched is None or enough_rows is None or count < enough_rows:
                continue
            if not any(matched[variant.slug].orphaned for variant in chosen):
                return


@dataclass(frozen=True, slots=True)
class _Column:
    variant: Variant
    index: ResumeIndex
    reader: RecordReader
    matched: MatchedTasks | None


def _joined(rows: Sequence[Row | BadRow], columns: Sequence[_Column], job: Job) -> Iterator[Iterator[Result]]:
    repeats = range(job.run.repeats)
    by_id = job.input.id is not None
    hashes = [task_hash(row.id if by_id else None, row.ordinal, repeat) for row in rows for repeat in repeats]
    found: list[list[tuple[Location | None, ...]]] = []
    for column in columns:
        if column.matched is not None:
            column.matched.mark(hashes)
        locations = column.index.locate(hashes)
        found.append([tuple(locations[start : start + len(repeats)]) for start in range(0, len(hashes), len(repeats))])
    for start, end in within_memory(found, len(rows)):
        yield _read(rows[start:end], [(column, locations[start:end]) for column, locations in zip(columns, found, strict=True)], repeats)


def _read(
    rows: Sequence[Row | BadRow], columns: Sequence[tuple[_Column, Sequence[tuple[Location | None, ...]]]], repeats: range
) -> Iterator[Result]:
    outcomes = [iter(column.reader.read([location for row in locations for location in row])) for column, locations in columns]
    for row in rows:
        for (column, _), read in zip(columns, outcomes, strict=True):
            for repeat in repeats:
                yield Result(row, column.variant, repeat, next(read))


def within_memory(found: Sequence[Sequence[Sequence[Location | None]]], rows: int) -> Iterator[tuple[int, int]]:
    """Split rows into ranges whose records together are at most _RECORD_BYTES, or one row; `found` is by column, row and repeat."""
    if sum([location.length for column in found for places in column for location in places if location is not None]) <= _RECORD_BYTES:
        yield 0, rows
        return
    start = size_so_far = 0
    for row in range(rows):
        size = sum(location.length for locations in found for location in locations[row] if location is not None)
        if size_so_far and size_so_far + size > _RECORD_BYTES:
            yield start, row
            start, size_so_far = row, 0
        size_so_far += size
    yield start, rows
