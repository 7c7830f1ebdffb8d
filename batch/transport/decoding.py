"""Decodes the content of a reply piece by piece: unpacks it, counts it up to a cap, and finds out whether it is a stream."""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping

from batch.transport.decompression import GZIP_MAGIC, Decompressor, UnknownEncodingError

# Codings that pack bytes. Other words under Content-Encoding (none, utf-8, chunked, identity) are mistakes and change no byte.
_PACKED = frozenset({"gzip", "x-gzip", "deflate", "br", "zstd", "compress", "x-compress"})

# A proxy may pack again what came packed; more layers are no reply of a model.
_MOST_LAYERS = 3

_BOM = b"\xef\xbb\xbf"
_SPACES = b" \t\r\n"
# How JSON and event streams begin. Packed bytes do not, but for raw deflate by a chance of one in thousands.
_PLAIN = re.compile(rb'(?:\xef\xbb\xbf)?\s*(?:[\[{]\s*["\[{}\]]|(?:data|event|id|retry)?:)')
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

    `cuts`: what is beyond the cap is dropped, and `is_full` tells so; otherwise it is an error.
    """

    def __init__(self, headers: Mapping[str, str], cap: int, *, cuts: bool = False) -> None:
        self._cap = cap
        self._cuts = cuts
        self.is_full = False
        self.size = 0
        label = headers.get("content-encoding")
        # In the order in which they were applied (RFC 9110, section 8.4): the last is taken off first.
        self._encodings = [] if label is None else [name for name in label.lower().replace(" ", "").split(",") if name in _PACKED]
        self._layers: list[Decompressor] = []
        self._is_unpacked = False
        self._head = b""
        length = headers.get("content-length", "")
        if not cuts and length.isdecimal() and (len(length) > len(str(cap)) or int(length) > cap):
            raise self._too_big()

    def feed(self, piece: bytes) -> bytes:
        """Return the piece unpacked."""
        if self._layers or not self._is_unpacked:
            try:
                piece = self._unpack(piece)
            except zlib.error as error:
                raise UnreadableError("not_json", f"the compressed reply cannot be unpacked: {error}", answered=True) from None
        self.size += len(piece)
        if self.size > self._cap:
            if not self._cuts:
                raise self._too_big()
            self.is_full = True
            return piece[: len(piece) - (self.size - self._cap)]
        return piece

    def end(self) -> bytes:
        """The body has ended: return the last bytes of it."""
        if self.is_full:
            return b""
        if not all(layer.complete for layer in self._layers):
            raise UnreadableError("truncated_body", "the compressed reply ends too early")
        return b"".join(layer.end() for layer in self._layers) + self._head

    def _unpack(self, piece: bytes) -> bytes:
        room = self._cap - self.size
        for layer in self._layers:
            piece = layer.feed(piece, room)
            if len(piece) > room:
                return piece
        while not self._is_unpacked and piece and len(piece) <= room:
            head, self._head = self._head + piece, b""
            if len(head) < len(GZIP_MAGIC):
                self._head = head
                return b""
            found = self._decompressor_for(head)
            self._is_unpacked = found is None or len(self._layers) == _MOST_LAYERS - 1
            if found is None:
                return head
            self._layers.append(found)
            piece = found.feed(head, room)
        return piece

    def _decompressor_for(self, head: bytes) -> Decompressor | None:
        """Choose by the first bytes before the label: servers pack without saying so, and say so without packing."""
        encoding = self._encodings.pop() if self._encodings else ""
        if head.startswith(GZIP_MAGIC):
            return Decompressor("gzip")
        if not encoding or _PLAIN.match(head):
            return None
        try:
            return Decompressor(encoding)
        except UnknownEncodingError as error:
            raise UnreadableError("not_json", str(error), answered=True) from None

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
