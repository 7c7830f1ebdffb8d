"""The deadlines of one attempt: first byte, idle, and the whole, on one timer of the event loop.

The timer is moved lazily: moving a deadline only stores it, and a timer that fires early is set again. A deadline that has passed is
believed only when the loop has run freely since: if the process itself was held, what came meanwhile is read first (fault 34).
"""

from __future__ import annotations

import asyncio

import anyio

# How long the loop gets to read what has come before a passed deadline is believed, and how late a timer shows a held loop.
SECOND_LOOK_S = 0.05
HELD_S = 0.25


class Deadlines:
    """Cancels `scope` when the current deadline passes; `code` then names it: timeout_first_byte, timeout_idle or timeout_attempt."""

    __slots__ = ("_code", "_due", "_end", "_loop", "_scope", "_suspected", "_timer", "code")

    def __init__(self, scope: anyio.CancelScope, attempt_s: float) -> None:
        self.code: str | None = None
        self._scope = scope
        self._loop = asyncio.get_running_loop()
        self._end = self._loop.time() + attempt_s
        self._due = self._end
        self._code = "timeout_attempt"
        self._suspected: float | None = None
        self._timer: asyncio.TimerHandle | None = None

    def start(self, code: str, seconds: float, soonest: float) -> None:
        """Begin with this deadline; later ones will be no sooner than `soonest` seconds from when they are set."""
        self.move(code, seconds)
        self._timer = self._loop.call_at(min(self._due, self._loop.time() + soonest), self._look)

    def move(self, code: str, seconds: float) -> None:
        """The deadline is now `seconds` from now, but never after the whole attempt's."""
        due = self._loop.time() + seconds
        self._due, self._code = (due, code) if due < self._end else (self._end, "timeout_attempt")

    def extend(self, code: str, seconds: float) -> None:
        """As `move`, unless the current deadline is later."""
        if self._loop.time() + seconds > self._due:
            self.move(code, seconds)

    def stop(self) -> None:
        """No deadline any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        now = self._loop.time()
        due = self._due
        if now < due:
            self._suspected = None
            self._timer = self._loop.call_at(due, self._look)
        elif self._suspected is not None and now - self._suspected < SECOND_LOOK_S + HELD_S:
            self.code = self._code
            self._scope.cancel()
        else:
            self._suspected = now
            self._timer = self._loop.call_at(now + SECOND_LOOK_S, self._look)
