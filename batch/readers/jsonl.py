"""JSON Lines: one object per line. Also an array of objects, and pretty-printed objects (documents.py).

orjson reads at the speed of the wire, but turns integers beyond 64 bits into floats and refuses those beyond a double;
lines with 19 digits in a row go to the slower parser of the standard library, so that no digit is lost.
"""

from __future__ import annotations

import codecs
import json
import math
import sys
from collections.abc import Iterator, Sequence
from typing import Any, NoReturn, cast

import orjson

from batch.readers.documents import documents, is_one_document
from batch.readers.lines import Overlong, TextLine, encoding_problem, first_line, is_utf8, line_groups
from batch.readers.record import DEFAULTS, EVERYTHING, PACKED, START, ReadOptions, Record, Skip, UnreadableRecord, digest
from batch.records import InputOffset
from batch.storage import file_name

# Bounds memory and run time for any length of the input: beyond that every second mark is dropped.
MOST_MARKS = 8192
# Two C-speed passes (translate, find) cost a quarter of a regular expression's search.
_DIGITS_AS_ZERO = bytes(ord("0") if chr(byte).isascii() and chr(byte).isdigit() else ord(" ") for byte in range(256))
_LONG_INTEGER = b"0" * 19


def read(path: str, mark: InputOffset = START, skip: Skip = EVERYTHING, options: ReadOptions = DEFAULTS) -> Iterator[Record]:
    """The records of a JSONL file from `mark` on; blank lines are passed over, but counted as lines.

    Raises:
        InputError: the file cannot be read to its end.
    """
    number = mark.line
    groups = line_groups(path, mark.offset, options.encoding)
    if number == 0:
        is_document, groups = is_one_document(groups)
        if is_document:
            yield from _whole(groups, skip)
            return
    for lines in groups:
        exactly = skip.records < len(lines) and _may_hold_long_integers(lines)
        for number, line in enumerate(lines, number + 1):  # noqa: B020 - the count continues over the groups
            if not line or line.isspace():
                continue
            if skip.records:
                skip.records -= 1
                yield number, None, 0
            elif isinstance(line, Overlong):
                yield number, UnreadableRecord(str(line), line.digest), line.size
            else:
                yield number, parse(line, exactly=exactly), len(line)


def _whole(groups: Iterator[list[TextLine]], skip: Skip) -> Iterator[Record]:
    """The records of a file that is an array, or pretty-printed; their numbers are those of their first lines."""
    for number, text in documents(groups):
        if skip.records:
            skip.records -= 1
            yield number, None, 0
        elif isinstance(text, Overlong):
            yield number, UnreadableRecord(str(text), text.digest), text.size
        else:
            yield number, parse(text), len(text)


def count(path: str, options: ReadOptions = DEFAULTS) -> int:
    """How many records `read` gives, without parsing one.

    Raises:
        InputError: the file cannot be read to its end.
    """
    is_document, groups = is_one_document(line_groups(path, encoding=options.encoding))
    return sum(1 for _ in documents(groups)) if is_document else sum(map(_records, groups))


def marks(path: str, every: int, options: ReadOptions = DEFAULTS) -> tuple[int, list[InputOffset]]:
    """Count the records of `read` without parsing them, and list where about every `every` of them starts.

    In a long file that is every 2, 4, 8 … times as many; in a packed one only where the first begins.

    Raises:
        InputError: the file cannot be read to its end.
    """
    if file_name(path).lower().endswith(PACKED) or not is_utf8(options.encoding):
        return count(path, options), [START]
    is_document, groups = is_one_document(line_groups(path))
    if is_document:
        return sum(1 for _ in documents(groups)), [START]
    found = [InputOffset(0, offset=first_line(path))]
    records = line = 0
    offset = found[0].offset
    for lines in groups:
        found_here = _records(lines)
        if records + found_here > found[-1].record + every:
            found += _marks_within(lines, InputOffset(0, 0, records, line, offset), found[-1].record + every, every)
            while len(found) > MOST_MARKS:
                found, every = found[::2], 2 * every
        records += found_here
        line += len(lines)
        offset += sum(map(len, lines)) + len(lines)
    return records, found


