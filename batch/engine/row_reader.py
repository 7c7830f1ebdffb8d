"""Reads rows into a worker pool's backlog, in another thread, only as far ahead as the pool needs."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import anyio
import anyio.to_thread

from batch.engine.backlog import Backlog
from batch.engine.decisions import StopRun
from batch.engine.endpoint_pool import EndpointPool
from batch.engine.feed import Copied, Source, Unsendable
from batch.engine.finisher import Finisher
from batch.engine.work import Work
from batch.errors import DamagedError, InputError, StorageError
from batch.events import Event


class RowReader:
    """Fills the backlog of one worker pool and finishes the rows that need no attempt.

    `added` is called after each batch, `stop_if` with what the finisher decided, `notify` with unexpected exceptions.
    `exhausted`: all rows have been read.
    """

    def __init__(
        self,
        feed: Source,
        backlog: Backlog,
        finisher: Finisher,
        *,
        added: Callable[[], None],
        stop_if: Callable[[StopRun | None], None],
        notify: Callable[[Event], None],
    ) -> None:
        self.exhausted = False
        self._stopped = False
        self._feed = feed
        self._backlog = backlog
        self._finisher = finisher
        self._added = added
        self._stop_if = stop_if
        self._notify = notify
        self._room = anyio.Event()

    def stop(self) -> None:
        """Read nothing more."""
        self._stopped = True
        self._room.set()

    def make_room(self) -> None:
        """Read on if the backlog has room again."""
        if not self._room.is_set() and not self._backlog.is_full:
            self._room.set()

    async def read(self, endpoint_pool: EndpointPool) -> str | None:
        """Read until the end or a stop. Returns why the input cannot be read further, None if it can."""
        batches = self._feed.batches()
        try:
            for task in await anyio.to_thread.run_sync(self._feed.answered):
                endpoint_pool.add_reference(task)
            while not self._stopped:
                batch = await anyio.to_thread.run_sync(next, batches, None, abandon_on_cancel=False)
                if batch is None:
                    self.exhausted = True
                    break
                await self._take(batch)
                self._added()
                await self._wait_for_room()
        except (InputError, DamagedError, StorageError, OSError) as error:
            return f"the input cannot be read further: {error}"
        return None

    async def _take(self, batch: Sequence[Work | Unsendable | Copied]) -> None:
        finished = set()
        for item in batch:
            if isinstance(item, Work):
                self._backlog.add(item)
            else:
                if isinstance(item, Unsendable) and item.bug is not None:
                    self._notify(item.bug)
                finished.add(item.work.task.variant)
                if not self._stopped:
                    self._stop_if(self._finisher.finish_unsent(item))
        for variant in finished:
            self._stop_if(await self._finisher.flush(variant))

    async def _wait_for_room(self) -> None:
        while not self._stopped and self._backlog.is_full:
            self._room = anyio.Event()
            await self._room.wait()
