"""Decodes the content of a reply piece by piece: unpacks it, counts it up to a cap, and finds out whether it is a stream."""

from __future__ import annotations

import zlib
from collections.abc import Mapping

from batch.transport.decompression import Decompressor, UnknownEncodingError

# Codings that pack bytes. Other words under Content-Encoding (none, utf-8, chunked, identity) are mistakes and change no byte.
_PACKED = frozenset({"gzip", "x-gzip", "deflate", "br", "zstd", "compress", "x-compress"})

_BOM = b"\xef\xbb\xbf"
_SPACES = b" \t\r\n"
# How a line of an event stream begins (WHATWG HTML, section 9.2.6); ":" begins a comment.
_DATA = b"data:"
_STREAM_FIELDS = (_DATA, b"event:", b"id:", b"retry:", b":")


class UnreadableError(Exception):
    """The body cannot be read; `code` is a protocol code. `answered`: it is the endpoint's whole answer all the same."""

    def __init__(self, code: str, message: str, *, answered: bool = False) -> None:
        self.code = code
        self.answered = answered
        super().__init__(message)


class ContentDecoder:
    """Unpacks and counts the bytes of a body, up to `cap` bytes in all. Its methods raise UnreadableError.

    `cuts`: a larger body is not refused but cut; `full` says that nothing of the rest is needed.
    """

    def __init__(self, headers: Mapping[str, str], cap: int, *, cuts: bool = False) -> None:
        self._cap = cap
        self._cuts = cuts
        self.full = False
        self.size = 0
        try:
            packed = [name for name in headers.get("content-encoding", "").lower().replace(" ", "").split(",") if name in _PACKED]
            self._decompressor = Decompressor(",".join(packed)) if packed else None
        except UnknownEncodingError as error:
            raise UnreadableError("not_json", str(error), answered=True) from None
        length = headers.get("content-length", "")
        if not cuts and length.isdecimal() and (len(length) > len(str(cap)) or int(length) > cap):
            raise self._too_big()

    def feed(self, piece: bytes) -> bytes:
        """Return the piece unpacked."""
        if self._decompressor is not None:
            try:
                piece = self._decompressor.feed(piece, self._cap - self.size)
            except zlib.error as error:
                raise UnreadableError("not_json", f"the compressed reply cannot be unpacked: {error}", answered=True) from None
        room = self._cap - self.size
        self.size += len(piece)
        if self.size > self._cap:
            if not self._cuts:
                raise self._too_big()
            self.full = True
            return piece[:room]
        return piece

    def end(self) -> bytes:
        """The body has ended: return the last bytes of it."""
        if self._decompressor is None or self.full:
            return b""
        if not self._decompressor.complete:
            raise UnreadableError("truncated_body", "the compressed reply ends too early")
        return self._decompressor.end()

    def _too_big(self) -> UnreadableError:
        return UnreadableError("too_big", f"the reply is larger than {self._cap:,} bytes (run.max_reply_bytes)")


def is_stream(head: bytes, *, labelled: bool) -> bool | None:
    """Whether a body that begins with `head` is an event stream; None while too little of it has come.

    The bytes decide before the label (`labelled` is True for text/event-stream): servers label streams as JSON and JSON as streams.
    """
    if len(head) < len(_BOM) and _BOM.startswith(head):
        return None
    start = head.removeprefix(_BOM).lstrip(_SPACES)
    if start.startswith((b"{", b"[")):
        return False
    if start.startswith(_DATA) and not labelled:
        # Any text may begin with "data:"; what follows in a stream is JSON.
        value = start.removeprefix(_DATA).lstrip(b" ")
        return value.startswith((b"{", b"[")) if value else None
    if start.startswith(_STREAM_FIELDS):
        return True
    if any(field.startswith(start) for field in _STREAM_FIELDS):
        return None
    return labelled and not start.startswith((b"{", b"["))
