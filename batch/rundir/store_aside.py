"""Moves what a run directory on an object store holds to a folder within it."""

from __future__ import annotations

from collections.abc import Collection
from fnmatch import fnmatchcase

from batch.rundir.unsent import Unsent
from batch.storage import Mirror


def move_aside(mirror: Mirror, unsent: Unsent, aside: str, patterns: Collection[str], folders: Collection[str]) -> int:
    """Move what matches `patterns` to the folder `aside`, and what could not be stored; `folders` are moved with what is in them.

    Returns the number of objects. Raises StoreError, StorageError.
    """
    moved = 0
    for pattern in patterns:
        is_folder = pattern in folders
        found = mirror.listing(pattern, recursive=True) if is_folder else mirror.listing()
        wanted = [each for each in reversed(found) if is_folder or fnmatchcase(each.url.name, pattern)]
        moves = [(each, f"{aside}/{each.url.key.removeprefix(mirror.url.key).lstrip('/')}") for each in wanted]
        mirror.move(moves)
        moved += len(moves)
        if moves and pattern == "journal":
            # Empty objects that represent folders are not moved, and would name variants that the next job may not have.
            mirror.delete_folder(pattern)
    for slug in unsent.slugs():
        for path in unsent.files(slug):
            mirror.write(f"{aside}/unsent/{slug}/{path.name}", unsent.read(path))
            moved += 1
        unsent.remove(slug)
    return moved
