"""The base of all journal writers: counts records, and lets all callers that wait for durability share one sync."""

from __future__ import annotations

from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self

import anyio

from batch.errors import StorageError


class GroupCommit(ABC):
    """Counts the records of one session: a subclass adds to `_appended` in `append`, and sets `_durable` in `_sync`.

    `_refusal` is why nothing more is taken; `_sync_failed` says that nothing more can become durable either.
    """

    repaired: str | None = None

    def __init__(self) -> None:
        self._appended = self._durable = 0
        self._refusal: str | None = None
        self._sync_failed = False
        self._syncing: anyio.Event | None = None

    @property
    def appended(self) -> int:
        """Number of records appended in this session."""
        return self._appended

    @property
    def durable(self) -> int:
        """Number of appended records that are durable."""
        return self._durable

    @property
    def is_durable(self) -> bool:
        """Whether every appended record is durable."""
        return self._durable == self._appended

    async def sync(self) -> int:
        """Make durable what was appended before this call; returns the number of durable records of this session.

        Calls that arrive during a sync share the next one. After a refused append, what was appended before it can still be synced.

        Raises:
            StorageError: a sync failed, now or earlier.
        """
        wanted = self._appended
        while self._durable < wanted or self._sync_failed:
            # A failed sync is final: the kernel may have dropped the pages that it could not write, and would call the next sync good.
            if self._sync_failed:
                raise StorageError(self._refusal or "")
            if self._syncing is not None:
                await self._syncing.wait()
                continue
            self._syncing = anyio.Event()
            try:
                await self._sync()
            finally:
                # Also after a failure, so that callers that wait see it instead of waiting forever.
                self._syncing.set()
                self._syncing = None
        return self._durable

    @abstractmethod
    def close(self) -> None:
        """Close without syncing; later appends are refused."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self.close()

    @abstractmethod
    async def _sync(self) -> None:
        """Make durable what is appended now. Raises StorageError after setting `_sync_failed` and `_refusal`."""

    def _check_open(self) -> None:
        if self._refusal is not None:
            raise StorageError(self._refusal)
