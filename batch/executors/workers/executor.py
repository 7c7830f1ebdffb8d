"""Runs a sharded run by workers: a coordinator here, and a launcher that starts them as processes or on a Ray cluster."""

from __future__ import annotations

import tempfile
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

import anyio

from batch.engine.stop import Stop
from batch.errors import StorageError
from batch.executors import Ended
from batch.executors.context import RunContext
from batch.executors.costs import prices_of, run_spent_usd
from batch.executors.sharding import ShardPlan
from batch.executors.workers.coordinator import Coordinator
from batch.executors.workers.launcher import Launcher
from batch.executors.workers.local import LocalLauncher
from batch.executors.workers.messages import Assignment
from batch.executors.workers.recovery import LeaseRecovery
from batch.executors.workers.target import WorkersTarget
from batch.journal.disk import storage_errors
from batch.journal.done import DoneTasks, Finished
from batch.journal.index import ResumeIndex
from batch.journal.shared_index import DONE_SUFFIX
from batch.results.outputs import plan_while_sending
from batch.results.part_processes import PartsOrder, order_of
from batch.rundir.local import RunDirectory
from batch.rundir.opening import address_of
from batch.rundir.stored_run import StoredRun

_SHARED_INDEXES = ".known-"
# Local, without a request to a store: checking each second costs nothing.
LOCK_CHECK_INTERVAL_S = 1.0


async def run_local_workers(context: RunContext) -> Ended:
    """Send by worker processes on this machine."""

    def launcher(coordinator: Coordinator, assignment: Assignment) -> Launcher:
        return LocalLauncher(coordinator, assignment, context, _sharding(context).processes or 1)

    return await run_workers(context, launcher, shared_folder=False)


async def run_workers(context: RunContext, launch: Callable[[Coordinator, Assignment], Launcher], *, shared_folder: bool) -> Ended:
    """Send by the workers that `launch` starts. `shared_folder`: they are on other machines, which read the run directory only."""
    prepared, sharding = context.prepared, _sharding(context)
    job = context.job
    recovery = LeaseRecovery(
        prepared.directory,
        [group.variants for group in context.groups],
        sharding.numbers,
        prepared.indexes,
        by_id=job.input.id is not None,
    )
    if job.run.dedupe and job.run.repeats == 1 and any(variant.parameters.get("temperature") == 0 for variant in job.variants):
        context.report("several processes do not share answers: equal requests are each sent (run.dedupe works with processes = 1)")
    coordinator = Coordinator(
        job.run,
        [len(group.providers) for group in context.groups],
        sharding,
        prepared.tallies,
        spent_usd=0.0 if job.run.max_cost_usd is None else run_spent_usd(prepared.directory),
        recover=recovery,
        notify=context.notify,
    )
    with _shared_indexes(prepared.directory, prepared.indexes, shared_folder=shared_folder) as indexes:
        launcher = launch(coordinator, _assignment(context, sharding, indexes))
        async with context.control.attached(WorkersTarget(context, coordinator)):
            stop = await context.supervise(coordinator, partial(_run_while_locked, launcher.run, coordinator, prepared.directory))
    return Ended(stop, coordinator.unrecorded)


def _sharding(context: RunContext) -> ShardPlan:
    """Return the shards that have rows left, where that is known without reading them."""
    sharding, options = context.prepared.sharding, context.feed_options
    if sharding is None:
        raise AssertionError("workers need a sharded run")
    sharding = replace(sharding, parts=plan_while_sending(context.prepared.run))
    done = [index for index in context.prepared.indexes.values() if isinstance(index, DoneTasks)]
    if options.compare or len(done) < len(context.job.variants):
        return sharding
    finished = Finished.of_all([index.finished(options.repeats, with_failures=not options.retry_failed) for index in done])
    return replace(sharding, shards=tuple(shard for shard in sharding.shards if next(finished.gaps(shard.start, shard.stop), None)))


async def _run_while_locked(run: Callable[[], Awaitable[Stop | None]], coordinator: Coordinator, directory: RunDirectory) -> Stop | None:
    """Run as long as this process holds the run directory: the workers write outcomes themselves and do not see its lock."""
    async with anyio.create_task_group() as group:
        group.start_soon(_watch_lock, coordinator, directory)
        stop = await run()
        group.cancel_scope.cancel()
    return stop


async def _watch_lock(coordinator: Coordinator, directory: RunDirectory) -> None:
    while True:
        try:
            directory.check_lock()
        except StorageError as error:
            coordinator.end(Stop("storage", str(error)), 0.0)
            return
        await anyio.sleep(LOCK_CHECK_INTERVAL_S)


def _assignment(context: RunContext, sharding: ShardPlan, indexes: Mapping[str, str]) -> Assignment:
    prepared = context.prepared
    # In the job's order: the variants here have the base URLs of embedded models.
    ready = {variant.name: variant for group in context.groups for variant in group.variants}
    return Assignment(
        worker="",
        job=replace(context.job, variants=tuple(ready[variant.name] for variant in context.job.variants if variant.name in ready)),
        directory=address_of(prepared.directory),
        numbers=sharding.numbers,
        indexes=indexes,
        prices=prices_of(context.job),
        drawn=prepared.dataset.drawn,
        compare=context.feed_options.compare,
        changed=context.feed_options.changed,
        retry_failed=context.feed_options.retry_failed,
        parts=_parts_order(prepared.run),
    )


def _parts_order(run: StoredRun) -> PartsOrder | None:
    """Return how workers make summaries and write parts; None on a store, whose copy of the journal is each machine's own."""
    if run.manifest is None or not run.directory.is_local:
        return None
    order = order_of(run, plan_while_sending(run), run.job.output.format, run.directory.path)
    return replace(order, place=address_of(run.directory), aside=True)


@contextmanager
def _shared_indexes(
    directory: RunDirectory, indexes: Mapping[str, ResumeIndex | DoneTasks], *, shared_folder: bool
) -> Iterator[dict[str, str]]:
    """Write what earlier sessions recorded to files that all workers read, by variant; variants without records have none."""
    directory.remove_folders(_SHARED_INDEXES)
    with ExitStack() as stack:
        with storage_errors(directory.path):
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix=_SHARED_INDEXES, dir=directory.path))
        addresses = {}
        for number, (name, index) in enumerate(indexes.items()):
            if len(index):
                path = Path(folder) / (f"{number}{DONE_SUFFIX}" if isinstance(index, DoneTasks) else str(number))
                index.save(path)
                address = directory.publish(path)[0] if shared_folder else path
                addresses[name] = address if isinstance(address, str) else str(address.absolute())
        yield addresses
    if shared_folder:
        with suppress(StorageError):
            directory.remove_folders(_SHARED_INDEXES)
