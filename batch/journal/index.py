"""The newest record of each task of a journal, in memory: 31 bytes a task, searched in batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from batch.errors import DamagedError
from batch.journal.disk import storage_errors
from batch.journal.scan import Column, refuse, scan
from batch.journal.segments import Segment, segments

_FIRST_ROWS = 1 << 16


class IndexEntry(NamedTuple):
    """The newest record of a task: the first 8 bytes of its request key, and whether it is a completion."""

    key: bytes
    ok: bool


class Location(NamedTuple):
    """Where a record is: the index of its segment in `ResumeIndex.segments`, its first byte, and its length without the newline."""

    segment: int
    offset: int
    length: int


class ResumeIndex:
    """The newest record of each task of one journal. Made by `load`."""

    def __init__(self, segments: Sequence[Path], columns: Sequence[Column], records: int) -> None:
        self.segments = tuple(segments)
        self.records = records
        self._by_key: NDArray[np.intp] | None = None
        self._task, self._key, self._ok, self._segment, self._offset, self._length = columns
        # What is not sent again by `final`, `lookup` and `save`: completions, and failures that are settled.
        self._settled = self._ok

    @classmethod
    def load(cls, directory: Path, on_damage: Callable[[DamagedError], None] | None = None) -> ResumeIndex:
        """Read the journal in `directory` (empty when it does not exist), skipping a torn tail and changing nothing.

        With `on_damage`, damaged records are reported and skipped.

        Raises:
            DamagedError: a record differs from what was written, and `on_damage` is not given.
            StorageError: the disk refuses.
        """
        return cls.of(segments(directory), on_damage)

    @classmethod
    def of(cls, found: Sequence[Segment], on_damage: Callable[[DamagedError], None] | None = None) -> ResumeIndex:
        """Index some segments of a journal, given in their order. Raises as `load`."""
        growing = [_Growing(kind) for kind in _KINDS]
        for number, segment in enumerate(found):
            end = _end(segment, on_damage)
            with storage_errors(segment.path):
                for sliced in scan(segment.path, number, end, may_lack_newline=segment.is_open_ended, on_damage=on_damage or refuse):
                    for whole, more in zip(growing, sliced, strict=True):
                        whole.add(more)
        columns = [whole.take() for whole in growing]
        records = len(columns[0])
        newest = _newest(columns[0])
        for position, column in enumerate(columns):
            columns[position] = column[newest]
        return cls([segment.path for segment in found], columns, records)

    def save(self, path: Path) -> None:
        """Write what `lookup` needs to a file, 17 bytes a task, for `SharedIndex`. Raises StorageError."""
        with storage_errors(path), path.open("wb") as file:
            for column, kind in ((self._task, np.uint64), (self._key, np.uint64), (self._settled, np.bool_)):
                file.write(np.ascontiguousarray(column, kind).data)

    def __len__(self) -> int:
        return len(self._task)

    @property
    def ok(self) -> int:
        """Number of tasks with a completion."""
        return int(np.count_nonzero(self._ok))

    @property
    def failed(self) -> int:
        """Number of failed tasks."""
        return len(self) - self.ok

    @property
    def superseded(self) -> int:
        """Number of records that a newer record of the same task has replaced."""
        return self.records - len(self)

    @property
    def nbytes(self) -> int:
        """Size of the index in memory, in bytes."""
        return sum(column.nbytes for column in (self._task, self._key, self._ok, self._segment, self._offset, self._length))

    def positions(self, task_hashes: Sequence[int]) -> list[int]:
        """Find tasks: for each its position in this index (0 ≤ position < len), or -1."""
        if not len(self):
            return [-1] * len(task_hashes)
        wanted = np.array(task_hashes, np.uint64)
        places = np.searchsorted(self._task, wanted)
        # For what lies behind the last task any position will do: the comparison fails there.
        places[places == len(self)] = 0
        return np.where(self._task[places] == wanted, places, -1).tolist()  # type: ignore[no-any-return]

    def final(self, task_hashes: bytes, *, with_failures: bool) -> list[bool]:
        """For each task (hashes as of `lines.task_hashes`), whether it has a completion or, `with_failures`, any outcome."""
        return final(self._task, self._settled, task_hashes, with_failures=with_failures)

    def lookup(self, task_hashes: Sequence[int]) -> list[IndexEntry | None]:
        """Find the newest record of each task; None for tasks without one. Fast for many at once only."""
        places = self.positions(task_hashes)
        if not len(self):
            return [None] * len(places)
        keys = self._key[places].astype(">u8").tobytes()
        ok = self._settled[places].tolist()
        return [None if place < 0 else IndexEntry(keys[8 * i : 8 * i + 8], ok[i]) for i, place in enumerate(places)]

    def locate(self, task_hashes: Sequence[int]) -> list[Location | None]:
        """Find where the newest record of each task is; None for tasks without one. Fast for many at once only."""
        places = self.positions(task_hashes)
        if not len(self):
            return [None] * len(places)
        found = zip(places, *(column[places].tolist() for column in (self._segment, self._offset, self._length)), strict=True)
        return [None if place < 0 else Location(segment, offset, length) for place, segment, offset, length in found]

    def failures(self, batch: int = 1024) -> Iterator[list[tuple[int, Location]]]:
        """Iterate over the failed tasks: the hash of each, and where its newest record is, in the order in which they were written."""
        failed = np.flatnonzero(np.logical_not(self._ok))
        order = failed[np.lexsort((self._offset[failed], self._segment[failed]))]
        for start in range(0, len(order), batch):
            places = order[start : start + batch]
            columns = (column[places].tolist() for column in (self._segment, self._offset, self._length))
            yield list(zip(self._task[places].tolist(), map(Location, *columns), strict=True))

    def settle(self, task_hashes: Sequence[int]) -> int:
        """Let these tasks count as done in `final`, `lookup` and `save`, although they failed; returns how many of them are here."""
        places = [place for place in self.positions(task_hashes) if place >= 0]
        if self._settled is self._ok:
            self._settled = self._ok.copy()
        self._settled[places] = True
        return len(places)

    def completed_keys(self, most: int) -> NDArray[np.uint64]:
        """Return the first 8 bytes of the request keys of up to `most` completions, as numbers."""
        return self._key[self._ok][:most].astype(np.uint64)  # type: ignore[no-any-return]

    def find_requests(self, keys: Sequence[bytes]) -> list[Location | None]:
        """Find an outcome of each request, of any task: a completion if there is one; None if there is no outcome.

        Compares the first 8 bytes of the keys only. The first call takes 8 bytes of memory a task. Fast for many at once only.
        """
        if not len(self) or not keys:
            return [None] * len(keys)
        if self._by_key is None:
            # The last key of lexsort counts first: by request, and completions before failures.
            self._by_key = np.lexsort((np.logical_not(self._ok), self._key))
        wanted = np.frombuffer(b"".join(key[:8] for key in keys), ">u8").astype(np.uint64)
        places = np.searchsorted(self._key, wanted, sorter=self._by_key)
        places = self._by_key[np.minimum(places, len(self) - 1)]
        found = zip(
            (self._key[places] == wanted).tolist(),
            *(column[places].tolist() for column in (self._segment, self._offset, self._length)),
            strict=True,
        )
        return [Location(segment, offset, length) if there else None for there, segment, offset, length in found]

    def locations(self, batch: int = 1024) -> Iterator[list[Location]]:
        """Iterate over the newest records of all tasks, in the order in which they were written."""
        order = np.lexsort((self._offset, self._segment))
        for start in range(0, len(order), batch):
            places = order[start : start + batch]
            yield list(map(Location, *(column[places].tolist() for column in (self._segment, self._offset, self._length))))

    def offsets(self, segment: int) -> NDArray[np.uint64]:
        """The first bytes of the newest records that are in a segment, given by its index in `segments`."""
        return self._offset[self._segment == segment].astype(np.uint64)  # type: ignore[no-any-return]


def final(tasks: Column, ok: Column, task_hashes: bytes, *, with_failures: bool) -> list[bool]:
    """`ResumeIndex.final` of the sorted `tasks`; `ok` says which of them have a completion."""
    if not len(tasks):
        return [False] * (len(task_hashes) // 8)
    wanted = np.frombuffer(task_hashes, ">u8").astype(np.uint64)
    # Neighbours are searched one after the other: else each of the twenty steps of a search waits for memory.
    order = np.argsort(wanted)
    wanted = wanted[order]
    places = np.searchsorted(tasks, wanted)
    places[places == len(tasks)] = 0
    found = tasks[places] == wanted
    answers = np.empty(len(wanted), np.bool_)
    answers[order] = found if with_failures else found & ok[places]
    return answers.tolist()


# Of task, key, ok, segment, offset and length: 31 bytes together.
_KINDS = (np.uint64, np.uint64, np.bool_, np.uint16, np.uint64, np.uint32)


def _end(segment: Segment, on_damage: Callable[[DamagedError], None] | None) -> int:
    try:
        return segment.end()
    except DamagedError as damage:
        if on_damage is None:
            raise
        if segment.sealed_at is not None:
            on_damage(damage)
        return segment.path.stat().st_size


class _Growing:
    """A column to which more is added. Its parts, kept until all are there, would be as large again, and leave the heap in pieces."""

    def __init__(self, kind: type[np.generic]) -> None:
        self._values: Column = np.empty(_FIRST_ROWS, kind)
        self._count = 0

    def add(self, more: Column) -> None:
        end = self._count + len(more)
        kind = np.promote_types(self._values.dtype, more.dtype)
        if end > len(self._values) or kind != self._values.dtype:
            grown = np.empty(max(end, 2 * len(self._values)), kind)  # what is not written to takes no memory
            grown[: self._count] = self._values[: self._count]
            self._values = grown
        self._values[self._count : end] = more
        self._count = end

    def take(self) -> Column:
        """Return the whole column and release it here."""
        whole = self._values[: self._count]
        self._values, self._count = np.empty(0, whole.dtype), 0
        return whole


def _newest(task: Column) -> NDArray[np.intp]:
    """The position of each task's last record, sorted by task."""
    order = np.argsort(task)
    first = np.ones(len(order), np.bool_)
    for start in range(0, len(order), _FIRST_ROWS):
        in_order = task[order[start : start + _FIRST_ROWS + 1]]
        np.not_equal(in_order[1:], in_order[:-1], out=first[start + 1 : start + len(in_order)])
    # A stable sort would take six times as long, and most journals have no two records of a task.
    return order if first.all() else np.maximum.reduceat(order, np.flatnonzero(first))
