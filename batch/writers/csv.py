"""Write derived files as CSV for spreadsheets: RFC 4180, UTF-8, a header, nested values as JSON text.

Text that a spreadsheet would run as a formula gets a ' before it (OWASP, "CSV Injection").
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from batch.writers import Layout
from batch.writers.difference import first_difference
from batch.writers.values import clean, json_bytes

__all__ = ["first_difference", "open_lines"]

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


class CsvLines:
    """Write one record per line; None is an empty cell."""

    def __init__(self, file: BinaryIO, columns: Sequence[str]) -> None:
        self._file = file
        self._columns = columns
        self._write([[_cell(name) for name in columns]])

    def write(self, lines: Sequence[Mapping[str, Any]]) -> None:
        """Add lines."""
        self._write([[_cell(line[name]) for name in self._columns] for line in lines])

    def close(self) -> None:
        """Do nothing: lines are written when they are added."""

    def abandon(self) -> None:
        """Do nothing: no resource is open."""

    def _write(self, records: Sequence[Sequence[Any]]) -> None:
        text = io.StringIO()
        csv.writer(text).writerows(records)
        self._file.write(clean(text.getvalue()).encode())


def open_lines(file: BinaryIO, layout: Layout, folder: Path) -> CsvLines:  # noqa: ARG001 - a CSV cell needs no type
    """Make a writer to `file`."""
    return CsvLines(file, layout.columns)


def _cell(value: Any) -> Any:
    if value is None:
        return ""
    if isinstance(value, str):
        return f"'{value}" if value.startswith(_FORMULA) else value
    if type(value) in (int, float):
        return value
    text = json_bytes(value)
    # Dates, times and bytes are strings in JSON; in a cell they stand without the quotes.
    return _cell(orjson.loads(text)) if text.startswith(b'"') else text.decode()
