"""The Ray executor: shards as actors on a cluster, each with the engine of a live run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import anyio.to_thread

from batch.errors import SetupError
from batch.executors import Ended
from batch.executors.context import RunContext
from batch.executors.sharding import ShardPlan, shard_for_cluster
from batch.executors.workers.coordinator import Coordinator
from batch.executors.workers.executor import run_workers
from batch.executors.workers.launcher import Launcher
from batch.executors.workers.messages import Assignment
from batch.executors.workers.ray_actor import node_check_of
from batch.executors.workers.ray_launcher import RayLauncher
from batch.executors.workers.ray_session import connected, load_ray
from batch.readers import Dataset
from batch.rundir.opening import address_of
from batch.settings import Job


def make_executor(address: str | None) -> RayExecutor:
    """Make the executor for the cluster at `address`; without one RAY_ADDRESS counts, else Ray is started on this machine."""
    return RayExecutor(address)


class RayExecutor:
    """Runs a job by workers on a Ray cluster, to which `connected` connects."""

    needs_records = False

    def __init__(self, address: str | None) -> None:
        self._address = address
        self._ray: Any = None

    def check(self, job: Job) -> None:
        """Refuse a race, and an installation without Ray. Raises SetupError."""
        if job.run.race is not None:
            raise SetupError(
                "run.race: a race is run by one process, not on Ray; run it without --engine ray, or give --set run.race=false"
            )
        load_ray()

    def shard(self, job: Job, dataset: Dataset) -> ShardPlan | None:
        """Divide the rows. Raises InputError."""
        return shard_for_cluster(job, dataset)

    @contextmanager
    def connected(self) -> Iterator[None]:
        """Connect to the cluster within the body. Raises SetupError."""
        with connected(self._address) as ray:
            self._ray = ray
            yield

    async def execute(self, context: RunContext) -> Ended:
        """Send what is left by workers on the connected cluster. Raises SetupError."""
        prepared = context.prepared
        node_check = await anyio.to_thread.run_sync(node_check_of, address_of(prepared.directory), prepared.dataset)

        def launcher(coordinator: Coordinator, assignment: Assignment) -> Launcher:
            return RayLauncher(self._ray, coordinator, assignment, context, node_check)

        return await run_workers(context, launcher, shared_folder=True)
