"""The newest records of some rows of a journal, by ordinal: what one part of the outputs is made of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from batch.journal import ranges
from batch.journal.disk import Disk, open_to_read, storage_errors
from batch.journal.index import Location
from batch.journal.scan import refuse, scan_tasks
from batch.journal.segments import Segment
from batch.journal.summary import SegmentSummary

Source = list[list[str | int]]
"""What a part is made of: each segment that has records of its rows, with their number. Journals only grow, so that says which records.

The objects of a lease count as one segment: they may be merged.
"""


class PartIndex:
    """The newest record of each task with an ordinal from `start` up to `stop`, in the given segments; 25 bytes a task.

    `source` says what was read. The segments are made durable first: what a part holds must survive a power loss.

    Raises:
        DamagedError: a record differs from what was written.
        StorageError: the disk refuses.
    """

    def __init__(self, segments: Sequence[SummarizedSegment], start: int, stop: int) -> None:
        self.paths: list[Path] = [each.segment.path for each in segments]
        counts: list[tuple[Segment, int]] = []
        columns = []
        for number, each in enumerate(segments):
            found = _records(each.segment, each.summary, start, stop)
            if len(found[0]):
                counts.append((each.segment, len(found[0])))
                columns.append((*found, np.full(len(found[0]), number, np.int32)))
        self.source = _source(counts)
        ordinals, repeats, offsets, lengths, numbers = (
            (np.concatenate(column) for column in zip(*columns, strict=True)) if columns else (np.empty(0, np.int64) for _ in range(5))
        )
        # The last of equal keys is the newest: the sort is stable, and segments are read in their order.
        order = np.lexsort((ordinals, repeats))
        same = (ordinals[order][1:] == ordinals[order][:-1]) & (repeats[order][1:] == repeats[order][:-1])
        order = order[np.concatenate((~same, np.ones(min(1, len(order)), np.bool_)))]
        self._ordinals, self._repeats = ordinals[order], repeats[order]
        self._segments, self._offsets, self._lengths = numbers[order], offsets[order], lengths[order]

    def locate(self, ordinals: Sequence[int], repeat: int) -> list[Location | None]:
        """Find where the newest record of each task is; None for tasks without one. Fast for many at once only."""
        first, last = np.searchsorted(self._repeats, (repeat, repeat + 1))
        of_repeat, wanted = self._ordinals[first:last], np.array(ordinals, np.int64)
        if not len(of_repeat):
            return [None] * len(ordinals)
        places = np.minimum(np.searchsorted(of_repeat, wanted), len(of_repeat) - 1)
        there = (of_repeat[places] == wanted).tolist()
        columns = (column[first + places].tolist() for column in (self._segments, self._offsets, self._lengths))
        return [Location(*place) if found else None for found, *place in zip(there, *columns, strict=True)]

    def ordinals(self) -> NDArray[np.int64]:
        """Return the ordinals that have a record, in order."""
        return np.unique(self._ordinals)


class SummarizedSegment:
    """A segment with its summary."""

    def __init__(self, segment: Segment, summary: SegmentSummary) -> None:
        self.segment = segment
        self.summary = summary
        done = [each.done for each in summary.tasks.values() if len(each.ok) or len(each.failed)]
        # Most segments are of few parts: the others are passed over by their first and last row.
        self._first, self._stop = min((int(each[0, 0]) for each in done), default=0), max((int(each[-1, 1]) for each in done), default=0)

    def records(self, start: int, stop: int) -> int:
        """Count the records with an ordinal from `start` up to `stop`, replaced ones too."""
        if start >= self._stop or stop <= self._first:
            return 0
        parts = (each.clip(start, stop) for each in self.summary.tasks.values())
        return sum(ranges.count(part.ok) + ranges.count(part.failed) + len(part.replaced) for part in parts)


def source_of(segments: Sequence[SummarizedSegment], start: int, stop: int) -> Source:
    """Return the source of a part by the summaries of all segments."""
    return _source([(each.segment, count) for each in segments if (count := each.records(start, stop))])


def _source(counts: Sequence[tuple[Segment, int]]) -> Source:
    totals: dict[str, int] = {}
    for segment, count in counts:
        name = segment.name.lease.stem if segment.name.part else segment.name.stem
        totals[name] = totals.get(name, 0) + count
    return [[name, total] for name, total in totals.items()]


def _records(segment: Segment, summary: SegmentSummary, start: int, stop: int) -> list[NDArray[np.int64]]:
    """Return ordinals, repeats, offsets and lengths of a segment's records of these rows: reads where they are, and what was added."""
    with storage_errors(segment.path):
        end = segment.end()
        make_durable(segment.path)
        kept: list[list[NDArray[np.int64]]] = []
        for first, last in [*summary.spans(start, stop), (summary.size, end)]:
            lacks = segment.is_open_ended and last == end
            kept += _kept(scan_tasks(segment.path, first, last, may_lack_newline=lacks, on_damage=refuse), start, stop)
    return [np.concatenate(column) for column in zip(*kept, strict=True)] if kept else [np.empty(0, np.int64)] * 4


def make_durable(path: Path) -> None:
    """Have what is in a file by now on the disk. Raises OSError."""
    with open_to_read(path) as file:
        Disk().sync(file.fileno())


def _kept(blocks: Iterator[tuple[NDArray[np.generic], ...]], start: int, stop: int) -> Iterator[list[NDArray[np.int64]]]:
    for ordinals, repeats, _, _, _, offsets, lengths in blocks:
        wanted = (ordinals >= start) & (ordinals < stop)  # type: ignore[operator]
        yield [column[wanted].astype(np.int64) for column in (ordinals, repeats, offsets, lengths)]
