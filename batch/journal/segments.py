"""The files of one journal, in the order in which they are read: the newest outcome of a task is the last one.

Sessions in one process write 000001.jsonl, 000002.jsonl, … A session over several processes claims a number E by an empty
00000E.jsonl, and its workers write E-SSSSS-GGG.jsonl: S is the shard, G the generation of the shard's lease; a file that became too
long is followed by E-SSSSS-GGG-02.jsonl. Two shards never have a task in common, so names alone give the order.
On an object store, where nothing can be appended, each flush is an object: 000001-000007.jsonl, E-SSSSS-GGG-000007.jsonl. What small ones
hold may be merged: E-SSSSS-GGG-000001-to-000007.jsonl stands for seven, which count for nothing from then on, and are deleted.
When a shard gets its next lease, E-SSSSS-GGG.sealed says how much of the former lease's files counts (JSON: {file: bytes}; for
objects the number of the last one: {"last": 7}); what is written to them later is not read.

A segment is synced before its successor gets records. So only the last unsealed file that is not empty can have a torn tail: one such
file among those of single processes, and one in each lease. A torn tail is
- what follows the last newline, unless it is a whole record that lacks only the newline, and
- a last line whose checksum fails and which has NUL bytes: pages that never reached the disk at a power loss (no line is written
  with one).
Any other difference from what was written is damage, which is never repaired silently.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import orjson

from batch.errors import DamagedError
from batch.journal.disk import open_to_read, storage_errors
from batch.journal.lines import is_whole
from batch.journal.segment_name import SegmentName, parsed_name, without_merged
from batch.storage import named, replace_atomically

LAST = "last"
_STEP = 1 << 16


@dataclass(frozen=True, slots=True)
class Segment:
    """A file of a journal. `sealed_at` is how many of its bytes count, if a seal says so; otherwise `may_be_torn` can be True."""

    name: SegmentName
    path: Path
    sealed_at: int | None = None
    may_be_torn: bool = False

    @property
    def is_open_ended(self) -> bool:
        """Whether the last record may lack its newline: the writer was killed, or had not written it yet when the file was sealed."""
        return self.may_be_torn or self.sealed_at is not None

    def end(self) -> int:
        """Number of bytes that count: all but a torn tail.

        Raises:
            DamagedError: the last line differs from what was written and is not torn; or the file is shorter than its seal says.
            StorageError: the disk refuses.
        """
        if self.may_be_torn:
            return read_tail(self.path).keep
        with storage_errors(self.path):
            size = self.path.stat(follow_symlinks=False).st_size
        if self.sealed_at is None:
            return size
        if size < self.sealed_at:
            raise DamagedError(named(self.path), size, "the file ends before what was sealed of it")
        return self.sealed_at


@dataclass(frozen=True, slots=True)
class Tail:
    """The end of a segment of `size` bytes: the first `keep` bytes are whole records; the last one may lack its newline."""

    keep: int
    size: int
    lacks_newline: bool


def segment_path(directory: Path, number: int) -> Path:
    """Path of a segment of a session in one process, numbered from 1."""
    return SegmentName(number).path(directory)


def segments(directory: Path, shard: SegmentName | None = None) -> list[Segment]:
    """List the files of a journal in their order, or those of one shard in one session; none when the folder does not exist.

    Raises:
        DamagedError: one is missing, or a seal is damaged.
        StorageError: the disk refuses.
    """
    with storage_errors(directory):
        return _segments(directory, shard)


def _segments(directory: Path, shard: SegmentName | None) -> list[Segment]:
    names = segment_names(directory, shard)
    torn: dict[SegmentName, SegmentName] = {}
    for name in names:
        # The files of single-process sessions follow each other like those of one lease. An object is put whole, so it is never torn.
        if not name.part and name.path(directory).stat(follow_symlinks=False).st_size:
            torn[name.lease if name.shard >= 0 else SegmentName(0)] = name
    tails = set(torn.values())
    leases = {name.lease for name in names if name.shard >= 0}
    seals = {lease: read_seal(lease.seal(directory)) for lease in leases if lease.seal(directory).exists()}
    last_parts = {name.lease: name.part for name in names}
    for lease, seal in seals.items():
        if last_parts[lease] < seal.get(LAST, 0):
            raise _missing(lease._replace(part=last_parts[lease] + 1).path(directory))
    return [
        Segment(name, name.path(directory), _counting(name, seals[name.lease], directory))
        if name.lease in seals
        else Segment(name, name.path(directory), may_be_torn=name in tails)
        for name in names
    ]


def _counting(name: SegmentName, seal: Mapping[str, int], directory: Path) -> int:
    """Number of bytes of a sealed file that count."""
    if name.part:
        return name.path(directory).stat(follow_symlinks=False).st_size if name.part <= seal.get(LAST, 0) else 0
    return seal.get(f"{name.stem}.jsonl", 0)


def segment_paths(directory: Path) -> list[Path]:
    """The paths of `segments`. Raises as it does."""
    return [segment.path for segment in segments(directory)]


def segment_names(directory: Path, shard: SegmentName | None = None) -> list[SegmentName]:
    """List the names of a journal's files in their order, or of those of one shard in one session.

    Raises:
        DamagedError: a number, or a file in the middle of a lease, is missing.
        StorageError: the disk refuses.
    """
    with storage_errors(directory):
        entries = list(directory.iterdir()) if directory.is_dir() else []
    names = without_merged(sorted(name for entry in entries if (name := parsed_name(entry.name)) is not None))
    before = SegmentName(0)
    if shard is not None:
        names = [name for name in names if (name.number, name.shard) == (shard.number, shard.shard)]
        before = SegmentName(shard.number)
    for name in names:
        # A file that is gone took outcomes along: they would be sent, and billed, again without a word.
        if name.number > before.number + 1:
            raise _missing(SegmentName(before.number + 1).path(directory))
        if name.roll > (before.roll + 1 if name.lease == before.lease else 1):
            raise _missing(name._replace(roll=before.roll + 1 if name.lease == before.lease else 1).path(directory))
        last = before.part if name.lease == before.lease else 0
        if (name.since or name.part) > last + 1:
            raise _missing(name._replace(part=last + 1, since=0).path(directory))
        before = name
    return names


def _missing(path: Path) -> DamagedError:
    return DamagedError(named(path), 0, "this file of the journal is missing")


def read_seal(path: Path) -> dict[str, int]:
    """Read a seal: how many bytes of each file of the lease count, or the number of the last object (LAST) that counts.

    Raises:
        DamagedError: the seal differs from what was written.
        StorageError: the disk refuses.
    """
    try:
        with storage_errors(path), open_to_read(path) as file:
            return {str(name): int(size) for name, size in orjson.loads(file.read()).items()}
    except (ValueError, TypeError, AttributeError) as error:
        raise DamagedError(named(path), 0, "this seal of a journal differs from what was written") from error


def write_seal(directory: Path, lease: SegmentName, files: dict[str, int]) -> None:
    """Write a seal, atomically and durably.

    Raises:
        StorageError: the disk refuses.
    """
    with replace_atomically(lease.seal(directory)) as file:
        file.write(orjson.dumps(files))


def lease_segments(directory: Path, lease: SegmentName) -> list[Segment]:
    """List the files of one lease in their order. Raises as `segments`."""
    return [segment for segment in segments(directory, lease) if segment.name.lease == lease]


def unrepaired(found: Sequence[Segment]) -> list[Segment]:
    """Select the segments whose tails the next session must repair: those of the last number, and the last of a single process."""
    # The tails of earlier numbers were repaired before a later number was claimed.
    last = found[-1].name.number if found else 0
    return [segment for segment in found if segment.may_be_torn and (segment.name.shard < 0 or segment.name.number == last)]


def read_tail(path: Path) -> Tail:
    """Examine the end of a segment; reads only the last records.

    Raises:
        DamagedError: the last line differs from what was written, and is not torn.
        StorageError: the disk refuses.
    """
    with storage_errors(path), open_to_read(path) as file:
        size = file.seek(0, 2)
        keep = _after_newline(file, size)
        fragment = _read(file, keep, size)
        # Pages that never reached the disk read as NUL, which no record has.
        record = fragment.rstrip(b"\0")
        if record and is_whole(record):
            return Tail(keep + len(record), size, lacks_newline=True)
        if fragment and is_whole(fragment[:-1]):
            raise DamagedError(named(path), size - 1, "the newline of the last record differs from what was written")
        while keep:
            start = _after_newline(file, keep - 1)
            line = _read(file, start, keep - 1)
            if is_whole(line):
                break
            if b"\0" not in line:
                raise DamagedError(named(path), start, "the checksum does not match")
            keep = start
        return Tail(keep, size, lacks_newline=False)


def lines(path: Path, end: int) -> Iterator[tuple[int, bytes]]:
    """Iterate over the lines of the first `end` bytes of a segment: offset, and line without newline; checksums are not verified."""
    offset = 0
    with open_to_read(path, buffering=1 << 20) as file:
        while offset < end and (line := file.readline(end - offset)):
            yield offset, line.removesuffix(b"\n")
            offset += len(line)


def _after_newline(file: BinaryIO, end: int) -> int:
    """Offset after the last newline of the first `end` bytes, or 0."""
    while end:
        start = max(0, end - _STEP)
        found = _read(file, start, end).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        end = start
    return 0


def _read(file: BinaryIO, start: int, end: int) -> bytes:
    file.seek(start)
    return file.read(end - start)
