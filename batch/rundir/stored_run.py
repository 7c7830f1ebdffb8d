"""A run as it is stored: its directory, manifest, job and input, opened once."""

from __future__ import annotations

from dataclasses import dataclass

from batch.readers import Dataset
from batch.rundir.local import RunDirectory
from batch.rundir.manifest import Manifest
from batch.settings import Job


@dataclass(frozen=True, slots=True)
class StoredRun:
    """A run directory with the job that its manifest holds and the dataset that this job reads. `app.stored.open_run` makes it."""

    directory: RunDirectory
    manifest: Manifest
    job: Job
    dataset: Dataset
