"""Bounds the bytes of large replies that are in memory at once, over all requests in flight."""

from __future__ import annotations

import asyncio
from collections import OrderedDict

FREE_BYTES = 1024 * 1024
"""A reply of this size is kept without asking: nearly all are smaller."""

DEFAULT_BYTES = 128 * 1024 * 1024


class ReplyBudget:
    """Lends bytes to replies that are larger than FREE_BYTES.

    A reply that would go beyond the budget waits before more of it is read: the server then waits too (TCP flow control). The reply that
    asked first may always continue, so that one at least ends; the bytes in memory are at most `limit` and one reply.
    """

    def __init__(self, limit: int = DEFAULT_BYTES) -> None:
        self._limit = limit
        self._lent: OrderedDict[object, int] = OrderedDict()
        self._total = 0
        self._changed: asyncio.Event | None = None

    def has_room(self, reply: object, size: int) -> bool:
        """Whether `reply`, of which `size` bytes are in memory, may be read further; its share grows to `size` if so."""
        if size <= FREE_BYTES:
            return True
        if reply not in self._lent:
            self._lent[reply] = 0
        more = size - self._lent[reply]
        if self._total + more > self._limit and next(iter(self._lent)) is not reply:
            return False
        self._lent[reply] += more
        self._total += more
        return True

    async def wait(self) -> None:
        """Wait until another reply has gone."""
        if self._changed is None:
            self._changed = asyncio.Event()
        await self._changed.wait()

    def release(self, reply: object) -> None:
        """`reply` is no longer in memory."""
        lent = self._lent.pop(reply, None)
        if lent is None:
            return
        self._total -= lent
        if self._changed is not None:
            self._changed.set()
            self._changed = None
