"""Divide the rows of a job into shards for several workers."""

from __future__ import annotations

from dataclasses import dataclass, field

from batch.executors.shards import Shard, divide
from batch.readers import Dataset
from batch.readers.dataset import MARK_EVERY
from batch.results.parts import PartPlan
from batch.rundir.local import RunDirectory
from batch.server.cores import usable_cores
from batch.settings import Job, Variant


@dataclass(frozen=True, slots=True)
class ShardPlan:
    """The shards of a job's rows, and the number of worker processes (None: as many workers as a cluster has room for).

    `numbers` are the session's numbers in the variants' journals, by variant. `parts` are those of the outputs that workers write.
    """

    shards: tuple[Shard, ...]
    processes: int | None
    numbers: dict[str, int] = field(default_factory=dict)
    parts: PartPlan | None = None

    def claim(self, variant: Variant, directory: RunDirectory) -> list[str]:
        """Take a number in a variant's journal; returns what was repaired there, as sentences. Raises DamagedError, StorageError."""
        self.numbers[variant.name], repaired = directory.claim(variant.slug)
        return [repaired] if repaired else []


def shard_for_cluster(job: Job, dataset: Dataset) -> ShardPlan:
    """Divide the rows for a cluster, whatever their number. Raises InputError."""
    wanted = job.run.processes
    return ShardPlan(_shards(dataset), wanted if isinstance(wanted, int) and wanted > 1 else None)


def shard_for_processes(job: Job, dataset: Dataset) -> ShardPlan | None:
    """Divide the rows for processes on this machine; None where the job wants one process, or one is enough. Raises InputError."""
    if job.run.processes == 1:
        return None
    shards = _shards(dataset)
    processes = wanted_processes(job.run.processes, len(shards))
    return ShardPlan(shards, processes) if processes > 1 else None


def wanted_processes(processes: int | str, shards: int) -> int:
    """Return how many processes to start: at most one a shard, for "auto" at most one a core."""
    return max(1, min(usable_cores() if processes == "auto" else int(processes), shards))


def _shards(dataset: Dataset) -> tuple[Shard, ...]:
    return tuple(divide(*dataset.marks(MARK_EVERY)))
