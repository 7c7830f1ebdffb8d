"""Open a stored run once: directory, manifest, job and dataset."""

from __future__ import annotations

from pathlib import Path

from batch.job import LoadedJob, from_document
from batch.prompts.columns import needed_columns
from batch.readers import Dataset
from batch.rundir.opening import open_run_directory
from batch.rundir.stored_run import StoredRun


def open_run(place: Path | str) -> StoredRun:
    """Open the run at `place`, a path or an address. Raises RunDirectoryError, JobError, StorageError."""
    return open_loaded(place)[0]


def open_loaded(place: Path | str) -> tuple[StoredRun, LoadedJob]:
    """Open the run at `place` with its job as it was loaded, for overrides and scores. Raises as `open_run`."""
    directory = open_run_directory(place)
    manifest = directory.manifest
    loaded = from_document(dict(manifest.job))
    return StoredRun(directory, manifest, loaded.job, Dataset(loaded.job.input, columns=needed_columns(loaded.job))), loaded
