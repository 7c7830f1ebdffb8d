"""What a dead worker has recorded and not told of: sealed, so that no more comes to it, and read back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from batch.distributed.messages import Lease
from batch.errors import DamagedError
from batch.journal.directory import RunDirectory
from batch.journal.index import ResumeIndex
from batch.journal.leases import seal
from batch.journal.lines import decode, task_hash
from batch.journal.segments import Name, Segment
from batch.records import Outcome
from batch.settings import Variant


class Recaller:
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

    def __call__(self, lease: Lease, written: Mapping[str, tuple[int, int]]) -> Iterator[tuple[str, Outcome, bool | None]]:
        """Seal the lease's journals; gives (variant, outcome, what it was before) for all records beyond what is `written`.

        Raises:
            DamagedError: a record is not as it was written.
            StorageError: the disk refuses.
        """
        for variant in self._lanes[lease.lane]:
            name = Name(self._numbers[variant.name], lease.shard.number, lease.generation)
            told_file, told_bytes = written.get(variant.name, (1, 0))
            for segment, size in seal(self._directory.journal_dir(variant.slug), name):
                told = size if segment.name.roll < told_file else told_bytes if segment.name.roll == told_file else 0
                for outcome in _records(segment, told, size):
                    yield variant.name, outcome, self._before(variant.name, outcome)

    def _before(self, variant: str, outcome: Outcome) -> bool | None:
        task = task_hash(outcome.id if self._by_id else None, outcome.ordinal, outcome.repeat)
        (entry,) = self._indexes[variant].lookup([task])
        return None if entry is None else entry.ok


def _records(segment: Segment, start: int, end: int) -> Iterator[Outcome]:
    """The outcomes in these bytes of a file: what a worker wrote since it last checked in."""
    with Path(segment.path).open("rb") as file:
        file.seek(start)
        for line in file.read(end - start).split(b"\n"):
            try:
                if line:
                    yield decode(line)
            except ValueError as error:
                raise DamagedError(str(segment.path), start, str(error)) from error
