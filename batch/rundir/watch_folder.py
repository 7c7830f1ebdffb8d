"""The folder of a run directory for what a run is watched by: failed attempts, samples, the present state."""

from __future__ import annotations

from pathlib import Path

from batch.rundir.local import RunDirectory, refuse_foreign_link


def watch_folder(directory: RunDirectory) -> Path:
    """Return its path; it may not exist yet. For a store it is in the local copy. Raises StorageError, RunDirectoryError."""
    folder = directory.path / "watch"
    refuse_foreign_link(folder)
    return folder
