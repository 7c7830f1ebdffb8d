"""Opens what a run is watched by: one monitor for each pool of workers, with its files in the run directory."""

from __future__ import annotations

from collections.abc import Callable

from batch.clock import Clock
from batch.engine.monitor import PoolMonitor
from batch.errors import RunDirectoryError, StorageError
from batch.journal.watching import WatchFiles
from batch.rundir.local import RunDirectory
from batch.rundir.watch_folder import watch_folder
from batch.settings import RunSettings

ATTEMPTS_BYTES = 64 << 20
"""The most that the failed attempts of a run take on disk, over all workers; the oldest are dropped."""

ALONE = "main"
_LEAST_BYTES = 1 << 20
_CLUSTER_WORKERS = 8


def open_monitor(directory: RunDirectory, name: str, share: int, clock: Clock, report: Callable[[str], None]) -> PoolMonitor:
    """Open the monitor of a pool; one of `share` in the run. One whose folder cannot be used is reported, and keeps nothing."""
    try:
        folder = watch_folder(directory)
    except (StorageError, RunDirectoryError) as error:
        report(f"failed attempts and the live state are not kept: {error}")
        return PoolMonitor(None, clock)
    return PoolMonitor(WatchFiles(folder, name, max(_LEAST_BYTES, ATTEMPTS_BYTES // share), report), clock)


def workers_of(run: RunSettings) -> int:
    """Estimate how many workers share the files' bytes: on a cluster, nothing says how many there will be."""
    return run.processes if isinstance(run.processes, int) and run.processes > 1 else _CLUSTER_WORKERS
