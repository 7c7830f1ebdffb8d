"""Recovers what a dead worker recorded and did not report: seals its journals, so that nothing is added, and reads them back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import anyio.to_thread

from batch.errors import DamagedError
from batch.executors.workers.coordinator import JournalEnds, Recovered
from batch.executors.workers.messages import Lease
from batch.journal.done import DoneTasks
from batch.journal.index import ResumeIndex
from batch.journal.lines import decode, task_hash
from batch.journal.segment_name import SegmentName
from batch.records import Outcome
from batch.rundir.local import RunDirectory
from batch.settings import Variant


class LeaseRecovery:
    """Recovers the leases of dead workers. `indexes` hold what earlier sessions recorded, by variant."""

    def __init__(
        self,
        directory: RunDirectory,
        queues: Sequence[Sequence[Variant]],
        numbers: Mapping[str, int],
        indexes: Mapping[str, ResumeIndex | DoneTasks],
        *,
        by_id: bool,
    ) -> None:
        self._directory = directory
        self._queues = queues
        self._numbers = numbers
        self._indexes = indexes
        self._by_id = by_id

    async def __call__(self, lease: Lease, written: JournalEnds) -> Sequence[Recovered]:
        """Seal the lease's journals, in a thread; returns (variant, outcome, earlier state) of all records beyond `written`.

        Raises:
            DamagedError: a record is not as it was written.
            StorageError: the disk refuses.
        """
        return await anyio.to_thread.run_sync(partial(self._recover, lease, written))

    def _recover(self, lease: Lease, written: JournalEnds) -> list[Recovered]:
        recalled = []
        for variant in self._queues[lease.queue]:
            name = SegmentName(self._numbers[variant.name], lease.shard.number, lease.generation)
            for place, lines in self._directory.seal(variant.slug, name, written.get(variant.name, (1, 0))):
                recalled += [(variant.name, outcome, self._before(variant.name, outcome)) for outcome in _records(place, lines)]
        return recalled

    def _before(self, variant: str, outcome: Outcome) -> bool | None:
        index = self._indexes[variant]
        if isinstance(index, DoneTasks):
            (entry,) = index.entries([outcome.ordinal], outcome.repeat)
        else:
            (entry,) = index.lookup([task_hash(outcome.id if self._by_id else None, outcome.ordinal, outcome.repeat)])
        return None if entry is None else entry.ok


def _records(place: str, lines: bytes) -> list[Outcome]:
    """Decode the outcomes that a worker wrote since its last report."""
    try:
        return [decode(line) for line in lines.split(b"\n") if line]
    except ValueError as error:
        raise DamagedError(place, 0, str(error)) from error
