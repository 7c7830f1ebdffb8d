"""The writer of a journal on an object store: each flush puts the outcomes of the last seconds as one immutable object.

An outcome is in memory until its object is on the store: a process that is killed loses the outcomes of the last seconds, and their
rows are sent again. Objects are never appended to or changed.

While the store refuses or hangs, nothing more is sent and the put is retried, for PATIENCE_S; at the end of a run for ENDING_PATIENCE_S.
After that, and after a lasting refusal, the outcomes are written to a file on this machine, from which the next session puts them.
"""

from __future__ import annotations

import math
import socket
import time
from collections.abc import Callable
from pathlib import Path

import anyio
import anyio.to_thread

from batch.errors import StorageError
from batch.journal.group_commit import GroupCommit
from batch.journal.segment_name import SegmentName

FLUSH_BYTES = 8 << 20
# Beyond this, sending waits for the store: memory must not grow because the store is slow.
MAX_PENDING_BYTES = 64 << 20
PATIENCE_S = 300.0
ENDING_PATIENCE_S = 30.0
FIRST_WAIT_S = 0.5
MAX_WAIT_S = 15.0
# Most objects take less than a second.
HUNG_S = 10.0


class ObjectJournal(GroupCommit):
    """Puts objects by `put(file name, content)`, which raises StoreError; `first` is the name of this session's first object.

    `put` is called in a thread, one call at a time, and retried unless its error is lasting. `keep(file name, content)` writes to a file
    what could not be put, and returns its path. `warn` gets a sentence when sending pauses for the store, and when it resumes.
    """

    def __init__(
        self,
        first: SegmentName,
        put: Callable[[str, bytes], None],
        flush_interval_s: float,
        keep: Callable[[str, bytes], Path] | None = None,
        *,
        warn: Callable[[str], None] | None = None,
        patience_s: float | None = None,
        repaired: str | None = None,
    ) -> None:
        super().__init__()
        self.repaired = repaired
        self._keep = keep
        self._warn = warn or (lambda _: None)
        self._patience_s = PATIENCE_S if patience_s is None else patience_s
        # Both outlast a cancelled sync: the last one of a run does not begin to be patient again.
        self._stuck_since = math.inf
        self._error: OSError | None = None
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
        """Whether sending should pause until a sync has ended: too much is in memory only, or the store fails or hangs."""
        hangs = time.monotonic() - self._stuck_since >= HUNG_S
        return self._bytes >= MAX_PENDING_BYTES or self._error is not None or hangs

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
        await self._flush()

    async def _flush(self) -> None:
        lines, covered = self._waiting, self._appended
        self._waiting, self._bytes = [], 0
        try:
            await self._put_patiently(b"".join(lines))
        except StorageError:
            raise
        except BaseException as error:
            self._waiting = lines + self._waiting
            self._bytes = sum(map(len, self._waiting))
            if not isinstance(error, Exception):
                # Syncs are cancelled when the run ends: the last one must not keep the user waiting for as long.
                self._patience_s = min(self._patience_s, ENDING_PATIENCE_S)
            raise
        self._durable = covered
        self._name = self._name._replace(part=self._name.part + 1)

    async def _put_patiently(self, data: bytes) -> None:
        self._stuck_since = min(self._stuck_since, time.monotonic())
        wait = FIRST_WAIT_S
        while True:
            if self._error is not None:
                left = self._stuck_since + self._patience_s - time.monotonic()
                if getattr(self._error, "lasting", False) or left <= 0:
                    raise await self._give_up(self._error, data) from self._error
                await anyio.sleep(min(wait, left))
                wait = min(2 * wait, MAX_WAIT_S)
            try:
                # A cancelled caller still waits for the put: whether the object arrived decides the name of the next one.
                with anyio.CancelScope(shield=True):
                    await anyio.to_thread.run_sync(self._put, f"{self._name.stem}.jsonl", data)
            except OSError as error:
                if self._error is None and not getattr(error, "lasting", False):
                    self._warn(f"{error}; nothing more is sent while this is retried, for up to {self._patience_s:.0f} s")
                self._error = error
            else:
                if self._error is not None:
                    self._warn(f"the store takes outcomes again after {time.monotonic() - self._stuck_since:.0f} s: sending resumes")
                self._stuck_since, self._error = math.inf, None
                return

    async def _give_up(self, error: OSError, data: bytes) -> StorageError:
        """Keep on this machine what is in memory, and refuse everything from then on."""
        count, paths, refused = 0, list[Path](), ""
        # Shielded: a run that is cancelled now would lose what is in memory.
        with anyio.CancelScope(shield=True):
            while data or self._waiting:
                data, self._waiting = data + b"".join(self._waiting), []
                count += data.count(b"\n")
                if self._keep is not None and not refused:
                    try:
                        # In a thread, since it syncs a file. Answers that arrive meanwhile are appended, and kept by the next pass.
                        paths.append(await anyio.to_thread.run_sync(self._keep, self._name.stem, data))
                    except (OSError, StorageError) as fault:
                        refused = f" (they could not be kept on this machine either: {fault})"
                data = b""
        # Nothing is awaited after the last look at `_waiting`: no record can come in between and be in no file.
        self._sync_failed = True
        if refused or not paths:
            self._refusal = f"{error}; {count:,} answers that were not stored yet are lost, and their rows will be sent again{refused}"
        else:
            where = f"{' and '.join(map(str, paths))} on {socket.gethostname()}"
            self._refusal = (
                f"{error}; {count:,} answers that were not stored yet are kept in {where}: "
                "the same command stores them first there, elsewhere their rows are sent again"
            )
        return StorageError(self._refusal)
