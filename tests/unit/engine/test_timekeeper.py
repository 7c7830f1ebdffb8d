"""The timekeeper of a worker pool: nothing that falls due is missed."""

from __future__ import annotations

from itertools import count
from types import SimpleNamespace
from typing import Any

import anyio
import pytest

from batch.engine import timekeeper


@pytest.mark.parametrize("due", [0.0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35])
def test_a_row_that_falls_due_between_two_readings_of_the_clock_is_sent(monkeypatch: pytest.MonkeyPatch, due: float) -> None:
    """Fault 11: on a busy machine time passes between two readings; what falls due then waited for the next tick."""
    monkeypatch.setattr(timekeeper, "TICK_S", 3600.0)
    ticks = count()
    clock: Any = SimpleNamespace(monotonic=lambda: next(ticks) / 10)
    pool: Any = SimpleNamespace(hold=lambda _: 0.0, limit=1, long_holds=lambda _: (), outage_deadline=None, put_off=lambda _: None)
    backlog: Any = SimpleNamespace(ready=(), due=lambda now: int(now >= due), next_due=due)
    dispatcher: Any = SimpleNamespace(pick_probe=lambda _: None)
    halt: Any = SimpleNamespace(sends_nothing=False, stopped=None, paused=False)
    sent: list[int] = []

    workforce: Any = SimpleNamespace(in_flight=0)

    async def keep() -> None:
        keeper = timekeeper.Timekeeper(pool, backlog, dispatcher, workforce, halt, clock, lambda _: None)

        def hire(_: object, wanted: int) -> bool:
            if wanted:
                sent.append(wanted)
                keeper.wake()
            return False

        workforce.hire = hire
        with anyio.fail_after(60):
            async with anyio.create_task_group() as group:
                await keeper.run(group, lambda _: bool(sent), anyio.Event())

    anyio.run(keep)
    assert sent
