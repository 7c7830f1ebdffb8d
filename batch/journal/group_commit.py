"""What every writer of a journal has in common: records are counted, and who waits for them to become durable shares one sync."""

from __future__ import annotations

from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self

import anyio

from batch.errors import StorageError


class GroupCommit(ABC):
    """Counts the records of one session. Whoever appends counts them in `_appended`, and `_sync` says in `_durable` how many are safe."""

    def __init__(self) -> None:
        self._appended = self._durable = 0
        self._refusal: str | None = None
        self._sync_failed = False
        self._syncing: anyio.Event | None = None

    @property
    def appended(self) -> int:
        """How many records this session has appended."""
        return self._appended

    @property
    def durable(self) -> int:
        """How many of them are durable."""
        return self._durable

    @property
    def is_durable(self) -> bool:
        """Whether all of them are."""
        return self._durable == self._appended

    async def sync(self) -> int:
        """Make durable what was appended before this call; returns how many records of this session are durable now.

        Callers that come while one is under way share the next. May be called after a refused append, for what came before.

        Raises:
            StorageError: a sync failed, now or earlier. The system may have dropped what it could not write, so it is never tried again.
        """
        wanted = self._appended
        while self._durable < wanted or self._sync_failed:
            if self._sync_failed:
                raise StorageError(self._refusal or "")
            if self._syncing is not None:
                await self._syncing.wait()
                continue
            self._syncing = anyio.Event()
            try:
                await self._sync()
            finally:
                self._syncing.set()
                self._syncing = None
        return self._durable

    @abstractmethod
    def close(self) -> None:
        """Take nothing more; syncs nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self.close()

    @abstractmethod
    async def _sync(self) -> None:
        """Make durable what is appended now. Raises StorageError, and sets `_sync_failed` and `_refusal`, when it cannot."""
