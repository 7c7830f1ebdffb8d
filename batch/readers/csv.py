"""CSV with a header, every value as text: ids like 007 and numbers stay as they are written.

The delimiter is the header's, unless it is set. A quote that is opened and not closed as it should be costs its own line: the lines
behind it are read again without it.

The standard library's parser, not pyarrow's: it is faster for rows as Python objects, knows each row's line,
continues after a bad row, and has no limit of a block on the length of a row.
"""

from __future__ import annotations

import csv
import re
from collections import deque
from collections.abc import Iterator
from itertools import islice

from batch.errors import InputError
from batch.readers.lines import MAX_LINE_BYTES, Overlong, TextLine, encoding_problem, line_groups
from batch.readers.record import DEFAULTS, EVERYTHING, START, ReadOptions, Record, Skip, UnreadableRecord, digest
from batch.records import InputOffset
from batch.storage import file_name

# A record of several lines that is longer begins with a quote that nothing closes: its lines are in memory until that is clear.
MAX_RECORD_BYTES = 64 << 20
_DELIMITERS = ",;\t|"
_DECLARATION = re.compile(rb'"?sep=(?P<delimiter>[\x01-\x7f])"?\r?', re.IGNORECASE)


class _Lines:
    """The decoded lines for the parser; `raw` holds those of the current record, `problem` what is wrong with one of them."""

    def __init__(self, lines: Iterator[TextLine]) -> None:
        self._lines = lines
        self._again: deque[TextLine] = deque()
        self.number = 0
        self.begin_record()

    def begin_record(self) -> None:
        self.raw: list[TextLine] = []
        self.size = 0
        self.problem: str | None = None

    def give_back(self) -> None:
        """Read all lines of the current record but the first again."""
        self._again.extendleft(reversed(self.raw[1:]))
        self.number -= len(self.raw) - 1
        del self.raw[1:]

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        if self.size > MAX_RECORD_BYTES and len(self.raw) > 1:
            # Raised into csv.reader, which passes it on to `_records`: that reads the lines again.
            raise csv.Error(f"a record of more than {MAX_RECORD_BYTES:,} bytes")
        line = self._again.popleft() if self._again else next(self._lines)
        self.number += 1
        self.raw.append(line)
        self.size += len(line)
        if isinstance(line, Overlong):
            self.problem = str(line)
            return "\n"
        try:
            return line.decode() + "\n"
        except UnicodeDecodeError:
            self.problem = encoding_problem(line)
            return line.decode(errors="replace") + "\n"


def read(
    path: str,
    mark: InputOffset = START,  # noqa: ARG001 - always read from the start
    skip: Skip = EVERYTHING,
    options: ReadOptions = DEFAULTS,
) -> Iterator[Record]:
    """The records of a CSV file; newlines within quotes are data, blank lines are passed over.

    Raises:
        InputError: the file cannot be read to its end, or its header names a column twice or cannot be read.
    """
    # Process-wide in the csv module; the default of 128 KiB is less than one long document.
    csv.field_size_limit(MAX_LINE_BYTES)
    declared = _declared_delimiter(path, options)
    delimiter = options.delimiter or declared or _delimiter(path, options)
    source = _Lines(_lines(path, options))
    if declared:
        next(source)
    records = _records(source, delimiter)
    header: list[str] | None = None
    unnamed = False
    for line, row, problem in records:
        if header is None:
            header = _checked_header(path, line, row, problem)
            # Several columns without a name cannot be distinguished; one alone, such as pandas' index, can.
            unnamed = header.count("") > 1
            continue
        if skip.records:
            skip.records -= 1
            yield line, None, 0
            continue
        wrong = problem or (_mismatch(row, header, delimiter, line, source.number) if len(row) != len(header) else None)
        if wrong:
            raw = b"\n".join(item.digest if isinstance(item, Overlong) else item for item in source.raw)
            yield line, UnreadableRecord(wrong, digest(raw)), source.size
        else:
            columns = dict(zip(header, row, strict=True))
            if unnamed:
                del columns[""]
            yield line, columns, source.size


