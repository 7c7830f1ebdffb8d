"""The number of threads of the embedded model where the job sets none."""

from __future__ import annotations

import os
from pathlib import Path

_QUOTA = Path("/sys/fs/cgroup/cpu.max")  # cgroup v2: "200000 100000" is two cores, "max 100000" no limit


def usable_cores(quota_file: Path = _QUOTA) -> int:
    """Return the number of cores that this process may use, by its affinity and by a container's CPU quota (which cpu_count ignores)."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = quota_file.read_text().split()
        return max(1, min(cores, int(quota) // int(period)))
    except (OSError, ValueError):
        return cores


def spare_threads(cores: int) -> int:
    """Return all cores but one.

    llama.cpp's threads wait for each other at every step: one that is preempted by the runner or
    another program holds up the others, so that with all cores taken the speed falls many times over.
    """
    return max(1, cores - 1)
