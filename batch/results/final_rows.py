"""Which rows of a journal have an outcome, looked at again and again while the journal grows: each record is read once."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from batch.errors import DamagedError
from batch.journal import ranges
from batch.journal.disk import storage_errors
from batch.journal.ranges import OrdinalRanges
from batch.journal.scan import scan_tasks
from batch.journal.segments import Segment, SegmentName
from batch.journal.summary import GrowingSummary, TaskRanges, merged
from batch.journal.summary_files import summary_of


class FinalRows:
    """The rows of one journal that have an outcome. `find` lists its segments as they are now."""

    def __init__(self, find: Callable[[], Sequence[Segment]]) -> None:
        self._find = find
        self._read: dict[SegmentName, int] = {}
        self._tasks: dict[int, TaskRanges] = {}

    def look(self) -> None:
        """Read what was added since the last call, and summarize the segments that are full. Raises DamagedError, StorageError."""
        for segment in self._find():
            start, end = self._read.get(segment.name, 0), segment.end()
            if start == 0 and not segment.may_be_torn:
                self._tasks = merged([self._tasks, summary_of(segment).tasks])
                self._read[segment.name] = end
            elif end > start:
                self._add(segment, start, end)

    def _add(self, segment: Segment, start: int, end: int) -> None:
        growing = GrowingSummary()
        with storage_errors(segment.path):
            for block in scan_tasks(segment.path, start, end, may_lack_newline=segment.is_open_ended, on_damage=_raise):
                growing.add(block)
        self._tasks = merged([self._tasks, growing.summary(end).tasks])
        self._read[segment.name] = end

    def final(self, repeats: int) -> OrdinalRanges:
        """Return the ordinals of which every repeat has an outcome."""
        return ranges.intersection([self._tasks.get(repeat, TaskRanges()).done for repeat in range(repeats)])


def _raise(damage: DamagedError) -> None:
    raise damage