def _marks_within(lines: Sequence[TextLine], at: InputOffset, due: int, every: int) -> Iterator[InputOffset]:
    """Where the records `due`, `due + every`, … begin in a group of lines that begins at `at`."""
    record, offset = at.record, at.offset
    for number, line in enumerate(lines, at.line):
        if line and not line.isspace():
            if record == due:
                yield InputOffset(0, 0, record, number, offset)
                due += every
            record += 1
        offset += len(line) + 1


def _records(lines: Sequence[TextLine]) -> int:
    return sum(1 for line in lines if line and not line.isspace())


def _may_hold_long_integers(lines: Sequence[TextLine]) -> bool:
    """Whether one of the lines may have a long integer: checked for all at once: per line it costs a third of the parsing."""
    return Overlong in map(type, lines) or _LONG_INTEGER in b"\n".join(cast("Sequence[bytes]", lines)).translate(_DIGITS_AS_ZERO)


def parse(line: bytes, *, exactly: bool = True) -> dict[str, Any] | UnreadableRecord:
    """The object in `line`, every number exact as far as Python's own are; never raises. Not `exactly` where it is without long ones."""
    try:
        value = exact_value(line) if exactly else orjson.loads(line)
    except (ValueError, RecursionError) as error:
        # Files put together by `cat` keep the mark of each; JSON text sequences (RFC 7464) begin each record with a separator.
        bare = line.removeprefix(codecs.BOM_UTF8).removeprefix(b"\x1e")
        if len(bare) < len(line):
            return parse(bare, exactly=exactly)
        return UnreadableRecord(_problem(line, error), digest(line.rstrip(b"\r")))
    if type(value) is dict:
        return value
    return UnreadableRecord(f"not a JSON object but {_kind(value)}; each line must be one {{...}}", digest(line.rstrip(b"\r")))


def exact_value(text: bytes) -> Any:
    """The JSON value in `text`, every number exact as far as Python's own are. Raises ValueError, RecursionError."""
    return _exact_loads(text) if _LONG_INTEGER in text.translate(_DIGITS_AS_ZERO) else orjson.loads(text)


def _exact_loads(line: bytes) -> Any:
    value = json.loads(line.decode(), parse_constant=_refuse_constant, parse_float=_finite)
    if b"\\u" in line:
        json.dumps(value, ensure_ascii=False).encode()  # raises for lone surrogates, which orjson refuses too
    return value


class NotJsonError(ValueError):
    """NaN, Infinity or -Infinity where a JSON value must stand."""


def _refuse_constant(name: str) -> NoReturn:
    raise NotJsonError(f"{name} is not JSON; write null instead, as pandas does")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("number is infinity when parsed as double")
    return number


def _problem(line: bytes, error: Exception) -> str:
    if problem := encoding_problem(line):
        return problem
    if b"NaN" in line or b"Infinity" in line:
        try:
            json.loads(line, parse_constant=_refuse_constant)
        except NotJsonError as refused:
            return f"not JSON: {refused}"
        except (ValueError, RecursionError):
            pass
    if "content after document" in str(error) or "Extra data" in str(error):
        return f"not JSON: {_more(line, error)}"
    match error:
        case json.JSONDecodeError():
            return f"not JSON: {error.msg} at column {error.colno}"
        case RecursionError():
            return "not JSON that can be read: nested too deep"
        case UnicodeEncodeError():
            return "not JSON: a lone surrogate in a string"
        case ValueError() if "integer string conversion" in str(error):
            return f"not JSON that can be read: an integer of more than {sys.get_int_max_str_digits():,} digits"
        case _:
            return f"not JSON: {error}"


def _more(line: bytes, error: Exception) -> str:
    """What stands after an object in its line, and what to do."""
    place = error.pos if isinstance(error, json.JSONDecodeError) else 0
    rest = line.decode(errors="replace")[place:].strip()
    if rest == ",":
        return "a comma stands after the object; write each object on a line of its own, without commas between"
    if b"\r" in line.strip():
        return "the line holds several objects, with carriage returns between; write the file with line feeds"
    return f"more stands after the object, from column {place + 1} on; write each object on a line of its own"


def _kind(value: Any) -> str:
    names = {list: "a list", str: "a string", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")
