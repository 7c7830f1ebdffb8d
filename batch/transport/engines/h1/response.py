"""A reply while it comes: what the connection puts in, and what the client takes out."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Protocol

BUFFERED_BYTES = 256 * 1024
"""At most this many bytes, and one read from the socket more, wait for the client; then the connection is not read."""


class ByteSource(Protocol):
    """What a response needs of the connection that fills it."""

    def resume(self) -> None:
        """Read again from the socket."""

    def abort(self) -> None:
        """Close at once."""


class BufferedResponse:
    """A reply to one request, as `wire.Response` has it. `status` is 0 until its head has come."""

    __slots__ = ("_connection", "_waiter", "buffered", "complete", "error", "headers", "pieces", "status")

    def __init__(self, connection: ByteSource) -> None:
        self._connection = connection
        self.status = 0
        self.headers: Mapping[str, str] = {}
        self.pieces: list[bytes] = []
        self.buffered = 0
        self.complete = False
        self.error: Exception | None = None
        self._waiter: asyncio.Future[None] | None = None

    async def read(self) -> bytes | None:
        """All of the body that has come since the last call, waiting for it; None at its end. Raises H1Error."""
        while not self.pieces:
            if self.error is not None:
                raise self.error
            if self.complete:
                return None
            await self.wait()
        pieces = self.pieces
        self.pieces = []
        if self.buffered >= BUFFERED_BYTES:
            self._connection.resume()
        self.buffered = 0
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    async def wait(self) -> None:
        """Wait until something has happened: bytes in or out, or the end. When cancelled, the connection is closed."""
        # Not the connection's: another request may be on its way over it before the one that waited here runs again.
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        except asyncio.CancelledError:
            if not self.complete:
                self._connection.abort()
            raise
        finally:
            self._waiter = None

    def wake(self) -> None:
        """Something has happened."""
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    async def close(self) -> None:
        """Close the connection, if the body was not read to its end."""
        if not self.complete:
            self._connection.abort()
