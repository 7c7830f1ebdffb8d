"""A session over several worker processes: composed as one of one process is, but for the engines, which are the workers'."""

from __future__ import annotations

import tempfile
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread

from batch.app.costs import prices_of, run_spent_usd
from batch.app.prepare import Prepared
from batch.clock import Clock
from batch.engine import endpoints
from batch.engine.feed import ChangedPolicy
from batch.engine.stop import Stop
from batch.errors import StorageError
from batch.events import Observer
from batch.executors.workers.coordinator import Coordinator
from batch.executors.workers.local import Launcher
from batch.executors.workers.messages import Assignment
from batch.executors.workers.ray_actor import node_check_of
from batch.executors.workers.ray_launcher import RayLauncher
from batch.executors.workers.recovery import LeaseRecovery
from batch.journal.disk import storage_errors
from batch.journal.index import ResumeIndex
from batch.rundir.local import RunDirectory
from batch.rundir.opening import address_of
from batch.settings import Variant

_KNOWN = ".known-"
LOCK_CHECK_INTERVAL_S = 1.0


async def send_shared(
    prepared: Prepared,
    variants: Sequence[Variant],
    keys: Mapping[str, str],
    ray: Any | None,
    *,
    retry_failed: bool,
    changed: ChangedPolicy,
    clock: Clock,
    observers: Sequence[Observer],
    notice: Callable[[str], None],
    execute: Callable[[Coordinator, Callable[[], Awaitable[Stop | None]]], Awaitable[Stop | None]],
) -> tuple[Stop | None, float]:
    """Send by worker processes, or by the workers of a Ray cluster; why it ended early, and the US dollars that are in no outcome.

    `variants` have their base URLs. `execute` runs the launcher while it watches for whoever wants to stop the coordinator.
    """
    job, division = prepared.job, prepared.division
    assert division is not None  # noqa: S101 - the caller has seen it
    lanes = endpoints.by_endpoint(variants)
    sizes = [len(endpoints.each_url(lane[0].provider)) for lane in lanes]
    spent = 0.0 if job.run.max_cost_usd is None else run_spent_usd(prepared.directory)
    recall = LeaseRecovery(prepared.directory, lanes, division.numbers, prepared.indexes, by_id=job.input.id is not None)
    coordinator = Coordinator(
        job.run,
        sizes,
        division.shards,
        prepared.tallies,
        workers=division.processes or 1,
        spent_usd=spent,
        recall=recall,
        notice=notice,
    )
    with _saved(prepared.directory, prepared.indexes, elsewhere=ray is not None) as known:
        assignment = _assignment(prepared, variants, division.numbers, known, retry_failed=retry_failed, changed=changed)
        launcher: Launcher | RayLauncher
        if ray is None:
            launcher = Launcher(coordinator, assignment, keys, division.processes or 1, clock=clock, observers=observers, notice=notice)
        else:
            launcher = RayLauncher(
                ray,
                coordinator,
                assignment,
                keys,
                await anyio.to_thread.run_sync(node_check_of, assignment.directory, prepared.dataset),
                workers=division.processes,
                most=len(division.shards) * len(lanes),
                clock=clock,
                observers=observers,
                notice=notice,
            )
        stop = await execute(coordinator, partial(_run_held, launcher.run, coordinator, prepared.directory))
    return stop, coordinator.unrecorded


async def _run_held(run: Callable[[], Awaitable[Stop | None]], coordinator: Coordinator, directory: RunDirectory) -> Stop | None:
    """Run for as long as the run directory is this runner's: the workers put their outcomes themselves, and do not see its lock."""
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


def _assignment(
    prepared: Prepared,
    variants: Sequence[Variant],
    numbers: Mapping[str, int],
    known: Mapping[str, str],
    *,
    retry_failed: bool,
    changed: ChangedPolicy,
) -> Assignment:
    return Assignment(
        worker="",
        job=replace(prepared.job, variants=tuple(variants)),
        directory=address_of(prepared.directory),
        numbers=numbers,
        known=known,
        prices=prices_of(prepared.job),
        drawn=prepared.dataset.drawn,
        compare=prepared.changed,
        changed=changed,
        retry_failed=retry_failed,
    )


@contextmanager
def _saved(directory: RunDirectory, indexes: Mapping[str, ResumeIndex], *, elsewhere: bool) -> Iterator[dict[str, str]]:
    """What earlier sessions recorded, in files that all workers share; none where nothing was. `elsewhere`: workers of other machines."""
    directory.remove_folders(_KNOWN)
    with ExitStack() as stack:
        with storage_errors(directory.path):
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix=_KNOWN, dir=directory.path))
        known = {}
        for number, (name, index) in enumerate(indexes.items()):
            if len(index):
                path = Path(folder) / str(number)
                index.save(path)
                place = directory.publish(path)[0] if elsewhere else path
                known[name] = place if isinstance(place, str) else str(place.absolute())
        yield known
    if elsewhere:
        with suppress(StorageError):
            directory.remove_folders(_KNOWN)
