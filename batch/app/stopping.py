"""Asking a run to stop: by signals, where they can be had, and from other threads."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

import anyio
from anyio.abc import TaskStatus

AskAgain = Callable[[int], None]


class Stopper:
    """Asks a run to stop, from any thread and at any time, also before it sends: the first time to drain it, then to stop at once."""

    def __init__(self) -> None:
        self._lock = threading.RLock()  # a signal's handler may come while the same thread holds it
        self._asked = 0
        self._tell: AskAgain | None = None

    def ask(self) -> None:
        """Ask once more."""
        with self._lock:
            asked = self.count()
            if self._tell is not None:
                self._tell(asked)

    def count(self) -> int:
        """How often it was asked, this time included."""
        with self._lock:
            self._asked += 1
            return self._asked

    @contextmanager
    def attached(self, stop: AskAgain) -> Iterator[None]:
        """Within the body `stop` is called, in the running event loop, with how often it was asked by then."""
        loop = asyncio.get_running_loop()

        def tell(asked: int) -> None:
            loop.call_soon_threadsafe(stop, asked)

        with self._lock:
            self._tell = tell
            if self._asked:
                stop(self._asked)
        try:
            yield
        finally:
            with self._lock:
                self._tell = None


@contextmanager
def interruptible(signals: Sequence[signal.Signals]) -> Iterator[None]:
    """Let each of `signals` raise KeyboardInterrupt within the body: SIGTERM would end the process and leave half-written files."""

    def interrupt(number: int, frame: object) -> None:  # noqa: ARG001 - as signal.signal calls it
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = [(number, signal.signal(number, interrupt)) for number in signals]
    try:
        yield
    finally:
        for number, handler in previous:
            signal.signal(number, handler)


class Stoppable(Protocol):
    """What can be asked to stop: the session of one process, or the coordinator of several."""

    def drain(self) -> None:
        """Send nothing more; let what is in flight end."""

    def abort(self) -> None:
        """Stop at once."""


async def watch(
    session: Stoppable,
    signals: Sequence[signal.Signals],
    stopper: Stopper,
    notice: Callable[[str], None],
    *,
    task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED,
) -> None:
    """Drain `session` on the first of these signals, or when the stopper is asked, and abort it on the next; never returns.

    Signals are for the main thread only; elsewhere there is the stopper.
    """

    def stop(asked: int) -> None:
        if asked == 1:
            notice("stopping: requests in flight may end; once more stops at once")
            session.drain()
        else:
            session.abort()

    with stopper.attached(stop):
        if not signals or threading.current_thread() is not threading.main_thread():
            task_status.started()
            await anyio.sleep_forever()
        with anyio.open_signal_receiver(*signals) as received:
            task_status.started()
            async for _ in received:
                stop(stopper.count())
