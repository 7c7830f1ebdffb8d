"""A job over several worker processes: the same outcomes and outputs as with one, whatever becomes of the workers."""

from __future__ import annotations

import json
import math
import os
import random
import signal
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import IO

import pytest

from batch.app import status
from batch.executors.workers import local
from tests.support.jobs import JobFolder, check_accounts, ids, run_here, whole_records
from tests.support.processes import sending_workers, wait_until_gone, workers_of
from tests.support.scripted import Action, Received, ScriptedEndpoint, answer, chat_reply, error
from tests.support.scripts import after, for_rows, until, wait_for_line, wait_for_requests

CONCURRENCY = 16


class Gate:
    """Answers rows after a while, but those beyond a number of requests only when it is open: a run cannot end before it is struck."""

    def __init__(self, endpoint: ScriptedEndpoint) -> None:
        self._endpoint = endpoint
        self._most = math.inf
        endpoint.handler = for_rows(self._handle)

    def close_after(self, most: int) -> None:
        """Answer no more than about this many requests."""
        self._most = most

    def open(self) -> None:
        """Answer all."""
        self._most = math.inf

    def _handle(self, received: Received) -> Iterable[Action]:
        number = len(self._endpoint.requests)
        yield from until(lambda: number <= self._most)
        yield from after(0.02)(received)


def outputs_of(folder: JobFolder) -> list[dict[str, object]]:
    """The lines of both outputs, in their order, without the times and how often was tried."""
    return [{**line, "latency_s": None, "attempts": None} for line in (*folder.completions(), *folder.errors())]


def moody(received: Received) -> list[Action]:
    """Rows that are refused, and all others answered."""
    refused = received.body and received.prompt.endswith("7") and received.prompt[-2:] in {"07", "57"}
    return [error(400, "no such word")] if refused else list(answer(received))


def test_outputs_are_those_of_one_process(tmp_path: Path) -> None:
    """Answers, failures, bad rows, ids, places and order are the same with 1 and 3 processes, and `verify` finds both sound."""
    rows = [{"id": f"r{number}", "text": f"question {number}"} for number in range(1200)]
    read = []
    with ScriptedEndpoint(moody) as endpoint:
        for processes in (1, 3):
            (tmp_path / str(processes)).mkdir()
            folder = JobFolder(tmp_path / str(processes), endpoint.url, rows=rows, processes=processes, repeats=2)
            source = folder.path / "rows.jsonl"
            source.write_text(source.read_text().replace('{"id": "r600"', '\n{"id": flaw').replace('{"id": "r900",', '{"id": "r900" '))
            ended = folder.run()
            assert ended.returncode == 1, ended.stderr
            assert folder.call("verify", str(folder.directory)).returncode == 0
            read.append(outputs_of(folder))
    assert read[0] == read[1]
    assert len(read[0]) == 2400
    # With one process there is one file; with several each shard has its own.
    assert len(list((tmp_path / "3").glob("runs/test/journal/*/*-*.jsonl"))) == 5


