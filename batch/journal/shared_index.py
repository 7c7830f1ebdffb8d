"""An index of a journal in a file that worker processes map and share: whether a task is done, and its request key."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np

from batch.journal.disk import storage_errors
from batch.journal.done import DoneTasks
from batch.journal.index import IndexEntry, ResumeIndex, final
from batch.storage import downloaded, is_url

# 8 of the task's hash, 8 of its request key, 1 for `ok`. One column after the other, so that each is aligned.
_BYTES_PER_TASK = 17


# Files with the ranges of done tasks, by ordinal, instead of an index of their hashes.
DONE_SUFFIX = ".done"


def open_shared(place: str | None) -> SharedIndex | DoneTasks:
    """Open what earlier sessions recorded: a file, or an object on a store, that each process fetches for itself. Raises StorageError."""
    if place is None or not place.endswith(DONE_SUFFIX):
        return SharedIndex.at(place)
    if not is_url(place):
        return DoneTasks.open(Path(place))
    with storage_errors(Path(place)), downloaded(place) as path:
        return DoneTasks.open(path)


class SharedIndex:
    """Maps the tasks that `ResumeIndex.save` wrote to `path` (None: no tasks), so that the processes of a machine share the memory.

    Raises:
        StorageError: the file cannot be read.
    """

    def __init__(self, path: Path | None) -> None:
        self._count = count = 0
        if path is None:
            return
        with storage_errors(path):
            self._count = count = path.stat().st_size // _BYTES_PER_TASK
            whole = np.memmap(path, np.uint8, "r") if count else None
        if whole is not None:
            self._task = whole[: 8 * count].view(np.uint64)
            self._key = whole[8 * count : 16 * count].view(np.uint64)
            self._ok = whole[16 * count :].view(np.bool_)

    @classmethod
    def at(cls, place: str | None) -> SharedIndex:
        """Open the file, or the object on a store, at `place`; each process fetches an object for itself. Raises StorageError."""
        if place is None or not is_url(place):
            return cls(None if place is None else Path(place))
        # The temporary file is removed at once; the mapping keeps its content for this process.
        with storage_errors(Path(place)), downloaded(place) as path:
            return cls(path)

    def __len__(self) -> int:
        return self._count

    def final(self, task_hashes: bytes, *, with_failures: bool) -> list[bool]:
        """For each task, whether it has a completion or, `with_failures`, any outcome; as `ResumeIndex.final`."""
        return final(self._task, self._ok, task_hashes, with_failures=with_failures) if self._count else [False] * (len(task_hashes) // 8)

    def lookup(self, task_hashes: Sequence[int]) -> list[IndexEntry | None]:
        """Find the newest record of each task; None for tasks without one. Fast for many at once only."""
        if not self._count:
            return [None] * len(task_hashes)
        wanted = np.array(task_hashes, np.uint64)
        places = np.searchsorted(self._task, wanted)
        places[places == self._count] = 0
        found = (self._task[places] == wanted).tolist()
        keys = self._key[places].astype(">u8").tobytes()
        ok = self._ok[places].tolist()
        return [IndexEntry(keys[8 * i : 8 * i + 8], ok[i]) if found[i] else None for i in range(len(found))]


class LayeredIndex:
    """An earlier index, and on top of it the records of the running session, whose failures count as done too.

    Not those of the tasks with the hashes `retried`, which the user wants sent again.
    """

    def __init__(self, earlier: SharedIndex, session: ResumeIndex, retried: Collection[int] = ()) -> None:
        self._earlier, self._session, self._retried = earlier, session, retried

    def __len__(self) -> int:
        return len(self._earlier) + len(self._session)

    def final(self, task_hashes: bytes, *, with_failures: bool) -> list[bool]:
        """For each task, whether one of the two indexes has it as done."""
        pairs = zip(
            self._session.final(task_hashes, with_failures=True), self._earlier.final(task_hashes, with_failures=with_failures), strict=True
        )
        return [now or earlier for now, earlier in pairs]

    def lookup(self, task_hashes: Sequence[int]) -> list[IndexEntry | None]:
        """Find the newest record of each task in both indexes."""
        pairs = zip(self._session.lookup(task_hashes), self._earlier.lookup(task_hashes), strict=True)
        return [
            earlier if now is None else IndexEntry(now.key, ok=now.ok or task not in self._retried)
            for task, (now, earlier) in zip(task_hashes, pairs, strict=True)
        ]
