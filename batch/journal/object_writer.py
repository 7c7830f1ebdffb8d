"""The writer of a journal on an object store: each flush puts the outcomes of the last seconds as one immutable object.

An outcome is in memory until its object is on the store: a process that is killed loses the outcomes of the last seconds, and their
rows are sent again. Objects are never appended to or changed.
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
# Beyond this, sending waits for the store: memory must not grow because the store is slow.
MAX_PENDING_BYTES = 64 << 20
_WAITS_S = (0.5, 1.0, 2.0, 4.0)


class ObjectJournal(GroupCommit):
    """Puts objects by `put(file name, content)`, which raises StoreError; `first` is the name of this session's first object.

    `put` is called in a thread, one call at a time, and retried unless its error is lasting.
    """

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
        """Whether the pending outcomes should be put now: by size, or by age."""
        return self._bytes >= FLUSH_BYTES or (self._bytes > 0 and time.monotonic() - self._waiting_since >= self._interval)

    @property
    def is_behind(self) -> bool:
        """Whether sending should pause until a sync has ended: too much is in memory only."""
        return self._bytes >= MAX_PENDING_BYTES

    def append(self, *lines: bytes) -> None:
        """Take encoded lines into memory. Only `sync` makes them survive the process.

        Raises:
            StorageError: the store has refused.
        """
        self._check_open()
        if not self._waiting:
            self._waiting_since = time.monotonic()
        self._waiting += lines
        self._bytes += sum(map(len, lines))
        self._appended += len(lines)

    def close(self) -> None:
        """Close without syncing; later appends are refused."""
        self._refusal = self._refusal or f"{self._name.stem}: this journal is closed"

    async def _sync(self) -> None:
        # A cancelled caller still waits for the put: whether the object arrived decides the name of the next one.
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
