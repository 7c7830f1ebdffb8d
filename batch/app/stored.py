"""Open a stored run once: directory, manifest, job and dataset."""

from __future__ import annotations

import copy
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from batch.app.located import located
from batch.errors import InputError
from batch.job import LoadedJob, from_document, load, readable
from batch.prompts.columns import needed_columns
from batch.readers import Dataset
from batch.rundir.local import RunDirectory
from batch.rundir.manifest import Manifest
from batch.rundir.opening import open_existing
from batch.rundir.stored_run import StoredRun
from batch.settings import Job, ScoreSettings


def open_run(place: Path | str, overrides: Sequence[str] = ()) -> StoredRun:
    """Open the run at `place`, a path or an address, its job with `--set` texts.

    Raises RunDirectoryError, JobError, InputError, StorageError.
    """
    return _open_loaded(place, overrides)[0]


def stored_run(directory: RunDirectory, job: Job) -> StoredRun:
    """Return the run of `directory`, which may not have begun, with `job` in place of its manifest's. Raises as `open_run`."""
    return _stored(directory, directory.manifest if directory.exists else None, job)


@dataclass(frozen=True, slots=True)
class ScoredRun:
    """A stored run, with all columns of its input, and the job whose scores count: its own, unless it was opened with another file.

    `source` names where that job was found.
    """

    run: StoredRun
    judging: LoadedJob
    source: str

    def scores(self) -> tuple[ScoreSettings, ...]:
        """Return the scores that count. Raises InputError when there are none."""
        if not (scores := self.judging.job.scores):
            raise InputError(
                f'{self.source} has no [[score]]; add one (kind = "exact", expected = "COLUMN") and run:'
                f" promptmill score {self.run.directory.place} --job JOB.toml"
            )
        return scores


def open_scored(place: Path | str, job_file: Path | None = None, overrides: Sequence[str] = ()) -> ScoredRun:
    """Open the run at `place`, its job with `--set` texts, to score it by its own job or by that of `job_file`. Raises as `open_run`."""
    run, loaded = _open_loaded(place, overrides)
    whole = run.with_all_columns()
    if job_file is None:
        return ScoredRun(whole, loaded, f"the job of {place}")
    return ScoredRun(whole, load(job_file), str(job_file))


def _open_loaded(place: Path | str, overrides: Sequence[str]) -> tuple[StoredRun, LoadedJob]:
    directory = open_existing(place)
    manifest = directory.manifest
    # Reading needs no endpoint: only what sends complains about variables that are not set.
    loaded = from_document(readable(manifest.job, os.environ), overrides)
    job = located(loaded.job, directory, manifest.input)
    return _stored(directory, manifest, job), replace(loaded, job=job, document=copy.deepcopy(dict(manifest.job)))


def _stored(directory: RunDirectory, manifest: Manifest | None, job: Job) -> StoredRun:
    return StoredRun(directory, manifest, job, Dataset(job.input, columns=needed_columns(job)))
