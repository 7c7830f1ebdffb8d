"""Find run directories: all below a folder, and the one that was started last, whose name is `latest`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from batch.errors import RunDirectoryError

LATEST = "latest"
_MOST_NAMED = 3
# For a hint alone: below a home directory there may be many folders.
_NEAR = 2
_DEFAULT = "runs"
_DEEPEST = 3
_NOT_RUNS = frozenset({"journal", "watch", "scores", "old", "node_modules"})


def find_runs(folder: Path) -> list[Path]:
    """List the run directories in `folder` and three levels below it, that of the last start first."""
    found = _below(folder, _DEEPEST)
    return sorted(found, key=started_at, reverse=True)


def started_at(path: Path) -> float:
    """Return when a run was started or continued last, in seconds since the epoch; 0 if unknown."""
    for name in ("run.lock", "run.json"):
        with suppress(OSError):
            return (path / name).stat().st_mtime
    return 0.0


def runs_folder() -> Path:
    """Return the folder of runs here: `runs` in the working directory, or else the working directory itself."""
    return Path(_DEFAULT) if Path(_DEFAULT).is_dir() else Path()


def latest_run() -> Path:
    """Return the run that was started last below `runs` here. Raises RunDirectoryError when there is none."""
    folder = runs_folder()
    found = find_runs(folder)
    if not found:
        raise RunDirectoryError(f"latest: there is no run in {folder.absolute()}; give the folder of a run, or see promptmill runs DIR")
    return found[0]


def resolved(place: str) -> str:
    """Return the path that `place` names: for `latest` that of the latest run, unless there is a folder of that name."""
    return str(latest_run()) if place == LATEST and not Path(place).exists() else place


def _below(folder: Path, depth: int) -> Iterator[Path]:
    if (folder / "run.json").is_file():
        yield folder
        return
    if not depth:
        return
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda each: each.name):
            if entry.is_dir(follow_symlinks=False) and entry.name not in _NOT_RUNS and not entry.name.startswith("."):
                yield from _below(Path(entry.path), depth - 1)


def meant(place: Path) -> str:
    """Say which run was probably meant by `place`, where no run is: one around it, within it, or of nearly its name."""
    for around in place.parents:
        if (around / "run.json").is_file():
            return f"it is in the run directory {around}"
    if place.is_file():
        return "it is a file; give the folder of a run, its job file (.toml), or latest"
    within = sorted(_below(place, _NEAR), key=started_at, reverse=True)
    if within:
        more = f" and {len(within) - _MOST_NAMED} more" if len(within) > _MOST_NAMED else ""
        return f"the runs in it are {', '.join(map(str, within[:_MOST_NAMED]))}{more}"
    known = dict.fromkeys([*_below(place.parent, 1), *_below(runs_folder(), 1)])
    from difflib import get_close_matches

    names = {path.name: path for path in known if path != place}
    near = get_close_matches(place.name, [*names, *([LATEST] if known else [])], n=1)
    if near == [LATEST]:
        return f"did you mean {LATEST}?"
    return f"did you mean {names[near[0]]}?" if near else "give the folder of a run; promptmill runs DIR lists those of a folder"
