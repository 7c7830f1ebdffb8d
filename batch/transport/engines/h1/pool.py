"""The connections to one origin: those that idle are used again, the one used last first, so that the others can grow old."""

from __future__ import annotations

import asyncio

from batch.transport.engines.h1.connection import Connection

SETTLING_TURNS = 3
"""Turns of the loop until what lies in a socket has been read."""


class Pool:
    """Keeps up to `most` idle connections for up to `keep_alive_s`. `open` are all, busy ones too."""

    def __init__(self, keep_alive_s: float, most: int) -> None:
        self.open: set[Connection] = set()
        self._keep_alive_s = keep_alive_s
        self._most = most
        self._idle: dict[Connection, None] = {}  # in the order in which they became idle
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None

    async def take(self) -> Connection | None:
        """An idle connection that the server has not closed, or None."""
        oldest = self._loop.time() - self._keep_alive_s
        while self._idle:
            connection, _ = self._idle.popitem()
            if connection.closed or connection.idle_since < oldest:
                connection.abort()
            elif not connection.is_readable() or await self._settled(connection):
                return connection
        return None

    def put(self, connection: Connection) -> None:
        """Keep a connection that is free."""
        if len(self._idle) >= self._most:
            connection.abort()
            return
        connection.idle_since = self._loop.time()
        self._idle[connection] = None
        if self._timer is None:
            self._timer = self._loop.call_later(self._keep_alive_s, self._close_old)

    def discard(self, connection: Connection) -> None:
        """Forget a connection that is closed."""
        self.open.discard(connection)
        self._idle.pop(connection, None)

    def close(self) -> None:
        """Close all connections, those that are in use, too."""
        if self._timer is not None:
            self._timer.cancel()
        self._idle.clear()
        for connection in list(self.open):
            connection.abort()

    async def _settled(self, connection: Connection) -> bool:
        """Whether a connection on which something came is still good once that was read: over TLS it may be a ticket, not a close."""
        try:
            for _ in range(SETTLING_TURNS):
                await asyncio.sleep(0)
        except BaseException:
            connection.abort()
            raise
        if connection.closed or connection.is_readable():
            connection.abort()
            return False
        return True

    def _close_old(self) -> None:
        self._timer = None
        now = self._loop.time()
        for connection in list(self._idle):
            due = connection.idle_since + self._keep_alive_s
            if due > now:
                self._timer = self._loop.call_at(due, self._close_old)
                break
            del self._idle[connection]
            connection.abort()
