"""The wall clock itself: batches last hours, in which laptops sleep, and the monotonic clock of the engine does not count that."""

from __future__ import annotations

import time


def wall_now() -> float:
    """Return the seconds since the epoch, as the system has them now."""
    return time.time()
