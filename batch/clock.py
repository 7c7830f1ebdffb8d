"""The clock as a seam: waits and deadlines use monotonic time, wall time is for records only."""

from __future__ import annotations

import time
from datetime import datetime
from typing import Protocol


class Clock(Protocol):
    """A source of time, in seconds."""

    def monotonic(self) -> float:
        """A clock that never goes back: for deadlines and durations."""

    def wall(self) -> float:
        """Seconds since the epoch: for records."""


class SystemClock:
    """The machine's clock.

    Wall time is read once and carried on by the monotonic clock, so that a clock set back or forward has no effect.
    """

    def __init__(self) -> None:
        self._offset = time.time() - time.monotonic()

    def monotonic(self) -> float:
        """The machine's monotonic clock."""
        return time.monotonic()

    def wall(self) -> float:
        """Seconds since the epoch as of the start, plus the time gone since."""
        return self._offset + time.monotonic()


def local_time(clock: Clock) -> str:
    """Return the date and time of this machine's zone, for people: 2026-11-27 09:05:00."""
    return f"{datetime.fromtimestamp(clock.wall()).astimezone():%Y-%m-%d %H:%M:%S}"
