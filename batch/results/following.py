"""Read what is added to the journals of a run, block by block, also while it runs. Nothing is kept in memory."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from batch.errors import DamagedError
from batch.journal.disk import storage_errors
from batch.journal.lines import decode
from batch.journal.segments import Segment, segments
from batch.records import Outcome
from batch.rundir.local import RunDirectory
from batch.rundir.manifest import Manifest
from batch.storage import open_regular

BLOCK_BYTES = 4 << 20
# The last outcomes are sought at the end of these files, which were written last.
_TAIL_FILES = 64
_TAIL_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Place:
    """Where a record lies: its file, first byte, and length without the newline."""

    path: Path
    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class JournalLine:
    """A record of a variant's journal, as it was written; its checksum is not verified."""

    variant: str
    place: Place
    text: bytes

    def outcome(self) -> Outcome | None:
        """Decode it; None for a damaged one, which `promptmill verify` names."""
        try:
            return decode(self.text)
        except ValueError:
            return None


def read_record(place: Place) -> Outcome | None:
    """Read one record again; None if it is not there any more. Raises StorageError."""
    with storage_errors(place.path):
        descriptor = open_regular(place.path, os.O_RDONLY)
        try:
            text = os.pread(descriptor, place.length, place.offset)
        finally:
            os.close(descriptor)
    try:
        return decode(text)
    except ValueError:
        return None


class JournalFollower:
    """Follows the journals of a run from their beginning, or from their end. Each call of `blocks` reads what came since the last one.

    `manifest` is that of a run that has ended; without it run.json is read at each call, since a running one may get more models.
    """

    def __init__(self, directory: RunDirectory, manifest: Manifest | None = None) -> None:
        self._directory = directory
        self._manifest = manifest
        self._read: dict[Path, int] = {}

    def blocks(self) -> Iterator[list[JournalLine]]:
        """Iterate over the whole records that are new, at most 4 MiB at a time, in the order of the files. Raises StorageError."""
        for variant, segment in self._segments():
            while lines := self._block(variant, segment):
                yield lines

    def last(self, count: int) -> list[JournalLine]:
        """Return about the last `count` records of each file that was written last, and follow from their end. Raises StorageError."""
        found: list[JournalLine] = []
        files = []
        for variant, segment in self._segments():
            with storage_errors(segment.path):
                status = segment.path.stat()
            self._read[segment.path] = status.st_size
            files.append((status.st_mtime, status.st_size, variant, segment))
        files.sort(key=lambda each: each[0], reverse=True)
        for _, size, variant, segment in files[: _TAIL_FILES if count else 0]:
            self._read[segment.path] = max(0, size - _TAIL_BYTES)
            lines = self._block(variant, segment)
            # The first one may be the rest of a longer record.
            found += lines[-count:]
        return found

    def _segments(self) -> Iterator[tuple[str, Segment]]:
        manifest = self._manifest or self._directory.manifest
        names = {record.slug: name for name, record in manifest.variants.items()}
        for slug in self._directory.slugs():
            try:
                found = segments(self._directory.journal_dir(slug))
            except DamagedError:
                # A file that is missing is for `verify` to name: what is there is shown.
                continue
            yield from ((names.get(slug, slug), segment) for segment in found)

    def _block(self, variant: str, segment: Segment) -> list[JournalLine]:
        start = self._read.get(segment.path)
        if start is None:
            # A merged object begins with what was read of those that it stands for.
            start = sum(self._read.get(name.path(segment.path.parent), 0) for name in segment.name.merged_from)
        with storage_errors(segment.path):
            descriptor = open_regular(segment.path, os.O_RDONLY)
            try:
                size = os.fstat(descriptor).st_size
                end = size if segment.sealed_at is None else min(size, segment.sealed_at)
                data = os.pread(descriptor, min(BLOCK_BYTES, max(0, end - start)), start)
                # A record of more than a block.
                while data and b"\n" not in data and start + len(data) < end:
                    data += os.pread(descriptor, BLOCK_BYTES, start + len(data))
            finally:
                os.close(descriptor)
        whole = data[: data.rfind(b"\n") + 1]
        # A torn tail is cut off when the run continues.
        self._read[segment.path] = min(start, end) + len(whole)
        lines, offset = [], start
        for text in whole.splitlines(keepends=True):
            lines.append(JournalLine(variant, Place(segment.path, offset, len(text) - 1), text[:-1]))
            offset += len(text)
        return lines
