"""Takes out of a journal what no command reads again: the answers of records that newer ones replaced."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from batch.journal.disk import storage_errors
from batch.journal.index import ResumeIndex
from batch.journal.lines import RESPONSE, decode, encode
from batch.journal.salvage import reseal
from batch.journal.segments import Segment, lines, segments, unrepaired
from batch.storage import replace_atomically

# Shorter answers are left: a file is not written again for them.
_WORTH_BYTES = 4096


def replaced_bytes(directory: Path) -> int:
    """Count the bytes of records that newer ones replaced, all that `drop_replaced` could free at most.

    Raises:
        DamagedError, StorageError.
    """
    return sum(length for _, found in _replaced(directory) for _, length in found)


def drop_replaced(directory: Path) -> int:
    """Drop the answers of replaced records; hold the run directory's lock. Returns the bytes that are free now.

    What a record says of its attempts, usage and cost stays: it was paid for, and counts against the budget.

    Raises:
        DamagedError: a record differs from what was written.
        StorageError: the disk refuses; each segment is then either the old one or the new one.
    """
    freed = 0
    for segment, found in _replaced(directory):
        if sum(length for _, length in found) >= _WORTH_BYTES:
            freed += _rewrite(directory, segment, {offset for offset, _ in found})
    return freed


def _replaced(directory: Path) -> Iterator[tuple[Segment, list[tuple[int, int]]]]:
    """Find the records, (offset, length), of each segment that newer ones replaced. A segment that the next session repairs has none."""
    found = segments(directory)
    index = ResumeIndex.of(found)
    if not index.superseded:
        return
    unsound = {segment.path for segment in unrepaired(found) if segment.end() != segment.path.stat().st_size}
    for number, segment in enumerate(found):
        if segment.path in unsound or segment.name.part:
            continue
        newest = index.offsets(number)
        with storage_errors(segment.path):
            records = [(offset, len(line)) for offset, line in lines(segment.path, segment.end()) if RESPONSE in line]
        offsets = np.array([offset for offset, _ in records], np.uint64)
        older = np.flatnonzero(~np.isin(offsets, newest)).tolist()
        yield segment, [records[position] for position in older]


def _rewrite(directory: Path, segment: Segment, offsets: set[int]) -> int:
    with storage_errors(segment.path):
        before = segment.path.stat().st_size
        with replace_atomically(segment.path, private=True) as new:
            for offset, line in lines(segment.path, segment.end()):
                new.write(_without_answer(line) if offset in offsets else line + b"\n")
        reseal(directory, segment)
        return before - segment.path.stat().st_size


def _without_answer(line: bytes) -> bytes:
    return encode(replace(decode(line), response=None))
