"""CSV with a header, comma-separated, every value as text: ids like 007 and numbers stay as they are written.

The standard library's parser, not pyarrow's: it is faster for rows as Python objects, knows each row's line,
continues after a bad row, and has no limit of a block on the length of a row.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator

from batch.errors import InputError
from batch.readers.lines import MAX_LINE_BYTES, Overlong, encoding_problem, line_groups
from batch.readers.record import EVERYTHING, START, Record, Skip, UnreadableRecord, digest
from batch.records import InputOffset


class _Lines:
    """The decoded lines for the parser; `raw` holds those of the current record, `problem` what is wrong with one of them."""

    def __init__(self, path: str) -> None:
        self._lines = (line for lines in line_groups(path) for line in lines)
        self.number = 0
        self.begin_record()

    def begin_record(self) -> None:
        self.raw: list[bytes] = []
        self.problem: str | None = None

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        line = next(self._lines)
        self.number += 1
        if isinstance(line, Overlong):
            self.problem = str(line)
            self.raw.append(line.digest)
            return "\n"
        self.raw.append(line)
        try:
            return line.decode() + "\n"
        except UnicodeDecodeError:
            self.problem = encoding_problem(line)
            return line.decode(errors="replace") + "\n"


def read(path: str, mark: InputOffset = START, skip: Skip = EVERYTHING) -> Iterator[Record]:  # noqa: ARG001 - always read from the start
    """The records of a CSV file; newlines within quotes are data, blank lines are passed over.

    Raises:
        InputError: the file cannot be read to its end, or its header names a column twice or cannot be read.
    """
    source = _Lines(path)
    # Process-wide in the csv module; the default of 128 KiB is less than one long document.
    csv.field_size_limit(MAX_LINE_BYTES)
    rows = csv.reader(source, strict=True)
    header: list[str] | None = None
    while True:
        source.begin_record()
        line = source.number + 1
        try:
            row = next(rows)
            problem = source.problem
        except StopIteration:
            return
        except csv.Error as error:
            row, problem = [], source.problem or f"not CSV: {error}"
        if not row and not problem:
            continue
        if header is None:
            header = _checked_header(path, line, row, problem)
            continue
        if skip.records:
            skip.records -= 1
            yield line, None, 0
            continue
        if not problem and len(row) != len(header):
            problem = f"{_fields(len(row))} where the header has {len(header)}"
        size = sum(map(len, source.raw))
        yield line, UnreadableRecord(problem, digest(b"\n".join(source.raw))) if problem else dict(zip(header, row, strict=True)), size


def count(path: str) -> int:
    """How many records `read` gives.

    Raises:
        InputError: as `read`.
    """
    return sum(1 for _ in read(path))


def marks(path: str, every: int) -> tuple[int, list[InputOffset]]:  # noqa: ARG001 - quotes decide where a record begins, from the start on
    """How many records `read` gives; it can only begin at the start. Raises InputError as `read`."""
    return count(path), [START]


def _checked_header(path: str, line: int, names: list[str], problem: str | None) -> list[str]:
    if problem:
        raise InputError(f"{path}:{line}: the header cannot be read: {problem}")
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise InputError(f"{path}:{line}: the header names the column {twice[0]!r} twice")
    return names


def _fields(number: int) -> str:
    return "1 field" if number == 1 else f"{number} fields"
