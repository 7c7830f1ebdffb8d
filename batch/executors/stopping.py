"""Ask a run to stop: by signals in the main thread, and from other threads."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Protocol

import anyio
from anyio.abc import TaskStatus

AskAgain = Callable[[int], None]
IN_FLIGHT = "stopping: waiting for requests in flight; Ctrl-C again stops now"
"""What is said when a run is asked to stop."""


def not_ignored(signals: Sequence[signal.Signals]) -> list[signal.Signals]:
    """Return `signals`, without SIGHUP where it is ignored, as under `nohup`."""
    # SIGINT is received also where a shell has it ignored for its background jobs: `kill -INT` is how scripts stop a run.
    return [each for each in signals if each is not signal.SIGHUP or signal.getsignal(each) is not signal.SIG_IGN]


@contextmanager
def handlers_restored(signals: Sequence[signal.Signals]) -> Iterator[None]:
    """Set the handlers of these signals back after the body, which may leave SIGHUP ignored."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handlers = {each: signal.getsignal(each) for each in signals}
    try:
        yield
    finally:
        for each, handler in handlers.items():
            if handler is not None:  # None: not set by Python
                signal.signal(each, handler)


class Stopper:
    """Asks a run to stop, from any thread and at any time, also before it sends: the first request drains it, the next stops it at once."""

    def __init__(self) -> None:
        self._lock = threading.RLock()  # a signal handler may run while the same thread holds the lock
        self._asked = 0
        self._notify: AskAgain | None = None

    def ask(self) -> None:
        """Ask again."""
        with self._lock:
            asked = self.count()
            if self._notify is not None:
                self._notify(asked)

    @property
    def asked(self) -> int:
        """How often it was asked."""
        return self._asked

    def count(self) -> int:
        """Count one more request, and return the number so far."""
        with self._lock:
            self._asked += 1
            return self._asked

    @contextmanager
    def attached(self, stop: AskAgain) -> Iterator[None]:
        """Call `stop` in the running event loop for each request within the body, with the number so far."""
        loop = asyncio.get_running_loop()

        def notify(asked: int) -> None:
            loop.call_soon_threadsafe(stop, asked)

        with self._lock:
            self._notify = notify
            if self._asked:
                stop(self._asked)
        try:
            yield
        finally:
            with self._lock:
                self._notify = None


class Stoppable(Protocol):
    """A session of one process, or the coordinator of several workers."""

    def drain(self) -> None:
        """Send nothing more; let requests in flight end."""

    def abort(self) -> None:
        """Stop at once."""


@contextmanager
def _received(signals: Sequence[signal.Signals], stopper: Stopper, ask: Callable[[], None]) -> Iterator[None]:
    """Call `ask` in the running event loop for each of these signals within the body; in the main thread only.

    A terminal that closes sends SIGHUP up to three times, by the kernel and by the shell: those after the first request ask for nothing.
    """
    loop = asyncio.get_running_loop()

    def handle(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - a signal handler's signature
        loop.call_soon_threadsafe(hear, number)

    def hear(number: int) -> None:
        if number != signal.SIGHUP or not stopper.asked:
            ask()

    # Not the loop's own handlers: where those end, the default ones end the process at once, before the run has counted what it gave up.
    before = {each: signal.signal(each, handle) for each in signals}
    try:
        yield
    finally:
        for each, handler in before.items():
            is_over = each is signal.SIGHUP and stopper.asked
            signal.signal(each, signal.SIG_IGN if is_over else handler or signal.SIG_DFL)


async def watch(
    session: Stoppable,
    signals: Sequence[signal.Signals],
    stopper: Stopper,
    report: Callable[[str], None],
    stopping: str = IN_FLIGHT,
    *,
    task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED,
) -> None:
    """Drain `session` on the first of these signals or requests of the stopper, and abort it on the next; never returns.

    `stopping` is reported at the first. SIGHUP does not abort.
    Signals are received in the main thread only; call it within `handlers_restored`.
    """

    def stop(asked: int) -> None:
        if asked == 1:
            report(stopping)
            session.drain()
        else:
            session.abort()

    with stopper.attached(stop):
        if not signals or threading.current_thread() is not threading.main_thread():
            task_status.started()
            await anyio.sleep_forever()
        with _received(signals, stopper, lambda: stop(stopper.count())):
            task_status.started()
            await anyio.sleep_forever()
