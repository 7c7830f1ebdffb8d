"""Opens run directories from what people write: a path, or the address of a folder on an object store."""

from __future__ import annotations

import os

from batch.errors import RunDirectoryError
from batch.rundir.finding_runs import resolved
from batch.rundir.local import RunDirectory
from batch.storage.urls import is_url, parse


def open_run_directory(place: str | os.PathLike[str]) -> RunDirectory:
    """Open the run directory at `place`, which may not exist yet.

    Raises:
        RunDirectoryError: an invalid address, or an address that was converted to a Path.
        StorageError: the cache for the local copy cannot be written to.
    """
    text = os.fspath(place)
    if not is_url(text):
        if text.startswith(("s3:/", "gs:/")):
            raise RunDirectoryError(f"{text}: an address on an object store must be given as text, not as a Path")
        return RunDirectory(text)
    from batch.rundir.store import StoreRunDirectory

    try:
        return StoreRunDirectory(parse(text))
    except ValueError as error:
        raise RunDirectoryError(str(error)) from error


def open_existing(place: str | os.PathLike[str]) -> RunDirectory:
    """Open a run that people name: as `open_run_directory`, and `latest` is the run here that was started last. Raises as it does."""
    return open_run_directory(resolved(os.fspath(place)))


def open_begun(place: str | os.PathLike[str]) -> RunDirectory:
    """Open a run that people name, and that has begun. Raises as `open_existing`, and RunDirectoryError where there is no run."""
    directory = open_existing(place)
    directory.manifest  # noqa: B018 - raises where run.json is missing, or not of a run
    return directory


def address_of(directory: RunDirectory) -> str:
    """Location of the directory, independent of the working directory."""
    return str(directory.place if isinstance(directory.place, str) else directory.place.absolute())
