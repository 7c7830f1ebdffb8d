"""Whether and how a run is shared out over worker processes."""

from __future__ import annotations

from dataclasses import dataclass, field

from batch.executors.workers.shards import FEWEST_ROWS, Shard, divide
from batch.readers import Dataset
from batch.rundir.local import RunDirectory
from batch.settings import Job, Variant


@dataclass(frozen=True, slots=True)
class ShardPlan:
    """The rows of a job in shards, for so many processes (None: as many workers as a cluster has room for).

    `numbers` are those that the session has taken in the variants' journals.
    """

    shards: tuple[Shard, ...]
    processes: int | None
    numbers: dict[str, int] = field(default_factory=dict)

    def claim(self, variant: Variant, directory: RunDirectory) -> list[str]:
        """Take a number in a variant's journal; what was repaired there, in sentences. Raises DamagedError, StorageError."""
        self.numbers[variant.name], repaired = directory.claim(variant.slug)
        return [repaired] if repaired else []


def plan_shards(job: Job, dataset: Dataset, *, cluster: bool) -> ShardPlan | None:
    """How the job's rows are shared out, on a cluster in any case; None where one process is wanted, or enough. Raises InputError."""
    if cluster:
        wanted = job.run.processes
        return ShardPlan(tuple(divide(*dataset.marks(FEWEST_ROWS))), wanted if isinstance(wanted, int) and wanted > 1 else None)
    if job.run.processes == 1:
        return None
    from batch.executors.workers.local import wanted_processes  # starts processes, and loads what that takes

    shards = tuple(divide(*dataset.marks(FEWEST_ROWS)))
    processes = wanted_processes(job.run.processes, len(shards))
    return ShardPlan(shards, processes) if processes > 1 else None
