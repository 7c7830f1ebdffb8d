"""What a dead worker has recorded and not told of: sealed, so that no more comes to it, and read back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import anyio.to_thread

from batch.errors import DamagedError
from batch.executors.workers.coordinator import Recalled, Written
from batch.executors.workers.messages import Lease
from batch.journal.index import ResumeIndex
from batch.journal.lines import decode, task_hash
from batch.journal.segments import SegmentName
from batch.records import Outcome
from batch.rundir.local import RunDirectory
from batch.settings import Variant


class LeaseRecovery:
    """Recalls leases, as a Coordinator wants it. `indexes` say what earlier sessions recorded, by variant."""

    def __init__(
        self,
        directory: RunDirectory,
        lanes: Sequence[Sequence[Variant]],
        numbers: Mapping[str, int],
        indexes: Mapping[str, ResumeIndex],
        *,
        by_id: bool,
    ) -> None:
        self._directory = directory
        self._lanes = lanes
        self._numbers = numbers
        self._indexes = indexes
        self._by_id = by_id

    async def __call__(self, lease: Lease, written: Written) -> Sequence[Recalled]:
        """Seal the lease's journals, in a thread; gives (variant, outcome, what it was before) for all records beyond what is `written`.

        Raises:
            DamagedError: a record is not as it was written.
            StorageError: the disk refuses.
        """
        return await anyio.to_thread.run_sync(partial(self._recall, lease, written))

    def _recall(self, lease: Lease, written: Written) -> list[Recalled]:
        recalled = []
        for variant in self._lanes[lease.lane]:
            name = SegmentName(self._numbers[variant.name], lease.shard.number, lease.generation)
            for place, lines in self._directory.seal(variant.slug, name, written.get(variant.name, (1, 0))):
                recalled += [(variant.name, outcome, self._before(variant.name, outcome)) for outcome in _records(place, lines)]
        return recalled

    def _before(self, variant: str, outcome: Outcome) -> bool | None:
        task = task_hash(outcome.id if self._by_id else None, outcome.ordinal, outcome.repeat)
        (entry,) = self._indexes[variant].lookup([task])
        return None if entry is None else entry.ok


def _records(place: str, lines: bytes) -> list[Outcome]:
    """The outcomes in these lines of a file: what a worker wrote since it last checked in."""
    try:
        return [decode(line) for line in lines.split(b"\n") if line]
    except ValueError as error:
        raise DamagedError(place, 0, str(error)) from error
