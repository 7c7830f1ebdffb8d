"""Decodes the content of a reply piece by piece: unpacks it and counts it, never beyond a cap."""

from __future__ import annotations

import zlib
from collections.abc import Mapping

from batch.transport.decompression import Decompressor, UnknownEncodingError


class UnreadableError(Exception):
    """The body cannot be taken in; `code` is a protocol code."""

    def __init__(self, code: str, message: str) -> None:
        self.code = code
        super().__init__(message)


class ContentDecoder:
    """The bytes of a body, unpacked, up to `cap` bytes in all. Its methods raise UnreadableError."""

    def __init__(self, headers: Mapping[str, str], cap: int) -> None:
        self._cap = cap
        self._size = 0
        encoding = headers.get("content-encoding", "identity").strip().lower()
        try:
            self._decompressor = None if encoding in {"", "identity"} else Decompressor(encoding)
        except UnknownEncodingError as error:
            raise UnreadableError("not_json", str(error)) from None
        length = headers.get("content-length", "")
        if length.isdecimal() and int(length) > cap:
            raise self._too_big()

    def feed(self, piece: bytes) -> bytes:
        """The piece, unpacked and counted."""
        if self._decompressor is not None:
            try:
                piece = self._decompressor.feed(piece, self._cap - self._size)
            except zlib.error as error:
                raise UnreadableError("not_json", f"the compressed reply cannot be unpacked: {error}") from None
        self._size += len(piece)
        if self._size > self._cap:
            raise self._too_big()
        return piece

    def end(self) -> None:
        """The body has ended."""
        if self._decompressor is not None and not self._decompressor.complete:
            raise UnreadableError("truncated_body", "the compressed reply ends too early")

    def _too_big(self) -> UnreadableError:
        return UnreadableError("too_big", f"the reply is larger than {self._cap:,} bytes (run.max_reply_bytes)")
