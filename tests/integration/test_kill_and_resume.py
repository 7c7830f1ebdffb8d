"""A run that is killed, stopped or cut off goes on, with nothing lost and nothing doubled."""

from __future__ import annotations

import random
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.jobs import JobFolder, ids, rows_sent
from tests.support.scripted import HANG, Action, Received, ScriptedEndpoint, answer
from tests.support.scripts import after, for_rows, until, wait_for, wait_for_line, wait_for_requests

CONCURRENCY = 16


@pytest.mark.parametrize("stream", [False, True])
def test_killed_five_times_every_row_has_one_outcome(tmp_path: Path, stream: bool) -> None:
    """Promises 1, 2, 4; fault 36: SIGKILL at five random moments: nothing lost, re-sent <= concurrency x kills."""
    rows, kills = 800, 5
    chance = random.Random(7)
    with ScriptedEndpoint(after(0.05)) as endpoint:
        folder = JobFolder(tmp_path, endpoint.url, rows=rows, concurrency=CONCURRENCY, stream=stream)
        for kill in range(kills):
            process = folder.start(measured=False)
            wait_for_requests(endpoint, int((kill + chance.random()) * rows / (kills + 1)), process)
            process.send_signal(signal.SIGKILL)
            process.communicate()
        ended = folder.call()
        sent = endpoint.counts()
    assert ended.returncode == 0, ended.stderr
    assert ids(folder.completions()) == [row["id"] for row in folder.rows]
    assert all(line["completion"] == f"answer to {line['text']}" for line in folder.completions())
    assert len(folder.journal()) == rows
    assert folder.errors() == []
    assert sorted(sent) == sorted(row["text"] for row in folder.rows)
    assert sum(sent.values()) - rows <= CONCURRENCY * kills


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_drains_and_the_same_command_goes_on(tmp_path: Path, number: signal.Signals) -> None:
    """Faults 37 and 75: a signal, a closed terminal too, stops reading, lets requests in flight end, and continuing sends nothing twice."""
    drained = False

    def handler(received: Received) -> Iterator[Action]:
        if rows_sent(endpoint) > 50:
            yield from until(lambda: drained)
        yield from answer(received)

    with ScriptedEndpoint(for_rows(handler)) as endpoint:
        folder = JobFolder(tmp_path, endpoint.url, rows=200, concurrency=CONCURRENCY)
        process = folder.start()
        wait_for(lambda: rows_sent(endpoint) > 50, process)
        process.send_signal(number)
        wait_for_line("stopping", process)
        drained = True
        out, err = process.communicate()
        assert process.returncode == 130, (out, err)
        assert 50 < len(folder.journal()) == rows_sent(endpoint) <= 50 + CONCURRENCY
        ended = folder.call()
        assert ended.returncode == 0, ended.stderr
        assert set(endpoint.counts().values()) == {1}
    assert len(folder.completions()) == 200


def test_a_second_signal_stops_at_once(tmp_path: Path) -> None:
    """Fault 37: the second signal gives up what is in flight; what was journaled stays and the run goes on."""
    with ScriptedEndpoint(for_rows(lambda received: [HANG] if rows_sent(endpoint) > 40 else answer(received))) as endpoint:
        folder = JobFolder(tmp_path, endpoint.url, rows=100, concurrency=4, grace_s=3600)
        process = folder.start()
        wait_for(lambda: rows_sent(endpoint) >= 44, process)
        process.send_signal(signal.SIGINT)
        wait_for_line("stopping", process)
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        out, err = process.communicate()
        assert process.returncode == 130, (out, err)
        assert len(folder.journal()) == 40
        endpoint.handler = answer
        assert folder.call().returncode == 0
    assert len(folder.completions()) == 100
