"""The writer of a journal on an object store: what comes within some seconds becomes one immutable object.

An outcome is in memory until its object is on the store: a process that dies loses those of the last seconds, and their rows are sent
again. Nothing that is on the store is ever appended to or changed.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import anyio
import anyio.to_thread

from batch.errors import StorageError
from batch.journal.group_commit import GroupCommit
from batch.journal.segments import SegmentName
from batch.storage.store_errors import StoreError

FLUSH_BYTES = 8 << 20
# Beyond this, workers wait for the store: memory must not grow with its slowness.
HELD_BYTES = 64 << 20
_WAITS_S = (0.5, 1.0, 2.0, 4.0)


class StoreJournal(GroupCommit):
    """Appends under `first`, the name of this session's first segment, by `put(file name, content)`, which raises StoreError.

    `put` is called in a thread, one call at a time, and is tried again when its error is not a lasting one.
    """

    repaired: str | None = None

    def __init__(self, first: SegmentName, put: Callable[[str, bytes], None], flush_interval_s: float) -> None:
        super().__init__()
        self._name = first
        self._put = put
        self._interval = flush_interval_s
        self._waiting: list[bytes] = []
        self._waiting_since = 0.0
        self._bytes = 0

    @property
    def is_due(self) -> bool:
        """Whether what waits should be put now: it is enough, or has waited long enough."""
        return self._bytes >= FLUSH_BYTES or (self._bytes > 0 and time.monotonic() - self._waiting_since >= self._interval)

    @property
    def is_behind(self) -> bool:
        """Whether so much waits that nothing more should come before it is put."""
        return self._bytes >= HELD_BYTES

    def append(self, *lines: bytes) -> None:
        """Take encoded lines. They survive the process when a `sync` that came later has ended.

        Raises:
            StorageError: the store has refused.
        """
        if self._refusal is not None:
            raise StorageError(self._refusal)
        if not self._waiting:
            self._waiting_since = time.monotonic()
        self._waiting += lines
        self._bytes += sum(map(len, lines))
        self._appended += len(lines)

    def close(self) -> None:
        """Take nothing more; puts nothing."""
        self._refusal = self._refusal or f"{self._name.stem}: this journal is closed"

    async def _sync(self) -> None:
        # An object that is on its way is waited for: whether it came decides what the next one is called.
        with anyio.CancelScope(shield=True):
            await self._flush()

    async def _flush(self) -> None:
        lines, covered = self._waiting, self._appended
        self._waiting, self._bytes = [], 0
        data = b"".join(lines)
        waits = iter(_WAITS_S)
        while True:
            try:
                await anyio.to_thread.run_sync(self._put, f"{self._name.stem}.jsonl", data)
                break
            except StoreError as error:
                wait = None if error.lasting else next(waits, None)
                if wait is None:
                    self._sync_failed = True
                    self._refusal = f"{error}; {len(lines):,} answers that were not stored yet are lost, and their rows will be sent again"
                    raise StorageError(self._refusal) from error
                await anyio.sleep(wait)
        self._durable = covered
        self._name = self._name._replace(part=self._name.part + 1)
