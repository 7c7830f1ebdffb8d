"""JSON that is not one object per line: an array of objects, or pretty-printed objects. Found by its first lines, read piece by piece.

An object ends where its brackets do, so that memory depends on the largest object and not on the file.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import chain, islice

import orjson

from batch.readers.lines import Overlong, Pending, TextLine

# What a pretty-printed object continues with after each end of a line; b"": with anything.
_AFTER = {b"{": b'"}', b",": b'"', b"[": b"", b":": b""}
_OUTSIDE = re.compile(rb'["{}\[\],]')
_INSIDE = re.compile(rb'["\\]')
_BLANK = b" \t\r\n,"


def is_one_document(groups: Iterator[list[TextLine]]) -> tuple[bool, Iterator[list[TextLine]]]:
    """Return whether lines begin as an array of objects, or as an object over several lines; and all of the lines again."""
    seen: list[list[TextLine]] = []
    lines: list[bytes] = []
    for group in groups:
        seen.append(group)
        lines += [line.strip() if isinstance(line, bytes) else b"" for line in islice(filter(_is_text, group), 2)]
        if len(lines) > 1:
            break
    first, second = (*lines, b"", b"")[:2]
    return _continues(first, second), chain(seen, groups)


def documents(groups: Iterator[list[TextLine]]) -> Iterator[tuple[int, TextLine]]:
    """The objects in some lines, each with its first line from 1, without what stands between them.

    What is not closed when the lines end comes too, as do values that are no objects.
    """
    scanner = _Scanner()
    for lines in groups:
        for line in lines:
            yield from scanner.feed(line)
    yield from scanner.rest()


def _is_text(line: TextLine) -> bool:
    return bool(line) and not line.isspace()


def _continues(first: bytes, second: bytes) -> bool:
    """Whether a value begins in the first line that is no object of one line."""
    if first[:1] == b"[":
        inside = first[1:].lstrip() or second
        return inside[:1] == b"{" or (inside == b"]" and (not second or first == b"["))
    # A line that ends in the middle of an object is its first one where the next one can continue it; else it is cut.
    after = _AFTER.get(first[-1:])
    return first[:1] == b"{" and after is not None and second != b"" and (after == b"" or second[:1] in after) and not _parses(first)


class _Scanner:
    """Cuts lines into the values of one array, or into values one after the other."""

    def __init__(self) -> None:
        self._pending = Pending()
        self._line = 0
        self._start = 0
        self._depth = 0
        self._in_array = False
        self._in_string = False
        self._begun = False

    def feed(self, line: TextLine) -> Iterator[tuple[int, TextLine]]:
        """Take the next line; give the values that end in it."""
        self._line += 1
        if isinstance(line, Overlong):
            # Its brackets are unknown: it is one bad record, and reading continues after it.
            self._reset()
            yield self._line, line
            return
        place = 0
        while place < len(line):
            if not self._begun:
                place = self._begin(line, place)
                continue
            stop = self._end(line, place)
            if stop < 0:
                break
            self._pending.add(line[place:stop])
            yield self._start, self._pending.take()
            self._reset()
            place = stop
        if self._begun:
            self._pending.add(line[place:] + b"\n")

    def rest(self) -> Iterator[tuple[int, TextLine]]:
        """Give what is not closed."""
        if self._begun:
            yield self._start, self._pending.take()

    def _reset(self) -> None:
        self._pending.take()
        self._depth, self._in_string, self._begun = 0, False, False

    def _begin(self, line: bytes, place: int) -> int:
        """Pass over what stands between values, and into the array; the place of the next value, or the line's end."""
        while place < len(line) and line[place] in _BLANK:
            place += 1
        char = line[place : place + 1]
        if char == b"[" and not self._in_array:
            self._in_array = True
            return place + 1
        if char == b"]" and self._in_array:
            self._in_array = False
            return place + 1
        if char:
            self._begun, self._start = True, self._line
        return place

    def _end(self, line: bytes, start: int) -> int:
        """Where the value ends; -1 where that is in a later line."""
        place = start
        while match := (_INSIDE if self._in_string else _OUTSIDE).search(line, place):
            char, place = match[0], match.end()
            if self._in_string:
                place += char == b"\\"
                self._in_string = char != b'"'
            elif char == b'"':
                self._in_string = True
            elif char in b"{[":
                self._depth += 1
            elif self._depth == 0:
                # A comma or bracket behind a bare value; as the first character it is itself one, and no JSON.
                return max(match.start(), start + 1)
            elif char != b",":
                self._depth -= 1
                if self._depth == 0:
                    return place
        return len(line) if self._depth == 0 and not self._in_string else -1


def _parses(line: bytes) -> bool:
    try:
        orjson.loads(line)
    except ValueError:
        return False
    return True
