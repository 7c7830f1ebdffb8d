"""Which rows of a journal have an outcome, looked at again and again while the journal grows: each record is read once."""

from __future__ import annotations

from batch.journal import ranges
from batch.journal.ranges import OrdinalRanges
from batch.journal.segment_name import SegmentName
from batch.journal.segments import Segment, segments
from batch.journal.summary import SegmentSummary, TaskRanges, merged, summarize
from batch.journal.summary_files import summary_of
from batch.rundir.local import RunDirectory


class FinalRows:
    """The rows of the journal of a variant, named by its folder, that have an outcome."""

    def __init__(self, directory: RunDirectory, slug: str) -> None:
        self._directory, self._slug = directory, slug
        self._read: dict[SegmentName, int] = {}
        self._tasks: dict[int, TaskRanges] = {}

    def look(self) -> None:
        """Read what was added since the last call, and summarize the segments that are full. Raises DamagedError, StorageError."""
        for segment in segments(self._directory.journal_dir(self._slug)):
            start = self._read.get(segment.name, 0)
            if start == 0 and not segment.may_be_torn:
                self._add(segment, summary_of(segment))
            elif segment.end() > start:
                self._add(segment, summarize(segment, start=start))

    def _add(self, segment: Segment, summary: SegmentSummary) -> None:
        self._tasks = merged([self._tasks, summary.tasks])
        self._read[segment.name] = summary.size

    def final(self, repeats: int) -> OrdinalRanges:
        """Return the ordinals of which every repeat has an outcome."""
        return ranges.intersection([self._tasks.get(repeat, TaskRanges()).done for repeat in range(repeats)])
