"""A session over several worker processes: composed as one of one process is, but for the engines, which are the workers'."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from batch.app.costs import prices_of, run_spent_usd
from batch.app.plan import Prepared
from batch.clock import Clock
from batch.distributed.coordinator import Coordinator
from batch.distributed.local import Launcher
from batch.distributed.messages import Assignment
from batch.distributed.ray_actor import brief_of
from batch.distributed.ray_launcher import RayLauncher
from batch.distributed.recalling import Recaller
from batch.engine import endpoints
from batch.engine.feed import Changed
from batch.engine.stop import Stop
from batch.events import Observer
from batch.journal.directory import RunDirectory
from batch.journal.index import ResumeIndex
from batch.settings import Variant

_KNOWN = ".known-"


async def send_shared(
    prepared: Prepared,
    variants: Sequence[Variant],
    keys: Mapping[str, str],
    ray: Any | None,
    *,
    retry_failed: bool,
    changed: Changed,
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
    recall = Recaller(prepared.directory, lanes, division.numbers, prepared.indexes, by_id=job.input.id is not None)
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
    with _saved(prepared.directory, prepared.indexes) as known:
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
                brief_of(assignment.directory, prepared.dataset),
                workers=division.processes,
                most=len(division.shards) * len(lanes),
                clock=clock,
                observers=observers,
                notice=notice,
            )
        stop = await execute(coordinator, launcher.run)
    return stop, coordinator.unrecorded


def _assignment(
    prepared: Prepared,
    variants: Sequence[Variant],
    numbers: Mapping[str, int],
    known: Mapping[str, str],
    *,
    retry_failed: bool,
    changed: Changed,
) -> Assignment:
    return Assignment(
        worker="",
        job=replace(prepared.job, variants=tuple(variants)),
        directory=str(prepared.directory.path.absolute()),
        numbers=numbers,
        known=known,
        prices=prices_of(prepared.job),
        drawn=prepared.dataset.drawn,
        compare=prepared.changed,
        changed=changed,
        retry_failed=retry_failed,
    )


@contextmanager
def _saved(directory: RunDirectory, indexes: Mapping[str, ResumeIndex]) -> Iterator[dict[str, str]]:
    """What earlier sessions recorded, in files that all workers share; none where nothing was."""
    for left in directory.path.glob(f"{_KNOWN}*"):
        shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=_KNOWN, dir=directory.path) as folder:
        known = {}
        for number, (name, index) in enumerate(indexes.items()):
            if len(index):
                path = Path(folder) / str(number)
                index.save(path)
                known[name] = str(path)
        yield known
