"""Unpacks replies that come compressed although `identity` was requested, never beyond a cap.

Source: RFC 9110 section 8.4.1 (gzip, deflate); some servers send raw deflate without its zlib wrapper.
"""

from __future__ import annotations

import zlib

_WINDOW_BITS = {"gzip": 16 + zlib.MAX_WBITS, "x-gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}


class UnknownEncodingError(ValueError):
    """A Content-Encoding that cannot be unpacked."""


class Decompressor:
    """Unpacks a body piece by piece."""

    def __init__(self, encoding: str) -> None:
        bits = _WINDOW_BITS.get(encoding)
        if bits is None:
            raise UnknownEncodingError(f"the reply is compressed as {encoding[:40]!r}, which was not asked for")
        self._decoder = zlib.decompressobj(bits)
        self._may_be_raw = encoding == "deflate"

    def feed(self, data: bytes, room: int) -> bytes:
        """What `data` unpacks to, at most `room` + 1 bytes, so that a body beyond its cap is seen. Raises zlib.error for junk."""
        try:
            unpacked = self._decoder.decompress(data, room + 1)
        except zlib.error:
            if not self._may_be_raw:
                raise
            self._decoder = zlib.decompressobj(-zlib.MAX_WBITS)
            unpacked = self._decoder.decompress(data, room + 1)
        self._may_be_raw = False
        return unpacked

    @property
    def complete(self) -> bool:
        """Whether the compressed body reached its own end."""
        return self._decoder.eof
