"""Free the disk of what a run no longer needs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from batch.errors import RunDirectoryError
from batch.journal.packing import pack
from batch.journal.pruning import drop_replaced, replaced_bytes
from batch.rundir.leftovers import damaged_copies, old_results, remove
from batch.rundir.local import RunDirectory
from batch.rundir.opening import open_existing


@dataclass(frozen=True, slots=True)
class Prunable:
    """The bytes that each kind of leftover takes: what --fresh set aside, damaged copies, and answers that newer ones replaced."""

    old: int
    damaged: int
    replaced: int

    @property
    def total(self) -> int:
        """All bytes together."""
        return self.old + self.damaged + self.replaced


def prunable(place: Path | str) -> Prunable:
    """Measure what `prune` would free; changes nothing. Raises RunDirectoryError, DamagedError, StorageError."""
    directory = _on_disk(place)
    replaced = sum(replaced_bytes(directory.journal_dir(slug)) for slug in directory.slugs())
    return Prunable(_bytes(old_results(directory)), _bytes(damaged_copies(directory)), replaced)


def prune(place: Path | str, *, packs: bool = False) -> int:
    """Remove what `prunable` lists, and pack the journals where `packs` says so. Returns the bytes that are free now.

    Raises:
        LockedError: a runner has the run.
        RunDirectoryError, DamagedError, StorageError.
    """
    directory = _on_disk(place)
    with directory.lock():
        freed = remove(old_results(directory)) + remove(damaged_copies(directory))
        for slug in directory.slugs():
            folder = directory.journal_dir(slug)
            freed += drop_replaced(folder)
            if packs:
                freed += pack(folder)
        return freed


def _on_disk(place: Path | str) -> RunDirectory:
    directory = open_existing(place)
    if not directory.is_local:
        raise RunDirectoryError(f"{directory.place}: prune works on disks; on an object store, delete objects below old/ by its own tools")
    directory.manifest  # noqa: B018 - raises for a folder that is no run, before anything in it is touched
    return directory


def _bytes(found: list[tuple[Path, int]]) -> int:
    return sum(size for _, size in found)
