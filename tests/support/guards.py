"""Ends tests that hang and what failed tests leave running, and finds calls that block the event loop. Plugged in by tests/conftest.py."""

from __future__ import annotations

import asyncio
import faulthandler
import fcntl
import inspect
import ipaddress
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import wraps
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

GRACE_S = 20.0
"""Seconds between a test's time-out, which fails it alone, and the end of its process."""

LARGE_FILE_BYTES = 1 << 20
"""A file of this size or more is not opened in the event loop."""

CODE = str(Path(__file__).parents[2] / "batch") + os.sep
TESTS = str(Path(__file__).parents[1]) + os.sep


# Tests that hang.


class HangGuard:
    """Ends tests that reach their time-out where pytest-timeout's signal alone does not: in an idle uvloop, and in code that swallows it.

    The signal stops a uvloop, so that the test fails as under asyncio. `GRACE_S` later faulthandler's own thread, which needs no GIL,
    prints all stacks and ends the process: pytest-xdist names the test that it ran and starts another worker.
    """

    def __init__(self) -> None:
        # Not captured: pytest has replaced file descriptor 2 by a file when a test runs.
        self._stderr = os.dup(2)

    @pytest.hookimpl(wrapper=True)
    def pytest_timeout_set_timer(self, item: pytest.Item, settings: Any) -> Iterator[None]:
        """Arm both. The call after this one sets pytest-timeout's own handler."""
        result = yield
        if signal.getsignal(signal.SIGALRM) not in (signal.SIG_DFL, signal.SIG_IGN, None):
            signal.signal(signal.SIGALRM, self._stopping_uvloop(item, signal.getsignal(signal.SIGALRM)))
        self._end_process_after(settings.timeout + GRACE_S)
        return result

    @pytest.hookimpl(wrapper=True)
    def pytest_timeout_cancel_timer(self, item: pytest.Item) -> Iterator[None]:
        """Disarm both."""
        faulthandler.cancel_dump_traceback_later()
        return (yield)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_teardown(self, item: pytest.Item) -> Iterator[None]:
        """Arm again for what a failed test leaves to tear down: after a failure pytest-timeout is disarmed."""
        timeout = _timeout_of(item)
        if not timeout or item.config.getoption("usepdb", default=False):
            return (yield)
        self._end_process_after(timeout + GRACE_S)
        try:
            return (yield)
        finally:
            faulthandler.cancel_dump_traceback_later()

    def _end_process_after(self, seconds: float) -> None:
        faulthandler.dump_traceback_later(seconds, exit=True, file=self._stderr)

    def _stopping_uvloop(self, item: pytest.Item, handler: Any) -> Callable[[int, FrameType | None], None]:
        def stop(number: int, frame: FrameType | None) -> None:
            os.write(self._stderr, f"\nTimeout: {item.nodeid}\n".encode())
            with suppress(RuntimeError):
                loop = asyncio.get_running_loop()
                # uvloop hands an exception of a signal handler to its exception handler, and continues.
                if type(loop).__module__.startswith("uvloop"):
                    loop.stop()
            handler(number, frame)

        return stop


def _timeout_of(item: pytest.Item) -> float:
    marker = item.get_closest_marker("timeout")
    if marker is not None and marker.args:
        return float(marker.args[0])
    return float(item.config.getoption("timeout", default=None) or item.config.getini("timeout") or 0)


# Processes.


class ProcessGuard:
    """Gives the processes of tests the usual signals, and ends those that a failed test leaves behind."""

    @pytest.hookimpl
    def pytest_configure(self) -> None:
        """Undo what nohup and a shell's `&` do to signals: ignored ones stay ignored in all processes that the tests start."""
        if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
            # A handler, so that pytest itself still outlives its terminal: it is not inherited by what is executed.
            signal.signal(signal.SIGHUP, lambda *_: None)
        if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self) -> Iterator[None]:
        """Kill what a failed test has started and not waited for: its open pipes would fail whichever test the garbage collector meets."""
        started: list[subprocess.Popen[Any]] = []
        begin = subprocess.Popen.__init__

        @wraps(begin)
        def noted(process: subprocess.Popen[Any], *arguments: Any, **more: Any) -> None:
            started.append(process)
            begin(process, *arguments, **more)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(subprocess.Popen, "__init__", noted)
            try:
                return (yield)
            except BaseException:
                for process in started:
                    _end(process)
                raise


