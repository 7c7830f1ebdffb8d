"""An event loop whose time is virtual: when nothing is ready it jumps to the next timer. One thread, no I/O, the same order each time."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from itertools import count
from typing import Any

from anyio._backends import _asyncio

# Turns of the loop at one moment of time. A history takes a few hundred.
MOST_TURNS = 100_000


class StalledError(Exception):
    """Nothing is ready and no timer is set: the program waits for ever; or it is always busy, and time does not pass."""


class _Jumping(selectors.SelectSelector):
    """Instead of waiting for I/O, which there is none of, moves the time."""

    jump: Callable[[float | None], None]
    _turns = 0

    def select(self, timeout: float | None = None) -> list[Any]:
        self._turns += 1
        if timeout != 0:
            self._turns = 0
            self.jump(timeout)
        elif self._turns > MOST_TURNS:
            raise StalledError("the program is always busy, and no time passes")
        return []


class _NumberedTask(asyncio.Task):
    """Hashed by its number: anyio keeps tasks in sets, whose order must not depend on addresses."""

    numbers = count()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._number = next(self.numbers)
        super().__init__(*args, **kwargs)

    def __hash__(self) -> int:
        return self._number


class NumberedScope(_asyncio.CancelScope):
    """Hashed by its number, for the same reason. To be put in the place of anyio's own."""

    numbers = count()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._number = next(self.numbers)
        super().__init__(*args, **kwargs)

    def __hash__(self) -> int:
        return self._number


class VirtualLoop(asyncio.SelectorEventLoop):
    """Starts at `now` seconds. `watch` is told of each jump's end and may raise, which ends the loop."""

    def __init__(self, now: float, watch: Callable[[float], None]) -> None:
        self._now = now
        self._watch = watch
        _NumberedTask.numbers = count()
        NumberedScope.numbers = count()
        selector = _Jumping()
        selector.jump = self._jump
        super().__init__(selector)
        self.set_task_factory(lambda loop, coro, **kwargs: _NumberedTask(coro, loop=loop, **kwargs))

    def time(self) -> float:
        return self._now

    def _jump(self, timeout: float | None) -> None:
        if timeout is None:
            raise StalledError("nothing is ready and no timer is set")
        self._now += timeout
        self._watch(self._now)


def run(loop: VirtualLoop, main: Coroutine[Any, Any, Any], on_task: Callable[[asyncio.Task[Any]], None]) -> Any:
    """Run `main` to its end on `loop`, which is closed then; nothing of it stays behind, however it ends."""
    asyncio.set_event_loop(loop)
    task = loop.create_task(main)
    on_task(task)
    try:
        return loop.run_until_complete(task)
    finally:
        loop._watch = lambda now: None
        left = asyncio.all_tasks(loop)
        for other in left:
            other.cancel()
        if left:
            loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        loop.run_until_complete(loop.shutdown_asyncgens())
        asyncio.set_event_loop(None)
        loop.close()
