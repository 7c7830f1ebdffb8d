"""Executors: what carries a run out. Each is a folder here and a row of EXECUTORS; all give the same run directory."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from batch.engine.stop import Stop
    from batch.executors.context import RunContext
    from batch.executors.sharding import ShardPlan
    from batch.readers import Dataset
    from batch.settings import Job


@dataclass(frozen=True, slots=True)
class Ended:
    """The end of the sending: `stop` is None when every task has its outcome; `unrecorded_usd` was spent, or may have been, without one."""

    stop: Stop | None
    unrecorded_usd: float = 0.0


class Executor(Protocol):
    """Sends what a run has left to send. `needs_records`: the journal must be indexed by row, although a summary of it would do."""

    needs_records: bool

    def check(self, job: Job) -> None:
        """Refuse a job that this executor cannot carry out. Raises SetupError."""

    def shard(self, job: Job, dataset: Dataset) -> ShardPlan | None:
        """Divide the rows for several workers, which open the journals themselves; None for one process. Raises InputError."""

    def connected(self) -> AbstractContextManager[None]:
        """Hold what it sends with, a cluster for example, within the body. Raises SetupError."""

    async def execute(self, context: RunContext) -> Ended:
        """Send what is left. Raises SetupError."""


@dataclass(frozen=True, slots=True)
class ExecutorEntry:
    """A row of EXECUTORS: `home` is the module whose `make_executor(address)` makes it, loaded when it is chosen."""

    home: str
    help: str
    takes_address: bool = False


EXECUTORS: dict[str, ExecutorEntry] = {
    "live": ExecutorEntry("batch.executors.live.executor", "this machine"),
    "ray": ExecutorEntry("batch.executors.workers.ray_executor", "the workers of a Ray cluster; needs promptmill[ray]", takes_address=True),
    "batch-api": ExecutorEntry("batch.executors.batch_api.executor", "the provider's Batch API, at about half the price, within a day"),
}


def make_executor(name: str, address: str | None) -> Executor:
    """Make the executor of this name; `address` is for those that take one. Raises ValueError for an unknown name or a needless address."""
    entry = EXECUTORS.get(name)
    if entry is None:
        raise ValueError(f"engine is one of {', '.join(map(repr, EXECUTORS))}, not {name!r}")
    if address is not None and not entry.takes_address:
        taking = " or ".join(f'engine="{each}"' for each, other in EXECUTORS.items() if other.takes_address)
        raise ValueError(f"an address is for {taking}; give both")
    executor: Executor = import_module(entry.home).make_executor(address)
    return executor
