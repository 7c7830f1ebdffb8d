"""The file of a segment's summary, beside the segment: 000001.summary. Derived: a missing or wrong one is made again, never believed.

A summary counts for the bytes that it was made from. Its file has their number, the segment's inode and times, and a BLAKE2b digest of
these bytes. Where number, inode, mtime and ctime are the segment's, nothing was written to it since. Where only inode or times differ, as
after a copy of the run directory, the bytes are read and the digest decides; in all other cases the records are read again.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import Any, BinaryIO
from zlib import crc32

import numpy as np
import orjson
from numpy.typing import NDArray

from batch.errors import DamagedError, StorageError
from batch.journal.disk import open_to_read, storage_errors
from batch.journal.segments import Segment, segments
from batch.journal.summary import Keys, SegmentSummary, TaskRanges, summarize
from batch.storage import replace_atomically

# Reading the records of a smaller segment takes as long as reading its summary.
WORTH_BYTES = 256 << 10
_BLOCK = 1 << 20
_VERSION = 1


def summaries(found: Sequence[Segment]) -> list[SegmentSummary]:
    """Return the summary of each segment. Raises as `summary_of`."""
    return [summary_of(segment) for segment in found]


def summary_of(segment: Segment) -> SegmentSummary:
    """Return a segment's summary: the file's where it counts, else a new one, which is kept as far as the disk allows.

    Raises:
        DamagedError: a record differs from what was written.
        StorageError: the disk refuses to read.
    """
    end = segment.end()
    if end < WORTH_BYTES:
        return summarize(segment)
    found = load(segment, end)
    return make(segment, end) if found is None else found


def make(segment: Segment, end: int) -> SegmentSummary:
    """Summarize a segment of `end` bytes and keep the summary, as far as the disk allows. Raises as `summarize`."""
    # Before the records are read: what changes while they are read leaves a file that is not believed.
    with storage_errors(segment.path):
        identity = _identity(segment.path)
        checksum = digest(segment.path, end)
    summary = summarize(segment)
    if summary.size == end:
        with suppress(StorageError):
            _save(segment, summary, {**identity, "digest": checksum})
    return summary


def load(segment: Segment, end: int) -> SegmentSummary | None:
    """Read the summary of the first `end` bytes of a segment; None where there is none that counts. Raises StorageError."""
    path = summary_path(segment)
    try:
        with open_to_read(path) as file:
            header, tasks, blocks = _read(file)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if header["version"] != _VERSION or header["size"] != end:
        return None
    with storage_errors(segment.path):
        identity = _identity(segment.path)
        if any(header[name] != value for name, value in identity.items()) and header["digest"] != digest(segment.path, end):
            return None
    keys = partial(_keys, path, segment, int(header["keys"]), int(header["keys_sum"]))
    return SegmentSummary(end, header["records"], header["spent_usd"], tasks, keys, blocks)


def summary_path(segment: Segment) -> Path:
    """Path of the summary of a segment."""
    return segment.path.with_suffix(".summary")


def digest(path: Path, end: int) -> str:
    """Return the digest of the first `end` bytes of a file. Raises OSError."""
    found, left = blake2b(digest_size=16), end
    with open_to_read(path, buffering=0) as file:
        while left > 0 and (block := file.read(min(_BLOCK, left))):
            found.update(block)
            left -= len(block)
    return found.hexdigest()


def spent_usd(directory: Path, before: int | None = None) -> float:
    """Sum the US dollars of all records of the journal in `directory`, with what repeated attempts may have cost at most.

    `before` leaves out the journal's files from that number on. Skips a torn tail and damaged records: refusing damage is left to others.
    Raises DamagedError, StorageError.
    """
    total = 0.0
    for segment in segments(directory):
        if before is not None and segment.name.number >= before:
            continue
        try:
            total += summary_of(segment).spent_usd
        except DamagedError:
            total += summarize(segment, lambda _: None).spent_usd
    return total


def _identity(path: Path) -> dict[str, int]:
    status = path.stat(follow_symlinks=False)
    return {"inode": status.st_ino, "mtime_ns": status.st_mtime_ns, "ctime_ns": status.st_ctime_ns}


def _save(segment: Segment, summary: SegmentSummary, identity: dict[str, Any]) -> None:
    arrays = [*(array for of_repeat in summary.tasks.values() for array in of_repeat), summary.blocks]
    ranges = b"".join(np.ascontiguousarray(array, "<i8").tobytes() for array in arrays)
    keys = np.ascontiguousarray(summary.keys(), "<u8").tobytes()
    header = orjson.dumps(
        {
            "version": _VERSION,
            "size": summary.size,
            **identity,
            "records": summary.records,
            "spent_usd": summary.spent_usd,
            "tasks": [[repeat, *map(len, of_repeat)] for repeat, of_repeat in summary.tasks.items()],
            "blocks": len(summary.blocks),
            "ranges_sum": crc32(ranges),
            "keys": len(keys) // 8,
            "keys_sum": crc32(keys),
        }
    )
    with replace_atomically(summary_path(segment), private=True) as file:
        file.write(b"%08x %s\n" % (crc32(header), header))
        file.write(ranges)
        file.write(keys)


def _read(file: BinaryIO) -> tuple[dict[str, Any], dict[int, TaskRanges], NDArray[np.int64]]:
    """Read header, ranges and blocks. Raises OSError, and ValueError and its kin for anything that was not written by `_save`."""
    line = file.readline()
    if not line.endswith(b"\n") or line[:9] != b"%08x " % crc32(line[9:-1]):
        raise ValueError("the header differs from what was written")
    header = orjson.loads(line[9:])
    lengths = [(int(repeat), int(ok), int(failed), int(replaced)) for repeat, ok, failed, replaced in header["tasks"]]
    count = sum(2 * ok + 2 * failed + replaced for _, ok, failed, replaced in lengths) + 3 * int(header["blocks"])
    data = file.read(8 * count)
    if len(data) < 8 * count or crc32(data) != header["ranges_sum"]:
        raise ValueError("the ranges differ from what was written")
    numbers, tasks = np.frombuffer(data, "<i8").astype(np.int64), {}
    for repeat, ok, failed, replaced in lengths:
        parts = np.split(numbers[: 2 * ok + 2 * failed + replaced], [2 * ok, 2 * ok + 2 * failed])
        numbers = numbers[2 * ok + 2 * failed + replaced :]
        tasks[repeat] = TaskRanges(parts[0].reshape(-1, 2), parts[1].reshape(-1, 2), parts[2])
    return header, tasks, numbers.reshape(-1, 3)


def _keys(path: Path, segment: Segment, count: int, checksum: int) -> Keys:
    """Read the request keys: the last bytes of the file. Raises as `summarize`."""
    try:
        with open_to_read(path) as file:
            file.seek(-8 * count, os.SEEK_END)
            data = file.read(8 * count)
    except OSError:
        data = b""
    if len(data) == 8 * count and crc32(data) == checksum:
        return np.frombuffer(data, "<u8").astype(np.uint64, copy=False)
    return summarize(segment).keys()
