"""The timekeeper of a worker pool: wakes or starts workers when something can be sent, and when time alone makes something possible."""

from __future__ import annotations

import math
from collections.abc import Callable

import anyio
from anyio.abc import TaskGroup

from batch.clock import Clock
from batch.engine.backlog import Backlog
from batch.engine.dispatcher import Dispatcher
from batch.engine.endpoint_pool import EndpointPool
from batch.engine.halt import Halt
from batch.engine.workforce import Workforce
from batch.events import Event, Notice

HIRE_INTERVAL_S = 0.002
# The longest interval of the timekeeper; if it is this much too late, the process was suspended.
TICK_S = 1.0
LATE_S = 0.5


class Timekeeper:
    """Keeps the time of one pool; `wake` lets it look again at once."""

    def __init__(
        self,
        endpoint_pool: EndpointPool,
        backlog: Backlog,
        dispatcher: Dispatcher,
        workforce: Workforce,
        halt: Halt,
        clock: Clock,
        notify: Callable[[Event], None],
    ) -> None:
        self._endpoint_pool = endpoint_pool
        self._backlog = backlog
        self._dispatcher = dispatcher
        self._workforce = workforce
        self._halt = halt
        self._clock = clock
        self._notify = notify
        self._alarm = anyio.Event()

    def wake(self) -> None:
        """Look again at what can be sent."""
        self._alarm.set()

    async def run(self, group: TaskGroup, is_over: Callable[[float], bool], done: anyio.Event) -> None:
        """Keep the time until the pool is over, as `is_over` says at a moment, and set `done` then; workers are started in `group`."""
        # One moment for all of a look: what falls due between two readings of the clock would be seen by neither, and wait for a tick.
        while not is_over(now := self._clock.monotonic()):
            self._alarm = anyio.Event()
            hired = self._hire(group, now)
            for notice in self._endpoint_pool.long_holds(now):
                self._notify(Notice(notice))
            wake_at = now + HIRE_INTERVAL_S if hired else min(self._next_moment(now), now + TICK_S)
            with anyio.move_on_after(max(0.0, wake_at - now)):
                await self._alarm.wait()
            late = self._clock.monotonic() - wake_at
            if late > LATE_S:
                self._endpoint_pool.put_off(late)
        done.set()

    def _hire(self, group: TaskGroup, now: float) -> bool:
        """Wake or start as many workers as could send something now. Returns True if more are to be started shortly."""
        if self._halt.sends_nothing or self._endpoint_pool.hold(now) > 0:
            return False
        wanted = min(self._endpoint_pool.limit - self._workforce.in_flight, len(self._backlog.ready) + self._backlog.due(now))
        return self._workforce.hire(group, max(wanted, self._dispatcher.pick_probe(now) is not None))

    def _next_moment(self, now: float) -> float:
        """Return when time alone makes something possible, or ends something."""
        if self._halt.stopped is not None:
            return self._halt.grace_until
        if self._halt.paused:
            return math.inf
        deadline = self._endpoint_pool.outage_deadline
        hold = self._endpoint_pool.hold(now)
        possible = now + hold if hold > 0 else self._backlog.next_due
        return min(math.inf if deadline is None or deadline <= now else deadline, possible if possible > now else math.inf)
