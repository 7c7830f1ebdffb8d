"""The kept rows of a stored run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

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
    return replace(job, input=job.input.kept_in(directory.rows_place(record.kept_name), folder_of(record.origin)))


def folder_of(origin: Mapping[str, Any] | None) -> str | None:
    """Return the folder of the files that made rows name, as their origin has it."""
    folder = None if origin is None else origin.get("folder")
    return folder if isinstance(folder, str) else None
