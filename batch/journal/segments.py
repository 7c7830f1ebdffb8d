"""The files of one journal: 000001.jsonl, 000002.jsonl, … and what a crash may have left at their end.

Only the tail of the last segment that is not empty may be torn: a segment is synced before its successor gets records. Torn is
- what stands after the last newline, unless it is a whole record that lacks only the newline, and
- a last line whose checksum fails and which holds NUL bytes: pages that never reached the disk when the power went (a line as
  it was written never holds one).
Anything else that is not as it was written is damage, which is never repaired silently.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from batch.errors import DamagedError
from batch.journal.lines import is_whole

_NAME = re.compile(r"(\d{6,})\.jsonl")
_STEP = 1 << 16


@dataclass(frozen=True, slots=True)
class Tail:
    """The end of a segment of `size` bytes: the first `keep` are whole records, the last of which may lack its newline."""

    keep: int
    size: int
    lacks_newline: bool


def segment_path(directory: Path, number: int) -> Path:
    """The file of a journal's segment, numbered from 1."""
    return directory / f"{number:06d}.jsonl"


def segment_paths(directory: Path) -> list[Path]:
    """The segments of a journal in their order; none when the folder is not there.

    Raises:
        DamagedError: one is missing.
    """
    if not directory.is_dir():
        return []
    numbers = sorted(int(match[1]) for entry in directory.iterdir() if (match := _NAME.fullmatch(entry.name)))
    for expected, number in enumerate(numbers, 1):
        if number != expected:
            raise DamagedError(str(segment_path(directory, expected)), 0, "this file of the journal is missing")
    return [segment_path(directory, number) for number in numbers]


def tail_segment(paths: list[Path]) -> Path | None:
    """The segment whose tail may be torn: the last that is not empty."""
    return next((path for path in reversed(paths) if path.stat().st_size), None)


def read_tail(path: Path) -> Tail:
    """Look at the end of a segment; reads no more of it than the last records.

    Raises:
        DamagedError: the last line is not as it was written, and not torn.
    """
    with path.open("rb") as file:
        size = file.seek(0, 2)
        keep = _after_newline(file, size)
        fragment = _read(file, keep, size)
        if fragment and is_whole(fragment):
            return Tail(size, size, lacks_newline=True)
        if fragment and is_whole(fragment[:-1]):
            raise DamagedError(str(path), size - 1, "the newline of the last record is not as it was written")
        while keep:
            start = _after_newline(file, keep - 1)
            line = _read(file, start, keep - 1)
            if is_whole(line):
                break
            if b"\0" not in line:
                raise DamagedError(str(path), start, "the checksum does not match")
            keep = start
        return Tail(keep, size, lacks_newline=False)


def lines(path: Path, end: int) -> Iterator[tuple[int, bytes]]:
    """The lines of the first `end` bytes of a segment, without their newlines, each with its offset; unchecked."""
    offset = 0
    with path.open("rb", buffering=1 << 20) as file:
        while offset < end and (line := file.readline(end - offset)):
            yield offset, line.removesuffix(b"\n")
            offset += len(line)


def _after_newline(file: BinaryIO, end: int) -> int:
    """The offset behind the last newline of the first `end` bytes, or 0."""
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
