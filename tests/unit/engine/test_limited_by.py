"""What limits a pool of workers, named from its queue, its slots and its endpoints."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest

from batch.engine.limited_by import limited_by

NOW = 100.0


def named(
    *,
    ready: int = 5,
    due: float = math.inf,
    full: bool = False,
    in_flight: int = 2,
    limit: int = 20,
    hold: float = 0.0,
    rate: float = 0.0,
    paused: float = 0.0,
    closed: bool = True,
    learned: bool = False,
    exhausted: bool = False,
    is_behind: bool = False,
) -> str:
    """The cause in such a state."""
    limiter = SimpleNamespace(
        rates=SimpleNamespace(hold=lambda _: rate),
        paused=lambda _: paused,
        breaker=SimpleNamespace(closed=closed),
        learned=SimpleNamespace(is_active=learned),
    )
    pool: Any = SimpleNamespace(
        endpoints=[SimpleNamespace(in_flight=in_flight, limiter=limiter)],
        limit=limit,
        hold=lambda _: hold,
        bytes=SimpleNamespace(is_full=False),
    )

    class Waiting:
        next_due = due
        is_full = full

        def __bool__(self) -> bool:
            return bool(ready) or due < math.inf

    backlog: Any = Waiting()
    backlog.ready = list(range(ready))
    return limited_by(pool, backlog, exhausted=exhausted, is_behind=is_behind, now=NOW)


@pytest.mark.parametrize(
    ("state", "cause"),
    [
        ({}, "machine"),
        ({"in_flight": 20}, "concurrency"),
        ({"in_flight": 18}, "concurrency"),
        ({"in_flight": 1, "limit": 1}, "concurrency"),
        ({"hold": 3.0, "rate": 3.0}, "rate"),
        ({"learned": True}, "rate"),
        ({"hold": 3.0, "paused": 3.0, "learned": True}, "server"),
        ({"hold": 3.0, "paused": 3.0}, "server"),
        ({"hold": math.inf, "closed": False}, "server"),
        ({"ready": 0}, "input"),
        ({"ready": 0, "full": True, "due": NOW + 5}, "server"),
        ({"ready": 0, "due": NOW + 5, "exhausted": True, "in_flight": 0}, "server"),
        ({"ready": 0, "exhausted": True}, "server"),
        ({"ready": 0, "exhausted": True, "in_flight": 0}, "idle"),
        ({"ready": 0, "due": NOW - 1}, "machine"),
        ({"is_behind": True, "in_flight": 20}, "disk"),
    ],
    ids=str,
)
def test_each_cause_is_named(state: dict[str, Any], cause: str) -> None:
    """The disk before all else, then a lack of rows, full slots, rates, the endpoint, and at last this machine."""
    assert named(**state) == cause
