"""A summary of a segment: which tasks its records complete, by ordinal, so that resuming need not read the records.

Made from the records, all of whose checksums are verified; it counts for exactly the bytes that it was made from (summary_files.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from batch.journal import ranges
from batch.journal.disk import storage_errors
from batch.journal.ranges import NONE, Numbers, OrdinalRanges
from batch.journal.scan import OnDamage, refuse, scan_tasks
from batch.journal.segments import Segment

Keys = NDArray[np.uint64]
NO_BLOCKS: NDArray[np.int64] = np.empty((0, 3), np.int64)


class TaskRanges(NamedTuple):
    """The ordinals whose newest record is a completion, and those whose newest is a failure.

    `replaced` has the ordinals of the records that a newer one of the same segment has replaced, sorted, each as often as that.
    """

    ok: OrdinalRanges = NONE
    failed: OrdinalRanges = NONE
    replaced: Numbers = np.empty(0, np.int64)

    @property
    def done(self) -> OrdinalRanges:
        """Ordinals with any outcome."""
        return ranges.union([self.ok, self.failed])

    def then(self, newer: TaskRanges) -> TaskRanges:
        """Return what holds after `newer` records, without what was replaced."""
        if not len(self.ok) and not len(self.failed):
            return newer
        fresh = newer.done
        return TaskRanges(
            ranges.union([ranges.difference(self.ok, fresh), newer.ok]), ranges.union([ranges.difference(self.failed, fresh), newer.failed])
        )

    def clip(self, start: int, stop: int) -> TaskRanges:
        """Return what concerns the ordinals from `start` up to `stop`."""
        first, last = np.searchsorted(self.replaced, (start, stop))
        return TaskRanges(ranges.clip(self.ok, start, stop), ranges.clip(self.failed, start, stop), self.replaced[first:last])


class SegmentSummary(NamedTuple):
    """The content of the first `size` bytes of a segment.

    `tasks` are by repeat. `spent_usd` is the cost of all records, also of replaced ones. `keys` gives the first 8 bytes of the request
    keys of all completions. `blocks` are the pieces that the records were read in: first byte, lowest ordinal, highest ordinal plus one.
    """

    size: int
    records: int
    spent_usd: float
    tasks: Mapping[int, TaskRanges]
    keys: Callable[[], Keys]
    blocks: NDArray[np.int64] = NO_BLOCKS

    def spans(self, start: int, stop: int) -> list[tuple[int, int]]:
        """Return the ranges of bytes that hold all records with an ordinal from `start` up to `stop`, sorted and apart from each other."""
        found: list[tuple[int, int]] = []
        ends = [*self.blocks[1:, 0].tolist(), self.size]
        for (first, lowest, highest), end in zip(self.blocks.tolist(), ends, strict=True):
            if lowest < stop and start < highest:
                joins = found and found[-1][1] == first
                found.append((found.pop()[0] if joins else first, end))
        return found


def summarize(segment: Segment, on_damage: OnDamage = refuse, *, start: int = 0) -> SegmentSummary:
    """Summarize the records of a segment from byte `start` on; damaged ones go to `on_damage`, and are skipped if that returns.

    Takes 25 bytes of memory a record.

    Raises:
        DamagedError: a record differs from what was written, and `on_damage` is not given.
        StorageError: the disk refuses.
    """
    end = segment.end()
    blocks: list[Sequence[NDArray[np.generic]]] = []
    places: list[tuple[int, int, int]] = []
    with storage_errors(segment.path):
        for block in scan_tasks(segment.path, start, end, may_lack_newline=segment.is_open_ended, on_damage=on_damage):
            ordinals, offsets = block[0], block[5]
            if len(ordinals):
                blocks.append(block[:5])
                places.append((int(offsets[0]), int(ordinals.min()), int(ordinals.max()) + 1))
    return _summary(end, blocks, places)


def _summary(size: int, blocks: Sequence[Sequence[NDArray[np.generic]]], places: Sequence[tuple[int, int, int]]) -> SegmentSummary:
    if not blocks:
        return SegmentSummary(size, 0, 0.0, {}, lambda: np.empty(0, np.uint64))
    ordinals, repeats, ok, keys, dollars = (np.concatenate(column) for column in zip(*blocks, strict=True))
    tasks = {repeat: _task_ranges(ordinals[repeats == repeat], ok[repeats == repeat]) for repeat in np.unique(repeats).tolist()}
    done = keys[ok]
    return SegmentSummary(size, len(ordinals), float(dollars.sum()), tasks, lambda: done, np.array(places, np.int64))


def _task_ranges(ordinals: Numbers, ok: NDArray[np.bool_]) -> TaskRanges:
    order = np.argsort(ordinals, kind="stable")
    ordinals, ok = ordinals[order], ok[order]
    newest = np.concatenate((ordinals[1:] != ordinals[:-1], np.ones(1, np.bool_)))
    return TaskRanges(ranges.of_numbers(ordinals[newest & ok]), ranges.of_numbers(ordinals[newest & ~ok]), ordinals[~newest])


def merged(summaries: Sequence[Mapping[int, TaskRanges]]) -> dict[int, TaskRanges]:
    """Return what holds after all `summaries`, in their order, by repeat."""
    repeats = sorted({repeat for each in summaries for repeat in each})
    return {repeat: _merged([each[repeat] for each in summaries if repeat in each]) for repeat in repeats}


def _merged(parts: Sequence[TaskRanges]) -> TaskRanges:
    # In pairs of pairs: one after the other would pass over the first ones as often as there are parts.
    while len(parts) > 1:
        parts = list(_paired(parts))
    return parts[0]


def _paired(parts: Sequence[TaskRanges]) -> Iterator[TaskRanges]:
    for number in range(0, len(parts), 2):
        yield parts[number].then(parts[number + 1]) if number + 1 < len(parts) else parts[number]
