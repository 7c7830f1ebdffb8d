"""Whether a runner is at work in a run directory, seen from outside without touching its lock."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path

from batch.errors import PromptmillError
from batch.journal.watching import read_live
from batch.rundir.local import RunDirectory
from batch.rundir.watch_folder import watch_folder

FRESH_S = 15.0
"""A present state that is older is that of a runner that was killed, or is suspended."""


def live_states(directory: RunDirectory) -> list[dict[str, object]]:
    """Return the present states of the pools of a run that is at work; none of one that is not."""
    now = time.time()
    with suppress(PromptmillError):
        return [state for state in read_live(watch_folder(directory)) if isinstance(at := state.get("time"), float) and now - at < FRESH_S]
    return []


def is_running(directory: RunDirectory) -> bool:
    """Return whether a runner is at work."""
    return bool(live_states(directory)) or _is_locked(directory.path / "run.lock")


def _is_locked(path: Path) -> bool:
    """Whether a process of this machine has the lock, as Linux lists it: to try it would keep a runner from starting."""
    with suppress(OSError):
        inode = path.stat().st_ino
        return any(" FLOCK " in line and f":{inode} " in line for line in Path("/proc/locks").read_text().splitlines())
    return False
