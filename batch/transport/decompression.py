"""Unpacks replies that come compressed although `identity` was requested, never beyond a cap.

Sources: RFC 9110 section 8.4.1 (gzip, deflate); RFC 1952 section 2.2 (a gzip file is one member after another); some servers send raw
deflate without its zlib wrapper, and some label plain bytes as gzip. Brotli and zstd are refused by their names: no server is known to send
them to a client that asks for identity, and the official SDK reads them only where their libraries are installed.
"""

from __future__ import annotations

import zlib

# zlib's window bits: 16 more expect a gzip header, a negative number expects no header at all.
_GZIP, _RAW = 16 + zlib.MAX_WBITS, -zlib.MAX_WBITS
_WINDOW_BITS = {"gzip": _GZIP, "x-gzip": _GZIP, "deflate": zlib.MAX_WBITS}
GZIP_MAGIC = b"\x1f\x8b"


class UnknownEncodingError(ValueError):
    """A Content-Encoding that cannot be unpacked."""


class Decompressor:
    """Unpacks a body piece by piece."""

    def __init__(self, encoding: str) -> None:
        bits = _WINDOW_BITS.get(encoding)
        if bits is None:
            raise UnknownEncodingError(f"the reply is compressed as {encoding[:40]!r}, which was not requested")
        self._bits = bits
        self._decoder = zlib.decompressobj(bits)
        self._may_be_raw = encoding == "deflate"
        self._head = b""
        self._at_member = bits == _GZIP
        self._members = 0
        self._is_plain = False

    def feed(self, data: bytes, room: int) -> bytes:
        """Unpack `data` to at most `room` + 1 bytes, so that a body beyond its cap is seen. Raises zlib.error for junk."""
        unpacked = []
        while data and room >= 0:
            if self._is_plain:
                unpacked.append(data)
                break
            if self._at_member:
                data = self._begin_member(data)
                continue
            if self._decoder.eof:
                break
            piece = self._decompress(data, room)
            unpacked.append(piece)
            room -= len(piece)
            data = self._decoder.unused_data
            self._at_member = self._bits == _GZIP and self._decoder.eof
        return b"".join(unpacked)

    def end(self) -> bytes:
        """The body has ended: return what is left of bytes that were too few to recognise."""
        rest, self._head = self._head, b""
        return rest if self._members == 0 else b""

    @property
    def complete(self) -> bool:
        """Whether the compressed body reached its own end."""
        return self._decoder.eof or self._is_plain or (self._bits == _GZIP and self._members == 0)

    def _begin_member(self, data: bytes) -> bytes:
        """Start on a member of a gzip file; what follows the last one is padding, and what precedes any is no gzip."""
        data = self._head + data
        if len(data) < len(GZIP_MAGIC):
            self._head = data
            return b""
        self._head, self._at_member = b"", False
        if data.startswith(GZIP_MAGIC):
            self._members += 1
            self._decoder = zlib.decompressobj(self._bits)
            return data
        if self._members:
            self._at_member = True  # padding of zeros may come in pieces
            return b""
        self._is_plain, self._at_member = True, False
        return data

    def _decompress(self, data: bytes, room: int) -> bytes:
        try:
            unpacked = self._decoder.decompress(data, room + 1)
        except zlib.error:
            if not self._may_be_raw:
                raise
            self._decoder = zlib.decompressobj(_RAW)
            unpacked = self._decoder.decompress(data, room + 1)
        self._may_be_raw = False
        return unpacked
