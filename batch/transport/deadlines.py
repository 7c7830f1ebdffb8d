"""The deadlines of attempts: first byte, idle, and the whole, all of a client's on one timer of the event loop.

The timer is moved lazily: setting a deadline only stores it, and a timer that fires early is set again. A deadline that has passed is
believed only when the loop has run freely since: if the process itself was suspended, what came meanwhile is read first (fault 34).
"""

from __future__ import annotations

import asyncio
from math import inf

# How long the loop gets to read what has come before a passed deadline is believed, and how late a timer of a blocked loop fires.
SECOND_LOOK_S = 0.05
LATE_S = 0.25


class Deadlines:
    """The deadlines of one attempt, which `task` makes: it is cancelled when the current one passes, and `code` names that.

    `code` is timeout_first_byte, timeout_idle or timeout_attempt, and None before.
    """

    __slots__ = ("_cancelled", "_cancelled_before", "_code", "_due", "_end", "_loop", "_suspected", "_task", "_timer", "code")

    def __init__(self, timer: DeadlineTimer, loop: asyncio.AbstractEventLoop, attempt_s: float) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - attempts are made in tasks
        self.code: str | None = None
        self._task = task
        self._cancelled = False
        self._cancelled_before = task.cancelling()
        self._timer = timer
        self._loop = loop
        self._end = loop.time() + attempt_s
        self._due = self._end
        self._code = "timeout_attempt"
        self._suspected: float | None = None

    def move(self, code: str, seconds: float) -> None:
        """The deadline is now `seconds` from now, but never after the whole attempt's."""
        due = self._loop.time() + seconds
        self._due, self._code = (due, code) if due < self._end else (self._end, "timeout_attempt")

    def extend(self, code: str, seconds: float) -> None:
        """As `move`, unless the current deadline is later."""
        if self._loop.time() + seconds > self._due:
            self.move(code, seconds)

    def stop(self) -> bool:
        """No deadline any more. True when one has cancelled the task, and nothing else has: the CancelledError ends with the attempt."""
        self._timer.remove(self)
        if not self._cancelled:
            return False
        self._cancelled = False
        # As asyncio.timeout does: takes back this cancellation only, not one that came from outside.
        return self._task.uncancel() <= self._cancelled_before

    def look(self, now: float) -> float:
        """Cancel the task if a deadline has passed. When to look again."""
        due = self._due
        if now < due:
            self._suspected = None
            return due
        if self._suspected is not None:
            second_look = self._suspected + SECOND_LOOK_S
            if now < second_look:
                return second_look
            if now < second_look + LATE_S:
                self.code = self._code
                self._cancelled = True
                self._timer.remove(self)
                self._task.cancel()
                return inf
        self._suspected = now
        return now + SECOND_LOOK_S


class DeadlineTimer:
    """The one timer. No deadline may be nearer than `soonest_s` when it is set."""

    def __init__(self, soonest_s: float) -> None:
        self._soonest_s = soonest_s
        self._watched: dict[Deadlines, None] = {}
        self._handle: asyncio.TimerHandle | None = None

    def start(self, attempt_s: float, code: str, seconds: float) -> Deadlines:
        """The deadlines of an attempt that the current task begins, with this one as the first."""
        loop = asyncio.get_running_loop()
        deadlines = Deadlines(self, loop, attempt_s)
        deadlines.move(code, seconds)
        self._watched[deadlines] = None
        if self._handle is None:
            self._handle = loop.call_at(loop.time() + self._soonest_s, self._look)
        return deadlines

    def remove(self, deadlines: Deadlines) -> None:
        """Watch these no longer."""
        self._watched.pop(deadlines, None)

    def _look(self) -> None:
        if not self._watched:
            self._handle = None
            return
        loop = asyncio.get_running_loop()
        now = loop.time()
        # Not later than `soonest_s`: a deadline that is set after this look would be missed.
        again = min(now + self._soonest_s, *[deadlines.look(now) for deadlines in list(self._watched)])
        self._handle = loop.call_at(again, self._look)
