"""Records read back from a journal, in any order, with few system calls."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from batch.errors import DamagedError
from batch.journal.disk import storage_errors
from batch.journal.index import Location
from batch.journal.lines import decode
from batch.records import Outcome
from batch.storage import named, open_regular

# Few, since connections need the descriptors of the process too.
_OPEN_FILES = 16
# Reading a gap of up to 16 KiB along costs less than another system call.
_GAP = 1 << 14
_SPAN = 1 << 22


class RecordReader:
    """Reads the records of one journal. Adjacent records take one read; at most 16 segments are open at a time."""

    def __init__(self, segments: Sequence[Path]) -> None:
        self._segments = segments
        self._open: OrderedDict[int, int] = OrderedDict()

    def read(self, locations: Sequence[Location | None]) -> list[Outcome | None]:
        """Read the outcomes at `locations`, in their order; None for None.

        Raises:
            DamagedError: a record differs from what was written.
            StorageError: the disk refuses.
        """
        outcomes: list[Outcome | None] = [None] * len(locations)
        for span in _spans(locations):
            base, end = span[0][0].offset, max(location.offset + location.length for location, _ in span)
            segment = span[0][0].segment
            with storage_errors(self._segments[segment]):
                data = os.pread(self._descriptor(segment), end - base, base)
            for location, place in span:
                start = location.offset - base
                try:
                    outcomes[place] = decode(data[start : start + location.length])
                except ValueError as error:
                    raise DamagedError(named(self._segments[location.segment]), location.offset, str(error)) from error
        return outcomes

    def close(self) -> None:
        """Close the files."""
        while self._open:
            os.close(self._open.popitem()[1])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self.close()

    def _descriptor(self, segment: int) -> int:
        if segment in self._open:
            self._open.move_to_end(segment)
        else:
            if len(self._open) >= _OPEN_FILES:
                os.close(self._open.popitem(last=False)[1])
            self._open[segment] = open_regular(self._segments[segment], os.O_RDONLY)
        return self._open[segment]


def _spans(locations: Sequence[Location | None]) -> Iterator[list[tuple[Location, int]]]:
    """Group records that are close to each other in a file, each with its index in `locations`."""
    span: list[tuple[Location, int]] = []
    for location, place in sorted((location, place) for place, location in enumerate(locations) if location is not None):
        if span:
            first, last = span[0][0], span[-1][0]
            near = location.segment == last.segment and location.offset - last.offset - last.length < _GAP
            if not near or location.offset + location.length - first.offset > _SPAN:
                yield span
                span = []
        span.append((location, place))
    if span:
        yield span
