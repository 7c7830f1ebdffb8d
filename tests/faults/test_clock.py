"""A machine whose clock is set while a run goes on: fault 57."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from batch import app
from batch.clock import SystemClock
from batch.job import load
from tests.support.jobs import JobFolder
from tests.support.scripted import Action, Received, ScriptedEndpoint, answer, error

HOUR_S = 3600.0


@pytest.mark.parametrize("jump_s", [-HOUR_S, HOUR_S])
def test_the_wall_clock_is_read_once(monkeypatch: pytest.MonkeyPatch, jump_s: float) -> None:
    """Fault 57: after its start a clock goes on evenly, whatever the machine's is set to."""
    clock = SystemClock()
    before = clock.wall() - clock.monotonic()
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + jump_s)
    assert clock.wall() - clock.monotonic() == pytest.approx(before, abs=1.0)


@pytest.mark.parametrize("jump_s", [-HOUR_S, HOUR_S])
def test_a_run_does_not_notice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, jump_s: float) -> None:
    """Fault 57: waits, deadlines and recorded times hold when the clock is set back or forward in the middle of a run."""
    real = time.time
    began = real()

    def handler(received: Received) -> list[Action]:
        if received.number == 10:
            monkeypatch.setattr(time, "time", lambda: real() + jump_s)
            return [error(429, "slow down", {"retry-after": "0.2"})]
        return list(answer(received))

    with ScriptedEndpoint(handler) as endpoint:
        folder = JobFolder(tmp_path, endpoint.url, rows=40, concurrency=4)
        monkeypatch.chdir(tmp_path)
        report = app.run(load(folder.job), app.RunOptions(), [])
    ended = real()
    assert report.exit_code == 0
    assert len(folder.completions()) == 40
    for record in folder.journal():
        assert began <= record["sent"] <= record["done"] <= ended
