"""The deadlines of one attempt, on a loop whose time is told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import anyio
import pytest

from batch.transport.deadlines import SECOND_LOOK_S, Deadlines


class Loop:
    """A loop's clock and timers, moved by hand."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.timers: list[tuple[float, Callable[[], None]]] = []

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, callback: Callable[[], None]) -> Any:
        entry = (when, callback)
        self.timers.append(entry)

        class Handle:
            @staticmethod
            def cancel() -> None:
                if entry in self.timers:
                    self.timers.remove(entry)

        return Handle()

    def run_to(self, end: float) -> None:
        """Time passes, and each timer fires when it is due."""
        while due := sorted(timer for timer in self.timers if timer[0] <= end):
            self.timers.remove(due[0])
            self.now = max(self.now, due[0][0])
            due[0][1]()
        self.now = max(self.now, end)


@pytest.fixture
def loop(monkeypatch: pytest.MonkeyPatch) -> Loop:
    """The running loop, replaced."""
    loop = Loop()
    monkeypatch.setattr(asyncio, "get_running_loop", lambda: loop)
    return loop


def begun(first_byte: float, idle: float, attempt: float) -> tuple[Deadlines, anyio.CancelScope]:
    scope = anyio.CancelScope()
    deadlines = Deadlines(scope, attempt)
    deadlines.start("timeout_first_byte", first_byte, min(first_byte, idle, attempt))
    return deadlines, scope


async def test_each_deadline_has_its_name(loop: Loop) -> None:
    """Faults 17 and 18: the deadline that passes is the one that is named, the whole attempt's above all."""
    deadlines, scope = begun(10, 5, 100)
    loop.run_to(1009.9)
    assert not scope.cancel_called
    loop.run_to(1010.1)
    assert (scope.cancel_called, deadlines.code) == (True, "timeout_first_byte")


async def test_idle_moves(loop: Loop) -> None:
    """Each move begins the idle span anew, until the attempt's own end."""
    deadlines, scope = begun(10, 5, 23)
    for second in range(1, 22):
        loop.run_to(1000 + second)
        deadlines.move("timeout_idle", 5)
    assert not scope.cancel_called
    loop.run_to(1023.1)
    assert (scope.cancel_called, deadlines.code) == (True, "timeout_attempt")


async def test_a_nearer_deadline_is_kept(loop: Loop) -> None:
    """A span shorter than the one before it is seen in time, although the timer is moved lazily."""
    deadlines, scope = begun(300, 5, 600)
    loop.run_to(1004)
    deadlines.move("timeout_idle", 5)
    loop.run_to(1009.1)
    assert (scope.cancel_called, deadlines.code) == (True, "timeout_idle")


async def test_extend_never_shortens(loop: Loop) -> None:
    """Before the first token an event of the stream only ever gives more time."""
    deadlines, scope = begun(20, 5, 600)
    loop.run_to(1001)
    deadlines.extend("timeout_idle", 5)
    loop.run_to(1019)
    assert not scope.cancel_called
    deadlines.extend("timeout_idle", 5)
    loop.run_to(1024.2)
    assert deadlines.code == "timeout_idle"


async def test_a_held_loop_gets_a_second_look(loop: Loop) -> None:
    """Fault 34: a deadline that passed while the process was held is believed only when the loop has run freely since."""
    deadlines, scope = begun(10, 10, 600)
    held = loop.timers.pop()[1]
    loop.now = 1030.0
    held()
    assert not scope.cancel_called
    second_look = loop.timers.pop()[1]
    loop.now = 1035.0
    second_look()
    assert not scope.cancel_called
    deadlines.move("timeout_idle", 10)
    loop.run_to(1044.9)
    assert not scope.cancel_called
    loop.run_to(1045.0 + 2 * SECOND_LOOK_S)
    assert (scope.cancel_called, deadlines.code) == (True, "timeout_idle")


async def test_stopped(loop: Loop) -> None:
    """A stopped deadline leaves no timer behind."""
    deadlines, scope = begun(10, 10, 600)
    deadlines.stop()
    assert (loop.timers, scope.cancel_called) == ([], False)
