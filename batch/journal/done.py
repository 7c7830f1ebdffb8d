"""Which tasks of a journal are done, by ordinal: ranges, not records, so that memory and time do not grow with the rows.

Counts where the job and the input are those whose rows were sent: then an ordinal names the same task as its id.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from batch.journal import ranges
from batch.journal.disk import open_to_read, storage_errors
from batch.journal.index import IndexEntry
from batch.journal.ranges import NONE, OrdinalRanges
from batch.journal.segments import Segment, segments
from batch.journal.summary import Keys, SegmentSummary, TaskRanges, merged
from batch.journal.summary_files import summaries

_PIECE = 1 << 14
_UNKNOWN_KEY = b""


class DoneTasks:
    """The tasks of one journal that are done. Made by `load`, or `open` in a worker."""

    def __init__(self, tasks: Mapping[int, TaskRanges], sources: Sequence[SegmentSummary] = ()) -> None:
        self.tasks = tasks
        self._sources = sources
        self.ok = sum(ranges.count(each.ok) for each in tasks.values())
        self.failed = sum(ranges.count(each.failed) for each in tasks.values())

    @classmethod
    def load(cls, directory: Path) -> DoneTasks:
        """Read the journal in `directory`: summaries where there are any, else records. Raises DamagedError, StorageError."""
        return cls.of(segments(directory))

    @classmethod
    def of(cls, found: Sequence[Segment]) -> DoneTasks:
        """Read some segments of a journal, given in their order. Raises as `load`."""
        sources = summaries(found)
        return cls(merged([each.tasks for each in sources]), sources)

    @classmethod
    def open(cls, path: Path) -> DoneTasks:
        """Read what `save` wrote. Raises StorageError."""
        tasks: dict[int, TaskRanges] = {}
        with storage_errors(path), open_to_read(path) as file:
            while head := file.read(24):
                repeat, ok, failed = np.frombuffer(head, "<i8").tolist()
                pairs = [np.frombuffer(file.read(16 * count), "<i8").astype(np.int64).reshape(-1, 2) for count in (ok, failed)]
                tasks[repeat] = TaskRanges(*pairs)
        return cls(tasks)

    def save(self, path: Path) -> None:
        """Write the ranges to a file, for workers. Raises StorageError."""
        with storage_errors(path), path.open("wb") as file:
            for repeat, each in self.tasks.items():
                file.write(np.array([repeat, len(each.ok), len(each.failed)], "<i8").tobytes())
                file.writelines(np.ascontiguousarray(pairs, "<i8").tobytes() for pairs in (each.ok, each.failed))

    def __len__(self) -> int:
        return self.ok + self.failed

    def then(self, session: DoneTasks, retried: Sequence[tuple[int, int]] = ()) -> DoneTasks:
        """Return these tasks and those of the running session, whose failures are done too, but for those `retried` (ordinal, repeat)."""
        final = {}
        for repeat, each in session.tasks.items():
            again = ranges.of_numbers(np.array(sorted(ordinal for ordinal, number in retried if number == repeat), np.int64))
            failed = ranges.intersection([each.failed, again])
            final[repeat] = TaskRanges(ranges.difference(each.done, failed), failed)
        return DoneTasks(merged([self.tasks, final]))

    def finished(self, repeats: int, *, with_failures: bool) -> OrdinalRanges:
        """Return the ordinals of which every repeat has a completion or, `with_failures`, any outcome."""
        found = [self.tasks.get(repeat, TaskRanges()) for repeat in range(repeats)]
        return ranges.intersection([each.done if with_failures else each.ok for each in found])

    def entries(self, ordinals: Sequence[int], repeat: int) -> list[IndexEntry | None]:
        """Return each task's record, whose key is not known; None without one."""
        of_repeat, wanted = self.tasks.get(repeat, TaskRanges()), np.array(ordinals, np.int64)
        ok, failed = ranges.contains(of_repeat.ok, wanted).tolist(), ranges.contains(of_repeat.failed, wanted).tolist()
        return [IndexEntry(_UNKNOWN_KEY, is_ok) if is_ok or has_failed else None for is_ok, has_failed in zip(ok, failed, strict=True)]

    def completed_keys(self, most: int) -> Keys:
        """Return the first 8 bytes of the request keys of up to `most` completions: 8 bytes of memory each. Raises as `load`."""
        # Each record has one key at most. What is not written takes no memory.
        keys, count = np.empty(min(most, sum(each.records for each in self._sources)), np.uint64), 0
        for each in self._sources:
            if count == len(keys):
                break
            of_segment = each.keys()[: len(keys) - count]
            keys[count : count + len(of_segment)] = of_segment
            count += len(of_segment)
        return keys[:count]


class Finished:
    """The rows that need no more work, for readers that pass over them."""

    def __init__(self, rows: OrdinalRanges = NONE) -> None:
        self.rows = rows

    @classmethod
    def of_all(cls, sets: Sequence[OrdinalRanges]) -> Finished:
        """Return the rows that are in all of the sets."""
        return cls(ranges.intersection(sets))

    def gaps(self, start: int, stop: int) -> Iterator[tuple[int, int]]:
        """Yield the ranges from `start` up to `stop` that still need work."""
        found = ranges.gaps(self.rows, start, stop)
        for first in range(0, len(found), _PIECE):
            yield from map(tuple, found[first : first + _PIECE].tolist())
