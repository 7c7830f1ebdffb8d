"""The place that a run had with earlier versions, which took [output] dir relative to the working directory."""

from __future__ import annotations

from batch.errors import RunDirectoryError
from batch.job import LoadedJob
from batch.rundir.opening import open_run_directory


def refuse_former(loaded: LoadedJob) -> None:
    """Refuse to begin where an earlier version kept this job's run relative to the working directory. Raises RunDirectoryError."""
    former = None if loaded.former_dir is None else open_run_directory(loaded.former_dir)
    if former is not None and former.exists and former.manifest.name == loaded.job.name:
        raise RunDirectoryError(
            f"{former.place}: a run of this job is here, but [output] dir is relative to the job file now: {loaded.job.output.dir};"
            f" move the folder there, or give --set output.dir={former.place} to continue it where it is; nothing was sent"
        )
