"""Decodes server-sent events. No I/O.

Source: WHATWG HTML, section 9.2.6 "Interpreting an event stream". Lines end at CR, LF and CRLF only, as the bytes come; nothing is
decoded before it is split, so that a character or a line may be cut anywhere.
"""

from __future__ import annotations

from typing import NamedTuple

_BOM = b"\xef\xbb\xbf"
_IGNORED = frozenset({b"", b"retry", b"id"})
_LONGEST_BARE = 65536


class ServerSentEvent(NamedTuple):
    """One event: its type ("message" where none is given), its data as UTF-8 bytes, and the last id seen."""

    # No frozen dataclass: making one costs three times as much, and a stream has one for each token.

    event: str
    data: bytes
    id: str = ""


class SSEDecoder:
    """Feed it bytes, cut anywhere, and take the events that they complete.

    `bare` collects the lines that are no fields of an event, up to 64 KiB: some servers write an error into a stream as it is.
    """

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._skip_newline = False
        self._at_start = True
        self._event = ""
        self._data: list[bytes] = []
        self._id = ""
        self.bare = b""

    def feed(self, data: bytes) -> list[ServerSentEvent]:
        """The events that are complete with `data`. Comments and events without data give nothing."""
        if self._at_start:
            data = b"".join([*self._pieces, data])
            if len(data) < len(_BOM) and _BOM.startswith(data):
                self._pieces = [data]
                return []
            data, self._pieces, self._at_start = data.removeprefix(_BOM), [], False
        # The LF of a CRLF that was cut between two pieces: it ends no second line.
        if self._skip_newline and data:
            data = data.removeprefix(b"\n")
            self._skip_newline = False
        if b"\n" not in data and b"\r" not in data:
            self._pieces.append(data)
            return []
        # A CR at the end may be half a CRLF.
        self._skip_newline = data.endswith(b"\r")
        self._pieces.append(data)
        # bytes.splitlines splits at CR, LF and CRLF only; str.splitlines would split at U+2028 within JSON.
        lines = b"".join(self._pieces).splitlines()
        self._pieces = [] if data.endswith((b"\n", b"\r")) else [lines.pop()]
        events = []
        for line in lines:
            if line.startswith(b"data: "):  # nearly all of a stream's lines
                self._data.append(line[6:])
            elif line:
                self._take(line)
            elif (event := self._dispatch()) is not None:
                events.append(event)
        return events

    def close(self) -> ServerSentEvent | None:
        """The event that the end of the stream leaves incomplete; the specification drops it, the caller may know better."""
        if rest := b"".join(self._pieces):
            self._take(rest)
            self._pieces = []
        return self._dispatch()

    def _take(self, line: bytes) -> None:
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            self._data.append(value)
        elif name == b"event":
            self._event = value.decode("utf-8", "replace")
        # The specification ignores ids with a NUL.
        elif name == b"id" and b"\0" not in value:
            self._id = value.decode("utf-8", "replace")
        elif name not in _IGNORED and len(self.bare) + len(line) < _LONGEST_BARE:
            self.bare += line + b"\n"

    def _dispatch(self) -> ServerSentEvent | None:
        event, self._event = self._event, ""
        if not self._data:
            return None
        data = self._data[0] if len(self._data) == 1 else b"\n".join(self._data)
        self._data = []
        return ServerSentEvent(event or "message", data, self._id)