def _end(process: subprocess.Popen[Any]) -> None:
    # Where the program could not be started it has no number.
    if getattr(process, "pid", None) is None:
        return
    if process.poll() is None:
        process.kill()
        process.wait()
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None:
            with suppress(OSError):
                pipe.close()


# Calls that block the event loop.


class LoopGuard:
    """Records calls of promptmill's own code that block the thread of a running event loop.

    Nothing is measured, so that no load of the machine causes an alarm: what counts is which function is called. Nothing is raised either:
    what is under test must not be able to swallow the finding. An audit hook sees most calls, in C code too; no audit event is there for
    the functions of `_PATCHED`.
    """

    def __init__(self) -> None:
        self._found: list[str] | None = None
        self._inside = threading.local()
        sys.addaudithook(self._audit)

    @contextmanager
    def watching(self) -> Iterator[list[str]]:
        """Record into the list that this gives, until the end of the block."""
        found: list[str] = []
        with pytest.MonkeyPatch.context() as patch:
            for owner, name, blocks in _PATCHED:
                patch.setattr(owner, name, self._noting(getattr(owner, name), name, blocks))
            before, self._found = self._found, found
            try:
                yield found
            finally:
                self._found = before

    def _audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self._found is not None and event in _EVENTS and not getattr(self._inside, "now", False):
            self._inside.now = True
            try:
                if _EVENTS[event](*arguments):
                    self._note(f"{event}{arguments!r}"[:200])
            finally:
                self._inside.now = False

    def _noting(self, function: Callable[..., Any], name: str, blocks: Callable[..., bool]) -> Callable[..., Any]:
        @wraps(function)
        def noted(*arguments: Any, **more: Any) -> Any:
            if blocks(*arguments):
                self._note(f"{name}{arguments!r}"[:200])
            return function(*arguments, **more)

        return noted

    def _note(self, call: str) -> None:
        if (found := self._found) is None or (place := _caller()) is None:
            return
        if (finding := f"{call} at {place}") not in found:
            found.append(finding)


def _is_blocking(sock: Any, *_: Any) -> bool:
    return isinstance(sock, socket.socket) and sock.gettimeout() != 0


def _is_large(path: Any, *_: Any) -> bool:
    return isinstance(path, str | bytes) and os.path.exists(path) and os.path.getsize(path) >= LARGE_FILE_BYTES  # noqa: PTH110, PTH202


def _is_lookup(host: Any, *_: Any) -> bool:
    """Whether a name is looked up: an address is only parsed."""
    try:
        ipaddress.ip_address(host.decode() if isinstance(host, bytes) else str(host))
    except ValueError:
        return host is not None
    return False


def _always(*_: Any) -> bool:
    return True


_EVENTS: dict[str, Callable[..., bool]] = {
    "socket.getaddrinfo": _is_lookup,
    "socket.gethostbyname": _always,
    "socket.connect": _is_blocking,
    "sqlite3.connect": _always,
    "fcntl.flock": lambda _, operation: not operation & fcntl.LOCK_NB,
    "open": _is_large,
}
_SOCKET_CALLS = ("accept", "recv", "recv_into", "recvfrom", "recvmsg", "send", "sendall", "sendto")
_PATCHED: list[tuple[Any, str, Callable[..., bool]]] = [
    (time, "sleep", lambda seconds: seconds > 0),
    (os, "fsync", _always),
    (os, "fdatasync", _always),
    *((socket.socket, name, _is_blocking) for name in _SOCKET_CALLS),
]
_LOOP_FUNCTIONS = frozenset({"run", "run_forever", "run_until_complete", "_run_once"})


def _caller() -> str | None:
    """Find the line of promptmill's code in the call stack that a running event loop runs; None where a test calls it plainly."""
    if asyncio._get_running_loop() is None:
        return None
    frame = inspect.currentframe()
    place: str | None = None
    outermost: FrameType | None = None
    while frame is not None:
        name = frame.f_code.co_filename
        if name.startswith("<frozen importlib"):
            return None
        if name.startswith(CODE):
            place = place or f"batch/{name.removeprefix(CODE)}:{frame.f_lineno} in {frame.f_code.co_name}"
            outermost = frame
        elif name.startswith(TESTS) and name != __file__:
            # An async test may prepare its run by plain calls: only what it awaits runs as in production.
            return place if outermost is not None and outermost.f_code.co_flags & inspect.CO_COROUTINE else None
        elif frame.f_code.co_name in _LOOP_FUNCTIONS and ("/asyncio/" in name or "/anyio/" in name):
            return place
        frame = frame.f_back
    return place
