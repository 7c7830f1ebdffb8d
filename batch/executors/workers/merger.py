"""Merges, in a worker, the small objects of shards that it has finished: each flush on an object store is one."""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from functools import partial

import anyio
import anyio.to_thread

from batch.errors import StorageError
from batch.journal.segment_name import SegmentName
from batch.rundir.local import RunDirectory

# A worker that ends waits this long for what it has not merged yet. What is left then stays as it is, which is no fault.
ENDING_S = 8.0


class Merger:
    """Merges one lease after the other, beside the worker. What the store refuses stays as it is."""

    def __init__(self, directory: RunDirectory) -> None:
        self._directory = directory
        self._waiting: deque[tuple[str, SegmentName, int]] = deque()
        self._changed = anyio.Event()
        self._ended = False
        self._scope = anyio.CancelScope()

    def add(self, slug: str, lease: SegmentName, objects: int) -> None:
        """Merge the first `objects` objects of a lease that counts as done: they are not asked for one by one any more."""
        self._waiting.append((slug, lease, objects))
        self._changed.set()

    def end(self) -> None:
        """Take nothing more, and end in ENDING_S at the latest."""
        self._ended = True
        self._scope.deadline = anyio.current_time() + ENDING_S
        self._changed.set()

    async def run(self) -> None:
        """Merge what is added, until the end."""
        with self._scope:
            while self._waiting or not self._ended:
                if not self._waiting:
                    self._changed = anyio.Event()
                    await self._changed.wait()
                    continue
                slug, lease, objects = self._waiting.popleft()
                with suppress(StorageError):
                    await anyio.to_thread.run_sync(partial(self._directory.merge_lease, slug, lease, objects), abandon_on_cancel=True)
