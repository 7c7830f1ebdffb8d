"""The kept rows of a stored run."""

from __future__ import annotations

from dataclasses import replace

from batch.errors import InputError
from batch.rundir.local import RunDirectory
from batch.rundir.manifest import InputRecord
from batch.settings import Job


def located(job: Job, directory: RunDirectory, record: InputRecord | None) -> Job:
    """Return the job with the rows that its run directory keeps, where its rows are made. Raises InputError when it keeps none."""
    if not job.input.is_made:
        return job
    if record is None or not record.kept_name:
        raise InputError(f"{directory.place}: keeps no rows; they are made when the job is run: run it first")
    return replace(job, input=job.input.kept_in(directory.rows_place(record.kept_name)))
