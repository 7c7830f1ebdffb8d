"""A run that a second process steers by `promptmill ctl`: paused, limited, retried, stopped; rows and money add up."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from batch.app import status
from batch.app.control import control
from batch.rundir.control_socket import NAME
from tests.support.jobs import JobFolder, ids, lines_of, rows_sent
from tests.support.metrics import samples, scraped
from tests.support.processes import free_port
from tests.support.scripted import PATIENCE_S, Action, Received, ScriptedEndpoint, Sleep, answer, error
from tests.support.scripts import for_rows, row_number, until, wait_for, wait_for_requests
from tests.support.stores import S3Server, StoreJob

BAD = (3, 5, 8)
ROWS = 2000
PRICE = "price = {input = 1000.0, output = 1000.0}"


class Gate:
    """Answers rows while fewer than `most` requests have come, and refuses those of BAD until they are mended; counts what is in flight."""

    def __init__(self, most: int) -> None:
        self.mended = False
        self.most = most
        self.takes_s = 0.002
        self.in_flight = self.peak = 0

    def __call__(self, received: Received) -> Iterable[Action]:
        if row_number(received) in BAD and not self.mended:
            return [error(400, {"error": {"message": "too long", "code": "context_length_exceeded"}})]
        return self._answer(received)

    def _answer(self, received: Received) -> Iterable[Action]:
        self.in_flight += 1
        self.peak = max(self.peak, self.in_flight)
        try:
            yield from until(lambda: received.number <= self.most)
            yield Sleep(self.takes_s)
            yield from answer(received)
        finally:
            self.in_flight -= 1


def ctl(folder: JobFolder, *words: str) -> dict[str, Any]:
    """`promptmill ctl` in a process of its own; returns its JSON."""
    ended = folder.run("ctl", str(folder.directory), *words, "--json", measured=False)
    assert ended.stdout, ended.stderr
    answered: dict[str, Any] = json.loads(ended.stdout)
    assert answered["format"] == 1
    assert ended.returncode == (0 if answered["ok"] else 2)
    return answered


def state(folder: JobFolder) -> dict[str, Any]:
    """The state of the run, asked in this process."""
    return control(folder.directory, "state")


def in_flight(folder: JobFolder) -> int:
    """Requests in flight, as the run says."""
    return sum(each["in_flight"] for each in state(folder).get("variants", {}).values())


def agree(folder: JobFolder, found: dict[str, float]) -> bool:
    """Whether a scrape has as many rows done as the status that is asked next."""
    (shown,) = status(folder.directory).variants
    return found["promptmill_done"] == shown.ok + shown.failed and found["promptmill_rows"] == shown.total


@pytest.mark.parametrize(("rows", "processes"), [pytest.param(20_000, 1, marks=pytest.mark.long), (1500, 1), (1500, 2)])
def test_a_script_steers_a_run(tmp_path: Path, rows: int, processes: int) -> None:
    """Paused, resumed, limited, three rows retried, given a budget and stopped by a second process: nothing is lost, money adds up.

    Metrics, scraped in a pause, before the stop and at the end, agree with the status.
    """
    port = free_port()
    gate = Gate(rows // 10)
    with ScriptedEndpoint(for_rows(gate)) as endpoint:
        folder = JobFolder(
            tmp_path, endpoint.url, rows=rows, processes=processes, concurrency=16, parameters=PRICE, metrics=f"127.0.0.1:{port}"
        )
        process = folder.start()
        wait_for_requests(endpoint, rows // 10, process)

        assert ctl(folder, "pause")["ok"]
        gate.most = rows
        wait_for(lambda: in_flight(folder) == 0 and gate.in_flight == 0, process)
        sent = len(endpoint.requests)
        assert sent < rows // 2
        shown = state(folder)
        assert (shown["paused"], shown["concurrency"]) == (True, 16)
        assert ctl(folder, "set", "concurrency=2")["ok"]
        assert len(endpoint.requests) == sent
        # Counts of worker processes come when those check in.
        wait_for(lambda: scraped(port)["promptmill_requests_total"] == rows_sent(endpoint) and agree(folder, scraped(port)), process)
        assert scraped(port)["promptmill_limit_concurrency"] == 2
        gate.peak, gate.most = 0, sent + rows // 10
        assert ctl(folder, "resume")["ok"]
        wait_for_requests(endpoint, gate.most, process)
        assert 1 <= gate.peak <= 2

        gate.mended = True
        assert ctl(folder, "set", "concurrency=32", "requests_per_minute=none", "max_cost_usd=1000000")["ok"]
        answered = ctl(folder, "retry", *(f"r{number}" for number in BAD))
        assert (answered["ok"], answered["tasks"]) == (True, 3), answered
        again = ctl(folder, "retry", f"r{BAD[0]}", f"r{rows - 1}", "r99999999")
        assert not again["ok"]
        assert "r99999999" in again["message"]
        if processes == 1:
            gate.most = rows - 60
            counts = endpoint.counts
            # The last rows wait at the gate: the run cannot end before it is stopped.
            wait_for(lambda: sum(counts()[f"question {number}"] for number in BAD) == 6 and len(endpoint.requests) > rows - 60, process)
            assert 0 < state(folder)["spent_usd"] < 1_000_000
            wait_for(lambda: gate.in_flight == in_flight(folder) and agree(folder, scraped(port)), process)
            assert ctl(folder, "stop")["ok"]
        # Workers send them with a lease of their own, which may come last.
        gate.most = 10 * rows
        out, err = process.communicate(timeout=PATIENCE_S)
        assert process.returncode == (130 if processes == 1 else 0), (out, err)
        before_usd = status(folder.directory).variants[0].cost_usd
        ended = folder.run("run", folder.job.name, "--set", f"run.metrics={tmp_path / 'run.prom'}")
        assert ended.returncode == 0, ended.stderr
        counts = endpoint.counts()
    assert ids(folder.completions()) == [row["id"] for row in folder.rows]
    assert not folder.errors()
    assert {name: count for name, count in counts.items() if count != 1} == {f"question {number}": 2 for number in BAD}
    checked = folder.call("verify", str(folder.directory))
    assert (checked.returncode, "sound and complete" in checked.stdout) == (0, True), checked.stdout
    records = {(record["row"], record["ok"]): record for record in folder.journal() if "row" in record}
    assert status(folder.directory).variants[0].cost_usd == pytest.approx(sum(each["cost_usd"] or 0 for each in records.values()))
    found = samples((tmp_path / "run.prom").read_text())
    assert agree(folder, found)
    assert (found["promptmill_done"], found["promptmill_not_attempted"], found["promptmill_in_flight"]) == (rows, 0, 0)
    assert found["promptmill_cost_usd_total"] == pytest.approx(status(folder.directory).variants[0].cost_usd - before_usd)
    words = [line["command"] for line in lines_of(folder.directory / "control.jsonl")]
    assert words == ["pause", "set", "resume", "set", "retry", "retry", *(["stop"] if processes == 1 else [])]
    assert not (folder.directory / NAME).exists()


def steer(process: subprocess.Popen[str], endpoint: ScriptedEndpoint, gate: Gate, place: Path | str) -> None:
    """Pause a run of ROWS rows after 150, lower its limit, resume, mend its bad rows and retry them; then let it end."""
    wait_for_requests(endpoint, 150, process)
    assert control(place, "pause")["ok"]
    # Workers hear of it when they check in, and send meanwhile; not all rows.
    gate.takes_s, gate.most = 0.05, ROWS
    wait_for(lambda: all(each["in_flight"] == 0 for each in control(place, "state")["variants"].values()) and not gate.in_flight, process)
    sent = len(endpoint.requests)
    assert control(place, "set", ["concurrency=2", "max_cost_usd=1000"])["ok"]
    assert sent < ROWS - 300
    gate.peak, gate.most, gate.mended, gate.takes_s = 0, sent + 200, True, 0.002
    assert len(endpoint.requests) == sent
    assert control(place, "resume")["ok"]
    wait_for_requests(endpoint, sent + 30, process)
    assert 1 <= gate.peak <= 2
    assert control(place, "set", ["concurrency=32"])["ok"]
    retried = control(place, "retry", [f"r{number}" for number in BAD])
    assert (retried["ok"], retried["tasks"]) == (True, 3), retried
    # The run could not end before.
    gate.most = 10 * ROWS
    _, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, err
    assert {name: count for name, count in endpoint.counts().items() if count != 1} == {f"question {number}": 2 for number in BAD}


@pytest.mark.parametrize("processes", [1, 2])
def test_a_run_on_a_store_is_steered_by_its_address(s3: S3Server, tmp_path: Path, processes: int) -> None:
    """On the machine that runs it, by s3://…: paused, limited, retried, in one process and in two; the commands are kept with the run."""
    gate = Gate(150)
    with ScriptedEndpoint(for_rows(gate)) as endpoint:
        folder = StoreJob(tmp_path, endpoint.url, s3, rows=ROWS, processes=processes, parameters=PRICE)
        steer(folder.start(measured=False), endpoint, gate, folder.address)
    completions = [json.loads(line) for line in s3.get(f"{folder.at}/completions.jsonl").splitlines()]
    assert ids(completions) == [row["id"] for row in folder.rows]
    assert [each.command for each in status(folder.address).commands] == ["pause", "set", "resume", "set", "retry"]
