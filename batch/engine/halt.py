"""Why a worker pool sends nothing: it was stopped, or it is paused. Pure: times are monotonic seconds, given by the caller."""

from __future__ import annotations

import math

from batch.engine.stop import Stop


class Halt:
    """The stop of a pool, and its pause. Requests in flight have until `grace_until` once it `stopped`; a pause lets them end."""

    def __init__(self) -> None:
        self.stopped: Stop | None = None
        self.grace_until = math.inf
        self._paused_since: float | None = None

    @property
    def paused(self) -> bool:
        """Whether nothing is sent until the pool is resumed."""
        return self._paused_since is not None

    @property
    def sends_nothing(self) -> bool:
        """Whether nothing new may be sent."""
        return self.stopped is not None or self._paused_since is not None

    def pause(self, now: float, *, paused: bool) -> float:
        """Begin or end a pause; returns the seconds that an ended pause lasted, 0 otherwise."""
        since = self._paused_since
        if paused:
            self._paused_since = now if since is None else since
            return 0.0
        self._paused_since = None
        return 0.0 if since is None else now - since
