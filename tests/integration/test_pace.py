"""The pace of a real run, as the endpoint sees it."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path

from tests.support.jobs import JobFolder, run_here, whole_records
from tests.support.scripted import Action, Received, ScriptedEndpoint, Sleep, answer, error
from tests.support.scripts import for_rows


def test_auto_finds_what_an_endpoint_bears(tmp_path: Path) -> None:
    """P9: an endpoint that refuses over 20 at once is filled to nearly 20, with few refusals, and every row is answered."""
    served = [0, 0, 0]  # now, at most, refused

    def handler(received: Received) -> Iterator[Action]:
        if served[0] >= 20:
            served[2] += 1
            yield error(429, "slow down")
            return
        served[0] += 1
        served[1] = max(served[:2])
        yield Sleep(0.05)
        served[0] -= 1
        yield from answer(received)

    with ScriptedEndpoint(for_rows(handler)) as endpoint:
        session = run_here(JobFolder(tmp_path, endpoint.url, rows=2000, concurrency="auto"))
    assert (session.exit_code, session.tally.ok, session.tally.failed) == (0, 2000, 0)
    assert served[1] == 20
    assert served[2] <= 0.03 * 2000


def test_a_rate_is_learned_from_refusals(tmp_path: Path) -> None:
    """A limit of 20 requests in any second, Retry-After 1, answers at once: after the start few are refused, and every row is answered.

    How few, and at what speed, is a matter of exact times: tests/unit/policy/test_pace_simulation.py has them.
    """
    admitted: deque[float] = deque()
    refused: list[bool] = []  # of each request

    def handler(received: Received) -> Iterator[Action]:
        now = time.monotonic()
        while admitted and admitted[0] <= now - 1.0:
            admitted.popleft()
        refused.append(len(admitted) >= 20)
        if refused[-1]:
            yield error(429, "slow down", {"retry-after": "1"})
            return
        admitted.append(now)
        yield from answer(received)

    with ScriptedEndpoint(for_rows(handler)) as endpoint:
        session = run_here(JobFolder(tmp_path, endpoint.url, rows=200, concurrency="auto"))
    assert (session.exit_code, session.tally.ok) == (0, 200)
    # A run that learned nothing would send all that it may have in flight after each pause: three of four would be refused.
    assert sum(refused[100:]) <= len(refused[100:]) / 4


def test_requests_per_minute_are_held(tmp_path: Path) -> None:
    """6,000 a minute: no more than 100 and a burst of 20 are sent in any second."""
    with ScriptedEndpoint() as endpoint:
        folder = JobFolder(tmp_path, endpoint.url, rows=300, concurrency=64, requests_per_minute=6000)
        session = run_here(folder)
    assert (session.exit_code, session.tally.ok) == (0, 300)
    # As the journal has it: when they arrive is also a matter of how busy the machine is.
    sent = sorted(record.sent for record in whole_records(folder.directory) if record.sent is not None)
    assert len(sent) == 300
    assert all(late - early > 1.0 for early, late in zip(sent, sent[125:], strict=False))
