"""How many threads the embedded model takes when the job does not say."""

from __future__ import annotations

import os
from pathlib import Path

_QUOTA = Path("/sys/fs/cgroup/cpu.max")  # cgroup v2: "200000 100000" is two cores, "max 100000" no limit


def usable_cores(quota_file: Path = _QUOTA) -> int:
    """The cores that this process may keep busy: by its affinity, and by a container's CPU quota (which cpu_count does not see)."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = quota_file.read_text().split()
        return max(1, min(cores, int(quota) // int(period)))
    except (OSError, ValueError):
        return cores


def spare_threads(cores: int) -> int:
    """All cores but one.

    llama.cpp's threads wait for each other at every step: one that loses its turn to the runner or to another program
    holds up the others, so that with all cores taken the speed falls many times over.
    """
    return max(1, cores - 1)
