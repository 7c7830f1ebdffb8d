"""The deadlines of attempts, on a loop whose time is told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from batch.transport.deadlines import SECOND_LOOK_S, Deadlines, DeadlineTimer


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


class Task:
    """The task of an attempt, which only counts how often it is cancelled."""

    def __init__(self) -> None:
        self.requests = 0

    def cancelling(self) -> int:
        return self.requests

    def cancel(self) -> None:
        self.requests += 1

    def uncancel(self) -> int:
        self.requests -= 1
        return self.requests


@pytest.fixture
def task(monkeypatch: pytest.MonkeyPatch) -> Task:
    """The current task, replaced."""
    task = Task()
    monkeypatch.setattr(asyncio, "current_task", lambda *_: task)
    return task


def begun(first_byte: float, idle: float, attempt: float) -> Deadlines:
    return DeadlineTimer(min(first_byte, idle, attempt)).start(attempt, "timeout_first_byte", first_byte)


async def test_each_deadline_has_its_name(loop: Loop, task: Task) -> None:
    """Faults 17 and 18: the deadline that passes is the one that is named, the whole attempt's above all."""
    deadlines = begun(10, 5, 100)
    loop.run_to(1009.9)
    assert not task.requests
    loop.run_to(1010.1)
    assert (task.requests, deadlines.code) == (1, "timeout_first_byte")


async def test_idle_moves(loop: Loop, task: Task) -> None:
    """Each move begins the idle span again, until the attempt's own end."""
    deadlines = begun(10, 5, 23)
    for second in range(1, 22):
        loop.run_to(1000 + second)
        deadlines.move("timeout_idle", 5)
    assert not task.requests
    loop.run_to(1023.1)
    assert (task.requests, deadlines.code) == (1, "timeout_attempt")


async def test_a_nearer_deadline_is_kept(loop: Loop, task: Task) -> None:
    """A span shorter than the one before it is seen in time, although the timer is moved lazily."""
    deadlines = begun(300, 5, 600)
    loop.run_to(1004)
    deadlines.move("timeout_idle", 5)
    loop.run_to(1009.1)
    assert (task.requests, deadlines.code) == (1, "timeout_idle")


async def test_extend_never_shortens(loop: Loop, task: Task) -> None:
    """Before the first token an event of the stream only ever gives more time."""
    deadlines = begun(20, 5, 600)
    loop.run_to(1001)
    deadlines.extend("timeout_idle", 5)
    loop.run_to(1019)
    assert not task.requests
    deadlines.extend("timeout_idle", 5)
    loop.run_to(1024.2)
    assert deadlines.code == "timeout_idle"


async def test_a_held_loop_gets_a_second_look(loop: Loop, task: Task) -> None:
    """Fault 34: a deadline that passed while the process was held is believed only when the loop has run freely since."""
    deadlines = begun(10, 10, 600)
    held = loop.timers.pop()[1]
    loop.now = 1030.0
    held()
    assert not task.requests
    second_look = loop.timers.pop()[1]
    loop.now = 1035.0
    second_look()
    assert not task.requests
    deadlines.move("timeout_idle", 10)
    loop.run_to(1044.9)
    assert not task.requests
    loop.run_to(1045.0 + 2 * SECOND_LOOK_S)
    assert (task.requests, deadlines.code) == (1, "timeout_idle")


async def test_another_attempt_brings_no_second_look_forward(loop: Loop, task: Task) -> None:
    """Fault 34: a look for another attempt, right after a suspicion, proves nothing: the loop has had no time to read."""
    timer = DeadlineTimer(10)
    first = timer.start(600, "timeout_first_byte", 10)
    loop.run_to(1000 + SECOND_LOOK_S / 2)
    timer.start(600, "timeout_first_byte", 10)
    loop.run_to(1010 + SECOND_LOOK_S * 0.9)
    assert (task.requests, first.code) == (0, None)
    loop.run_to(1010 + SECOND_LOOK_S * 1.1)
    assert (task.requests, first.code) == (1, "timeout_first_byte")


async def test_one_timer_for_all_attempts(loop: Loop, task: Task) -> None:
    """Each of many attempts ends at its own deadline, and no attempt has a timer of its own."""
    timer = DeadlineTimer(10)
    attempts = []
    for number in range(8):
        loop.run_to(1000 + number)
        attempts.append(timer.start(600, "timeout_first_byte", 10))
        assert len(loop.timers) == 1
    for number in range(8):
        loop.run_to(1010 + number + 2 * SECOND_LOOK_S)
        assert [deadlines.code is not None for deadlines in attempts] == [other <= number for other in range(8)]


async def test_a_deadline_is_told_from_a_cancel(loop: Loop, task: Task) -> None:
    """A passed deadline ends the attempt alone, once; when the task is cancelled by others too, that goes first."""
    deadlines = begun(10, 10, 600)
    loop.run_to(1011)
    assert (deadlines.stop(), deadlines.stop(), task.requests) == (True, False, 0)
    deadlines = begun(10, 10, 600)
    loop.run_to(1022)
    task.cancel()
    assert (deadlines.stop(), task.requests) == (False, 1)


async def test_stopped(loop: Loop, task: Task) -> None:
    """A stopped deadline cancels nothing, and the timer ends when nothing is watched."""
    deadlines = begun(10, 10, 600)
    assert not deadlines.stop()
    loop.run_to(1700)
    assert (loop.timers, task.requests) == ([], 0)
