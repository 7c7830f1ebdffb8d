"""Finds, in a run directory on disk, what no command needs to continue, read or score the run."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

from batch.journal.disk import storage_errors
from batch.rundir.local import RunDirectory

OLD = "old"


def old_results(directory: RunDirectory) -> list[tuple[Path, int]]:
    """List the results that --fresh set aside, each folder with its bytes. Raises StorageError."""
    with storage_errors(directory.path):
        folder = directory.path / OLD
        # A link leads elsewhere, and what is there is not this run's.
        return [(path, _size(path)) for path in sorted(folder.iterdir())] if folder.is_dir() and not folder.is_symlink() else []


def damaged_copies(directory: RunDirectory) -> list[tuple[Path, int]]:
    """List the damaged files of journals that `verify --salvage` set aside, each with its bytes. Raises StorageError."""
    with storage_errors(directory.path):
        return [(path, _size(path)) for path in sorted(directory.path.glob("journal/*/*.jsonl.damaged*"))]


def remove(paths: list[tuple[Path, int]]) -> int:
    """Remove files and folders; returns their bytes. Raises StorageError."""
    for path, _ in paths:
        with storage_errors(path):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
    return sum(size for _, size in paths)


def _size(path: Path) -> int:
    return sum(each.lstat().st_size for each in _files(path))


def _files(path: Path) -> Iterator[Path]:
    if path.is_symlink() or not path.is_dir():
        yield path
        return
    for inner in path.iterdir():
        yield from _files(inner)
