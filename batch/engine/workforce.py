"""Workers of one pool: started in steps, parked while there is nothing for them, woken when there is."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any

import anyio
from anyio.abc import TaskGroup

# Connections are opened in steps: a listen queue (511 in nginx) overflows otherwise, and lost SYNs cost a second each.
HIRED_AT_ONCE = 32


class Workforce:
    """At most `most` workers, each a task that calls `work`, with `in_flight` requests of theirs."""

    def __init__(self, most: int, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self.most = most
        self._work = work
        self._parked: deque[anyio.Event] = deque()
        self.count = self.in_flight = 0

    @property
    def has_parked(self) -> bool:
        """Whether a worker waits for work."""
        return bool(self._parked)

    async def park(self) -> None:
        """Let the calling worker wait until it is woken."""
        event = anyio.Event()
        self._parked.append(event)
        await event.wait()

    def wake_one(self) -> None:
        """Wake the worker that has waited longest."""
        self._parked.popleft().set()

    def hire(self, group: TaskGroup, wanted: int) -> bool:
        """Wake as many workers as are wanted, or start them. Returns True if more are to be started shortly."""
        woken = min(wanted, len(self._parked))
        for _ in range(woken):
            self.wake_one()
        wanted -= woken
        hired = min(wanted, HIRED_AT_ONCE, self.most - self.count)
        for _ in range(hired):
            self.count += 1
            group.start_soon(self._work)
        return wanted > hired > 0
