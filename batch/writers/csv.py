"""Write derived files as CSV for spreadsheets: RFC 4180, UTF-8, a header, nested values as JSON text.

Text that a spreadsheet would run as a formula gets a ' before it (OWASP, "CSV Injection"). Numbers, phone numbers and ids do not: what
reads the file by program must find them as they were.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, BinaryIO

import orjson

from batch.writers import Layout
from batch.writers.difference import TextSample, first_difference
from batch.writers.values import clean, json_bytes

__all__ = ["first_difference", "open_lines"]

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
# Digits and their punctuation cannot name a function or a program.
_NUMBER = re.compile(r"[+-]?[\d.,][\d.,()/ -]*(?:[eE][+-]?\d+)?%?", re.ASCII)


class CsvLines:
    """Write one record per line; None is an empty cell."""

    def __init__(self, file: BinaryIO, layout: Layout) -> None:
        self._file = file
        self._sample = TextSample()
        self._columns = [(name, layout.csv_guard and name not in layout.unguarded) for name in layout.columns]
        self._write([[_cell(name, guard=layout.csv_guard) for name in layout.columns]])

    def write(self, lines: Sequence[Mapping[str, Any]]) -> None:
        """Add lines."""
        self._write([[_cell(line[name], guard=guard) for name, guard in self._columns] for line in lines])

    def close(self) -> None:
        """Do nothing: lines are written when they are added."""

    def check(self, path: Path) -> None:
        """Read back the file's size, and its header and last record, which have a cell for each column. Raises ValueError."""
        # A cell may be longer than the limit of the csv module, which is global: only the number of records is asked for.
        for record in self._sample.read_back(path):
            if not record.endswith(b"\r\n"):
                raise ValueError("a record has no end")

    def abandon(self) -> None:
        """Do nothing: no resource is open."""

    def _write(self, records: Sequence[Sequence[Any]]) -> None:
        texts: list[str] = []
        csv.writer(SimpleNamespace(write=texts.append)).writerows(records)
        if texts:
            encoded = [clean(text).encode() for text in texts]
            self._sample.add(encoded)
            self._file.writelines(encoded)


def open_lines(file: BinaryIO, layout: Layout, folder: Path) -> CsvLines:  # noqa: ARG001 - a CSV cell needs no type
    """Make a writer to `file`."""
    return CsvLines(file, layout)


def _cell(value: Any, *, guard: bool) -> Any:
    if value is None:
        return ""
    if isinstance(value, str):
        return f"'{value}" if guard and value.startswith(_FORMULA) and not _NUMBER.fullmatch(value) else value
    if type(value) in (int, float):
        return value
    text = json_bytes(value)
    # Dates, times and bytes are strings in JSON; in a cell they stand without the quotes.
    return _cell(orjson.loads(text), guard=guard) if text.startswith(b'"') else text.decode()
