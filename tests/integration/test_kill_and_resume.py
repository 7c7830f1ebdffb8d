"""A run that is killed, stopped or cut off goes on, with nothing lost and nothing doubled."""

from __future__ import annotations

import random
import signal
import time
from pathlib import Path

import pytest

from tests.support.jobs import JobFolder, ids
from tests.support.scripted import Action, Received, ScriptedEndpoint, Sleep, answer

CONCURRENCY = 16


def after(seconds: float):
    """A handler that answers after a while."""

    def handler(received: Received) -> list[Action]:
        return [*([Sleep(seconds)] if received.body else []), *answer(received)]

    return handler


def wait_for_requests(endpoint: ScriptedEndpoint, number: int, folder: JobFolder, process) -> None:
    """Wait until the endpoint has seen this many requests; the run must be alive until then."""
    deadline = time.monotonic() + 30
    while len(endpoint.requests) < number:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, f"only {len(endpoint.requests)} of {number} requests came"
        time.sleep(0.005)


@pytest.mark.parametrize("stream", [False, True])
def test_killed_five_times_every_row_has_one_outcome(tmp_path: Path, stream: bool) -> None:
    """Promises 1, 2, 4; fault 36: 2,000 rows, SIGKILL at five random moments: nothing lost, re-sent <= concurrency x kills."""
    rows, kills = 2_000, 5
    chance = random.Random(7)
    with ScriptedEndpoint(after(0.05)) as endpoint:
        folder = JobFolder(tmp_path, endpoint.url, rows=rows, concurrency=CONCURRENCY, stream=stream)
        for kill in range(kills):
            process = folder.start()
            wait_for_requests(endpoint, int((kill + chance.random()) * rows / (kills + 1)), folder, process)
            process.send_signal(signal.SIGKILL)
            process.communicate()
        ended = folder.run()
        sent = endpoint.counts()
    assert ended.returncode == 0, ended.stderr
    assert ids(folder.completions()) == [row["id"] for row in folder.rows]
    assert all(line["completion"] == f"answer to {line['text']}" for line in folder.completions())
    assert len(folder.journal()) == rows
    assert folder.errors() == []
    assert sorted(sent) == sorted(row["text"] for row in folder.rows)
    assert sum(sent.values()) - rows <= CONCURRENCY * kills


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_drains_and_the_same_command_goes_on(tmp_path: Path, number: signal.Signals) -> None:
    """Fault 37: a signal stops reading, lets what is in flight end, and nothing is sent twice by going on."""
    with ScriptedEndpoint(after(0.2)) as endpoint:
        folder = JobFolder(tmp_path, endpoint.url, rows=200, concurrency=CONCURRENCY)
        process = folder.start()
        wait_for_requests(endpoint, 50, folder, process)
        process.send_signal(number)
        out, err = process.communicate(timeout=30)
        assert process.returncode == 130, (out, err)
        assert 49 <= len(folder.journal()) < 200  # one of the 50 requests asked for the models
        ended = folder.run()
        assert ended.returncode == 0, ended.stderr
        assert set(endpoint.counts().values()) == {1}
    assert len(folder.completions()) == 200


def test_a_second_signal_stops_at_once(tmp_path: Path) -> None:
    """Fault 37: the second signal gives up what is in flight; what was journaled stays and the run goes on."""
    with ScriptedEndpoint(after(0.02)) as endpoint:
        folder = JobFolder(tmp_path, endpoint.url, rows=100, concurrency=4)

        def hang_in_the_end(received: Received) -> list[Action]:
            return after(600 if len(endpoint.requests) > 40 else 0.01)(received)

        endpoint.handler = hang_in_the_end
        process = folder.start()
        wait_for_requests(endpoint, 43, folder, process)
        process.send_signal(signal.SIGINT)
        time.sleep(0.3)
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=10)
        assert process.returncode == 130, (out, err)
        endpoint.handler = answer
        assert folder.run().returncode == 0
    assert len(folder.completions()) == 100