def _records(source: _Lines, delimiter: str) -> Iterator[tuple[int, list[str], str | None]]:
    """Each record's first line, fields, and what is wrong with it; blank lines are passed over."""
    rows = csv.reader(source, strict=True, delimiter=delimiter)
    while True:
        source.begin_record()
        line = source.number + 1
        try:
            row = next(rows)
            problem = source.problem
        except StopIteration:
            return
        except csv.Error as error:
            row, problem = [], source.problem or f"not CSV: {_in_words(error)}"
            if len(source.raw) > 1:
                last = source.number
                source.give_back()
                problem = f"a quote in this line is not closed up to line {last} ({error}); the lines after this one are read without it"
        if row or problem:
            yield line, row, problem


def count(path: str, options: ReadOptions = DEFAULTS) -> int:
    """How many records `read` gives.

    Raises:
        InputError: as `read`.
    """
    return sum(1 for _ in read(path, options=options))


def marks(
    path: str,
    every: int,  # noqa: ARG001 - quotes decide where a record begins, from the start on
    options: ReadOptions = DEFAULTS,
) -> tuple[int, list[InputOffset]]:
    """How many records `read` gives; it can only begin at the start. Raises InputError as `read`."""
    return count(path, options), [START]


def _lines(path: str, options: ReadOptions) -> Iterator[TextLine]:
    return (line for lines in line_groups(path, encoding=options.encoding) for line in lines)


def _declared_delimiter(path: str, options: ReadOptions) -> str | None:
    """The delimiter in a first line such as `sep=;`, which Excel writes and reads; None without one."""
    first = next(_lines(path, options), b"")
    found = _DECLARATION.fullmatch(first) if isinstance(first, bytes) else None
    return found["delimiter"].decode() if found else None


def _in_words(error: csv.Error) -> str:
    """What the parser says, and what to do where its words do not say it."""
    text = str(error)
    if text.startswith("new-line character"):
        return "a carriage return outside of quotes; if each line ends with one, as on old Macs, write the file with line feeds"
    return f"{text} (a quote within quotes is written twice)" if "expected after" in text else text


def _delimiter(path: str, options: ReadOptions) -> str:
    """The delimiter that the header has; of several the one by which the first record has as many fields. The comma where none is seen."""
    if ".tsv" in file_name(path).lower():
        return "\t"
    head = list(islice(_lines(path, options), 50))
    fields = {}
    for delimiter in _DELIMITERS:
        found = [row for _, row, _ in islice(_records(_Lines(iter(head)), delimiter), 2)]
        if found and len(found[0]) > 1:
            fields[delimiter] = found
    fitting = [delimiter for delimiter, rows in fields.items() if len(rows) < 2 or len(rows[0]) == len(rows[1])]
    # A header alone, or beside a first record that does not fit it, may be one column with a ; in its name.
    return "," if "," in fitting or not fitting else max(fitting, key=lambda delimiter: len(fields[delimiter][0]))


def _checked_header(path: str, line: int, names: list[str], problem: str | None) -> list[str]:
    if problem:
        raise InputError(f"{path}:{line}: the header cannot be read: {problem}")
    twice = [name for name in names if name and names.count(name) > 1]
    if twice:
        raise InputError(f"{path}:{line}: the header names the column {twice[0]!r} twice")
    if len(names) > 1 and not any(names):
        raise InputError(f"{path}:{line}: the header has no name; the first line must name the columns")
    return names


def _mismatch(row: list[str], header: list[str], delimiter: str, line: int, last: int) -> str:
    problem = f"{_fields(len(row))} where the header has {len(header)}"
    if last > line:
        return f"{problem}: the lines {line} to {last} were read as one because of the quote in line {line}"
    if len(header) == 1:
        problem += f"; the delimiter is {delimiter!r}: set delimiter in [input] if it is another"
    return problem


def _fields(number: int) -> str:
    return "1 field" if number == 1 else f"{number} fields"