def test_a_killed_worker_costs_what_was_in_flight(tmp_path: Path) -> None:
    """Promises 1, 2, 4; fault 36: one of 2 workers gets SIGKILL twice: others take its rows, each row has one outcome, counts are exact."""
    rows = 2000
    with ScriptedEndpoint() as endpoint:
        folder = JobFolder(tmp_path, endpoint.url, rows=rows, processes=2, concurrency=CONCURRENCY)
        gate = Gate(endpoint)
        process = folder.start()
        for kill in (1, 2):
            gate.close_after(kill * rows // 3)
            wait_for_requests(endpoint, kill * rows // 3, process)
            os.kill(random.Random(kill).choice(sending_workers(process.pid, endpoint.port)), signal.SIGKILL)
        gate.open()
        out, err = process.communicate()
        sent = endpoint.counts()
    assert process.returncode == 0, (out, err)
    assert err.count("was killed by SIGKILL") == 2
    assert "2,000 = 2,000 ok + 0 failed + 0 not attempted" in err
    assert ids(folder.completions()) == [row["id"] for row in folder.rows]
    assert sum(sent.values()) - rows <= 2 * CONCURRENCY
    assert set(sent) == {row["text"] for row in folder.rows}
    assert list(folder.directory.glob("journal/*/*.sealed"))
    checked = folder.call("verify", str(folder.directory))
    assert (checked.returncode, "sound and complete" in checked.stdout) == (0, True), checked.stdout
    check_accounts(folder)


def test_a_run_goes_on_with_any_number_of_processes(tmp_path: Path) -> None:
    """Promises 1 to 4: killed with 2, 1 and 3 processes and finished with 1: nothing lost, nothing doubled, no worker left behind."""
    rows = 1500
    with ScriptedEndpoint() as endpoint:
        folder = JobFolder(tmp_path, endpoint.url, rows=rows, concurrency=CONCURRENCY)
        gate = Gate(endpoint)
        for kill, processes in enumerate((2, 1, 3), 1):
            gate.close_after(kill * rows // 4)
            process = folder.start("run", folder.job.name, "--set", f"run.processes={processes}", measured=False)
            wait_for_requests(endpoint, kill * rows // 4, process)
            workers = workers_of(process.pid)
            assert len(workers) == (processes if processes > 1 else 0)
            process.kill()
            process.communicate()
            wait_until_gone(workers)
        gate.open()
        ended = folder.call()
        sent = endpoint.counts()
    assert ended.returncode == 0, ended.stderr
    assert ids(folder.completions()) == [row["id"] for row in folder.rows]
    assert all(line["completion"] == f"answer to {line['text']}" for line in folder.completions())
    assert sum(sent.values()) - rows <= 3 * CONCURRENCY
    assert not list(folder.directory.glob(".known-*")) or folder.call().returncode == 0
    assert folder.call("verify", str(folder.directory)).returncode == 0


def test_a_rate_holds_over_all_processes(tmp_path: Path) -> None:
    """400 rows at 6,000 a minute take 4 s with 3 processes, as with one: the limit is of all together."""
    with ScriptedEndpoint(answer) as endpoint:
        folder = JobFolder(tmp_path, endpoint.url, rows=400, processes=3, requests_per_minute=6000, concurrency=CONCURRENCY)
        seen: list[float] = []

        def note(received: Received) -> list[Action]:
            if received.body:
                seen.append(time.monotonic())
            return list(answer(received))

        endpoint.handler = note
        assert run_here(folder).exit_code == 0
    assert len(seen) == 400
    assert seen[-1] - seen[0] >= 400 / 100 - 0.5
    assert endpoint.max_concurrent <= CONCURRENCY


def test_concurrency_holds_over_all_processes(tmp_path: Path) -> None:
    """All workers together have no more requests in flight than one process may."""
    with ScriptedEndpoint(after(0.03)) as endpoint:
        folder = JobFolder(tmp_path, endpoint.url, rows=1000, processes=3, concurrency=7)
        assert run_here(folder).exit_code == 0
        assert endpoint.max_concurrent == 7


def test_a_stop_verdict_of_one_worker_stops_all(tmp_path: Path) -> None:
    """A key that is refused in mid-run ends the run with 5; every row is accounted for, and the same command goes on."""
    with ScriptedEndpoint(after(0.01)) as endpoint:
        folder = JobFolder(tmp_path, endpoint.url, rows=2000, processes=2, concurrency=CONCURRENCY)

        def refuse(received: Received) -> Iterable[Action]:
            return [error(401, "key revoked")] if len(endpoint.requests) > 600 and received.body else after(0.01)(received)

        endpoint.handler = refuse
        session = run_here(folder)
        assert (session.exit_code, "key revoked" in session.reason) == (5, True)
        assert 500 <= session.tally.ok < 2000
        endpoint.handler = answer
        assert run_here(folder, "run.processes=1").exit_code == 0


def test_a_job_that_is_wrong_ends_early(tmp_path: Path) -> None:
    """When the first rows of all workers fail for one and the same reason, the run ends, and soon."""
    with ScriptedEndpoint(lambda received: [error(400, "no such parameter")] if received.body else answer(received)) as endpoint:
        folder = JobFolder(tmp_path, endpoint.url, rows=5000, processes=2, concurrency=CONCURRENCY)
        session = run_here(folder)
    assert (session.exit_code, "rows all failed with bad_request" in session.reason) == (5, True)
    assert session.tally.failed < 2500


@pytest.mark.parametrize("signals", [1, 2])
def test_a_signal_drains_all_workers(tmp_path: Path, signals: int) -> None:
    """Fault 37: Ctrl-C, which a terminal sends to the whole group, lets what is in flight end; a second one does not."""
    with ScriptedEndpoint(after(0.2 if signals == 1 else 1000)) as endpoint:
        folder = JobFolder(tmp_path, endpoint.url, rows=1000, processes=2, concurrency=CONCURRENCY, grace_s=3600)
        process = folder.start(start_new_session=True)
        wait_for_requests(endpoint, 3 if signals == 1 else CONCURRENCY // 2, process)
        workers = workers_of(process.pid)
        os.killpg(process.pid, signal.SIGINT)
        wait_for_line("stopping", process)
        if signals == 2:
            os.killpg(process.pid, signal.SIGINT)
        out, err = process.communicate()
        assert process.returncode == 130, (out, err)
        wait_until_gone(workers)
        if signals == 1:
            assert len(folder.journal()) == sum(1 for received in endpoint.requests if received.body)
        endpoint.handler = answer
        ended = folder.call()
    assert ended.returncode == 0, ended.stderr
    assert len(folder.completions()) == 1000


def test_a_worker_that_hangs_loses_its_rows_to_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Promise 7: a stopped worker does not hold the run up; what it writes after it was given up does not count (it is killed)."""
    monkeypatch.setattr(local, "SILENT_S", 2.0)
    with ScriptedEndpoint(after(0.01)) as endpoint:
        folder = JobFolder(tmp_path, endpoint.url, rows=1500, processes=2, concurrency=CONCURRENCY)
        stopped: list[int] = []

        def stop_one(received: Received) -> Iterable[Action]:
            if len(endpoint.requests) >= 300 and not stopped:
                stopped.append(sending_workers(os.getpid(), endpoint.port)[0])
                os.kill(stopped[0], signal.SIGSTOP)
            return after(0.01)(received)

        endpoint.handler = stop_one
        session = run_here(folder)
    assert session.exit_code == 0
    assert any("was killed by SIGKILL" in notice and "takes over its rows" in notice for notice in session.notices)


def test_workers_that_cannot_begin_end_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that ends before it has said anything is not started for ever: the run ends, and says what it said."""
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with ScriptedEndpoint(answer) as endpoint:
        session = run_here(JobFolder(tmp_path, endpoint.url, rows=600, processes=2))
    assert (session.exit_code, session.tally.not_attempted) == (5, 600)
    assert "a worker process ended with code 1 before it began" in session.reason


def test_a_worker_that_is_killed_before_it_begins_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Promise 1: where memory is short a worker may be killed while it still loads its code: another comes, and every row is done."""
    start, killed = local._start, []

    async def start_and_kill_one(errors: IO[bytes]):
        process, wire = await start(errors)
        if not killed:
            killed.append(process.pid)
            process.kill()
        return process, wire

    monkeypatch.setattr(local, "_start", start_and_kill_one)
    with ScriptedEndpoint(answer) as endpoint:
        session = run_here(JobFolder(tmp_path, endpoint.url, rows=600, processes=2))
    assert (session.exit_code, session.tally.ok) == (0, 600)
    assert any(f"worker process {killed[0]} was killed by SIGKILL" in notice for notice in session.notices)


def test_a_worker_that_never_begins_ends_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Promise 7: workers that hang while they load are given up by a deadline, and others would hang as well: the run ends with 5."""
    monkeypatch.setattr(local, "BEGIN_S", 1.0)
    hanging = tmp_path / "hanging"
    hanging.write_text("#!/bin/sh\nexec sleep 1000\n")
    hanging.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(hanging))
    with ScriptedEndpoint(answer) as endpoint:
        session = run_here(JobFolder(tmp_path, endpoint.url, rows=600, processes=2))
    assert (session.exit_code, session.tally.not_attempted, session.reason) == (5, 600, "a worker process had not begun after 1 s")


def test_failed_rows_are_sent_again_by_workers_too(tmp_path: Path) -> None:
    """--retry-failed sends the failed rows and nothing else, whoever recorded them, and their new outcomes win."""
    with ScriptedEndpoint(moody) as endpoint:
        folder = JobFolder(tmp_path, endpoint.url, rows=1000, processes=2)
        first = run_here(folder)
        assert (first.exit_code, first.tally.failed) == (1, 19)
        before = len(endpoint.requests)
        endpoint.handler = answer
        again = run_here(folder, retry_failed=True)
    assert (again.exit_code, again.tally.ok, again.tally.kept_failed) == (0, 19, 0)
    assert len(endpoint.requests) - before == 20
    assert len(folder.completions()) == 1000


def test_a_budget_holds_over_all_processes(tmp_path: Path) -> None:
    """The run ends with 4 before it spends more than max_cost_usd, and comes near it; the rest of the rows are not attempted."""
    with ScriptedEndpoint(lambda received: [chat_reply("ok", usage={"prompt_tokens": 10, "completion_tokens": 8})]) as endpoint:
        folder = JobFolder(
            tmp_path,
            endpoint.url,
            rows=2000,
            processes=2,
            concurrency=CONCURRENCY,
            max_cost_usd=1.0,
            preflight=False,
            parameters="max_tokens = 8\nprice = { input = 0.0, output = 125.0 }",
        )
        session = run_here(folder)
    # 8 tokens at $125 a million are a tenth of a cent: 1,000 rows for a dollar.
    assert (session.exit_code, session.report.cause) == (4, "budget")
    assert 990 <= session.tally.ok <= 1000
    assert sum(record.cost_usd or 0 for record in whole_records(folder.directory)) <= 1.0 + 1e-9


def test_each_endpoint_goes_at_its_own_speed(tmp_path: Path) -> None:
    """Two models at two endpoints: the fast one is finished although the slow one is not, and each row has both answers."""
    with ScriptedEndpoint(after(0.02)) as slow, ScriptedEndpoint(answer) as fast:
        folder = JobFolder(
            tmp_path, slow.url, rows=600, processes=2, concurrency=CONCURRENCY, provider=f'[provider.fast]\nbase_url = "{fast.url}"'
        )
        folder.job.write_text(folder.job.read_text() + '\n[[model]]\nid = "fast/test-model"\n')
        ended = folder.call()
        assert ended.returncode == 0, ended.stderr
        assert [sum(1 for received in endpoint.requests if received.body) for endpoint in (slow, fast)] == [600, 600]
    assert [variant.ok for variant in status(folder.directory).variants] == [600, 600]
    assert len(folder.completions()) == 1200


def test_few_rows_need_no_second_process(tmp_path: Path) -> None:
    """What fits into one shard is sent by one process, "auto" or not: starting another costs more than it gives."""
    with ScriptedEndpoint(answer) as endpoint:
        folder = JobFolder(tmp_path, endpoint.url, rows=100, processes="auto")
        assert run_here(folder).exit_code == 0
    assert [path.name for path in folder.directory.glob("journal/*/*")] == ["000001.jsonl"]


def test_each_row_can_be_synced_at_once(tmp_path: Path) -> None:
    """Durability = "row" holds in workers as well, and where and limit choose the rows that they choose for one process."""
    with ScriptedEndpoint(answer) as endpoint:
        folder = JobFolder(tmp_path, endpoint.url, rows=900, processes=2, durability="row")
        text = folder.job.read_text()
        folder.job.write_text(text.replace('id = "id"\n', 'id = "id"\nwhere = "id != \\"r5\\""\nlimit = 700\n', 1))
        ended = folder.call()
        assert ended.returncode == 0, ended.stderr
    assert ids(folder.completions()) == [f"r{number}" for number in range(701) if number != 5]
    assert json.loads((folder.directory / "run.json").read_text())["rows"] == 700


def test_workers_know_what_an_earlier_session_answered(tmp_path: Path) -> None:
    """Fault 63: an endpoint that refuses everything in the second session, in unknown words, is tested with answered rows: no row fails."""
    refusal = error(400, "Das Konto ist erschöpft")

    with ScriptedEndpoint() as endpoint:
        folder = JobFolder(tmp_path, endpoint.url, rows=100, concurrency=4, processes=2, outage_timeout_s=1.0)
        assert run_here(folder).exit_code == 0
        folder.rows = [{"id": f"r{n}", "text": f"question {n}"} for n in range(400)]
        (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in folder.rows))
        endpoint.handler = for_rows(lambda _: [refusal])
        session = run_here(folder)
        assert (session.exit_code, session.tally.failed, session.tally.not_attempted) == (5, 0, 300)
        assert "Das Konto ist erschöpft" in session.reason
