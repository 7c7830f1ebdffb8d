"""Compare written text files: with each other, and with what was written."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path


def first_difference(path: Path, other: Path) -> int | None:
    """Return the first line (from 1) in which two files differ; None when they are equal byte for byte."""
    with path.open("rb") as left, other.open("rb") as right:
        return next((number for number, (a, b) in enumerate(zip_longest(left, right), 1) if a != b), None)


class TextSample:
    """The size of a text file while it is written, with its first and last record."""

    def __init__(self) -> None:
        self.size = 0
        self._first: bytes | None = None
        self._last = b""

    def add(self, records: Sequence[bytes]) -> None:
        """Record what is appended to the file; at least one record."""
        if self._first is None:
            self._first = records[0]
        self._last = records[-1]
        self.size += sum(map(len, records))

    def read_back(self, path: Path) -> list[bytes]:
        """Return the file's first and last record, none when it is empty. Raises ValueError where the file is not what was written."""
        found = path.stat().st_size
        if found != self.size:
            raise ValueError(f"it has {found:,} bytes, not {self.size:,}")
        if self._first is None:
            return []
        with path.open("rb") as file:
            first = file.read(len(self._first))
            file.seek(self.size - len(self._last))
            last = file.read()
        if (first, last) != (self._first, self._last):
            raise ValueError("its first or last line differs")
        return [first, last]
