"""A file of lines that is bounded: when its half of the bytes is full, it becomes the older half, and the former older half is gone."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from batch.journal.disk import Disk, open_to_read, storage_errors
from batch.storage import open_regular

# Lines wait in memory for the next flush, but no more than these.
_PENDING_BYTES = 256 << 10
OLDER = ".1"


class RollingFile:
    """Appends lines to `path`, with no more than `max_bytes` in it and its older half together. Not synced: what it has is no truth."""

    def __init__(self, path: Path, max_bytes: int) -> None:
        self._path = path
        self._half = max_bytes // 2
        self._pending: list[bytes] = []
        self._pending_bytes = 0
        self._file: int | None = None
        self._size = 0

    def add(self, line: bytes) -> None:
        """Add a line, which has no line break in it; it is written by the next flush, or when many wait. Raises StorageError."""
        if len(line) >= self._half:
            return
        self._pending.append(line + b"\n")
        self._pending_bytes += len(line) + 1
        if self._pending_bytes >= min(_PENDING_BYTES, self._half):
            self.flush()

    def flush(self) -> None:
        """Write the lines that wait. Raises StorageError."""
        if not self._pending:
            return
        lines, self._pending, self._pending_bytes = self._pending, [], 0
        with storage_errors(self._path):
            block: list[bytes] = []
            for line in lines:
                self._make_room(len(line), block)
                block.append(line)
                self._size += len(line)
            self._write(block)

    def close(self) -> None:
        """Write what waits, and close the file. Raises StorageError."""
        try:
            self.flush()
        finally:
            if self._file is not None:
                os.close(self._file)
                self._file = None

    def _make_room(self, size: int, block: list[bytes]) -> None:
        if self._file is None:
            self._open()
        if self._size + size <= self._half:
            return
        self._write(block)
        block.clear()
        if self._file is not None:
            os.close(self._file)
            self._file = None
        self._path.replace(older(self._path))
        self._open()

    def _open(self) -> None:
        # Without parents: a run directory that was removed is not made again.
        self._path.parent.mkdir(mode=0o700, exist_ok=True)
        self._file = Disk().open(self._path)
        self._size = os.fstat(self._file).st_size
        if self._size and not _ends_line(self._path, self._size):
            # A writer was killed within its last line: only that line is lost.
            os.write(self._file, b"\n")
            self._size += 1

    def _write(self, block: list[bytes]) -> None:
        rest = memoryview(b"".join(block))
        while rest and self._file is not None:
            rest = rest[Disk().write(self._file, rest) :]


def older(path: Path) -> Path:
    """Path of the older half of a rolling file."""
    return path.with_name(f"{path.stem}{OLDER}{path.suffix}")


def read_lines(path: Path) -> Iterator[bytes]:
    """Iterate over the lines of a file; none where it is gone, as one is that became the older half meanwhile. Raises StorageError."""
    with storage_errors(path):
        try:
            file = open_to_read(path)
        except FileNotFoundError:
            return
        with file:
            yield from file


def _ends_line(path: Path, size: int) -> bool:
    descriptor = open_regular(path, os.O_RDONLY)
    try:
        return os.pread(descriptor, 1, size - 1) == b"\n"
    finally:
        os.close(descriptor)
