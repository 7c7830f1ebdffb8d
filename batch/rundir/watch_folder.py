"""The folder of a run directory for what a run is watched by: failed attempts, samples, the present state."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from batch.errors import PromptmillError
from batch.rundir.local import RunDirectory, refuse_foreign_link


def watch_folder(directory: RunDirectory) -> Path:
    """Return its path; it may not exist yet. For a store it is in the local copy. Raises StorageError, RunDirectoryError."""
    folder = directory.path / "watch"
    refuse_foreign_link(folder)
    return folder


def fetched_watch_folder(directory: RunDirectory) -> Path:
    """Return its path; on a machine without a copy, that of the last session is fetched from the store. Raises as `watch_folder`."""
    folder = watch_folder(directory)
    if not folder.exists():
        # What cannot be fetched is not shown: the outcomes are in the journal.
        with suppress(PromptmillError):
            directory.fetch("watch")
    return folder
