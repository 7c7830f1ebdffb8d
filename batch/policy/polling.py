"""When to look at a batch again: by the wall clock, since laptops sleep, and by the monotonic one, since clocks are set back. Pure."""

from __future__ import annotations

from dataclasses import dataclass

MAX_POLL_S = 900.0
"""However long nothing changes, a batch is looked at once in this time, unless the job's own time is longer."""
_GROWTH = 1.5


@dataclass(slots=True)
class Polling:
    """The looks at one batch. Times are seconds: `wall` since the epoch, `monotonic` of a clock that never goes back.

    The time between two looks starts at `first_s` and grows while nothing changes.
    """

    first_s: float
    _interval_s: float = 0.0
    _due_wall: float = 0.0
    _due_monotonic: float = 0.0
    _expired: bool = False

    def is_due(self, wall: float, monotonic: float) -> bool:
        """Whether to look now: when either clock says so."""
        return wall >= self._due_wall or monotonic >= self._due_monotonic

    def remaining_s(self, wall: float, monotonic: float) -> float:
        """Return the seconds until the next look; at least 0."""
        return max(0.0, min(self._due_wall - wall, self._due_monotonic - monotonic))

    def begin(self) -> None:
        """Begin a look: what is told from now on, it may not see."""
        self._expired = False

    def expire(self) -> None:
        """Make the next look due at once: something else has said that there is news, maybe later than what a look under way has seen."""
        self._expired = True
        self._due_wall = self._due_monotonic = 0.0

    def looked(self, wall: float, monotonic: float, *, changed: bool, asked_s: float = 0.0) -> None:
        """Set the next look after one; `asked_s` is the least wait that the provider asked for."""
        longest = max(self.first_s, MAX_POLL_S)
        self._interval_s = self.first_s if changed or not self._interval_s else min(longest, self._interval_s * _GROWTH)
        wait = max(self._interval_s, asked_s)
        if not self._expired:
            self._due_wall, self._due_monotonic = wall + wait, monotonic + wait
