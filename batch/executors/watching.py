"""Opens what a run is watched by: one monitor for each pool of workers, with its files in the run directory."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from batch.clock import Clock
from batch.engine.monitor import PoolMonitor, Traces
from batch.errors import RunDirectoryError, StorageError
from batch.journal.watching import WatchFiles
from batch.rundir.local import RunDirectory
from batch.rundir.watch_folder import watch_folder
from batch.settings import RunSettings, Variant

ATTEMPTS_BYTES = 64 << 20
"""The most that the failed attempts of a run take on disk, over all workers; the oldest are dropped."""

ALONE = "main"
_LEAST_BYTES = 1 << 20
_CLUSTER_WORKERS = 8


def open_monitor(
    directory: RunDirectory, name: str, share: int, clock: Clock, report: Callable[[str], None], traces: Traces | None = None
) -> PoolMonitor:
    """Open the monitor of a pool; one of `share` in the run. One whose folder cannot be used is reported, and keeps nothing."""
    try:
        folder = watch_folder(directory)
    except (StorageError, RunDirectoryError) as error:
        report(f"failed attempts and the live state are not kept: {error}")
        return PoolMonitor(None, clock, traces)
    return PoolMonitor(WatchFiles(folder, name, max(_LEAST_BYTES, ATTEMPTS_BYTES // share), report), clock, traces)


def open_traces(run: RunSettings, directory: RunDirectory, variants: Iterable[Variant], report: Callable[[str], None]) -> Traces | None:
    """Begin to trace the attempts of a pool that sends `variants`; None where the job asks for no traces."""
    if run.traces is None:
        return None
    # A library that most runs do without.
    from batch.executors.tracing import AttemptTraces

    return AttemptTraces(run.traces, directory.path.name, {variant.name: variant.model for variant in variants}, report)


def workers_of(run: RunSettings) -> int:
    """Estimate how many workers share the files' bytes: on a cluster, nothing says how many there will be."""
    return run.processes if isinstance(run.processes, int) and run.processes > 1 else _CLUSTER_WORKERS
