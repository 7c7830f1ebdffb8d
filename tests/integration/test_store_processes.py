"""Run directories on an object store that several processes write: killed, paused and gone on with."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from batch import app
from batch.journal.index import ResumeIndex
from batch.journal.segment_name import SegmentName
from batch.rundir.opening import open_run_directory
from tests.support.processes import wait_until_gone, workers_of
from tests.support.scripted import Action, Received, ScriptedEndpoint, Sleep, answer
from tests.support.scripts import wait_for
from tests.support.stores import CONCURRENCY, S3Server, StoreJob, slow

# A worker of generation 1, which is paused while its second record waits to be put.
PAUSED = """
import os, signal, sys
import anyio
from batch.journal.lines import encode
from batch.rundir.opening import open_run_directory
from batch.journal.segment_name import SegmentName
from batch.settings import RunSettings
from tests.support.stores import outcome

async def main():
    journal = open_run_directory(sys.argv[1]).open_lease("m", SegmentName(1, 0, 1), RunSettings())
    for ordinal in (1, 2):
        journal.append(encode(outcome(ordinal, text="paused")))
        if ordinal == 2:
            print("paused", flush=True)
            os.kill(os.getpid(), signal.SIGSTOP)
        print(await journal.sync(), flush=True)

anyio.run(main)
"""


def test_killed_workers_and_commands_on_the_store(s3: S3Server, tmp_path: Path) -> None:
    """Promises 1, 2, 4: one process is killed, then two workers, then the whole command: each row one outcome, re-sent bounded."""
    with ScriptedEndpoint(slow) as endpoint:
        folder = StoreJob(tmp_path, endpoint.url, s3, rows=1_000, concurrency=16)
        # No session can end before it is killed, however slow the machine is: what comes beyond this gets no answer.
        answered = 400.0
        endpoint.handler = lambda received: slow(received) if len(endpoint.requests) < answered else [Sleep(1000)]
        alone = folder.start()
        wait_for(folder.segments, alone)
        alone.kill()
        alone.communicate()
        bound = len(endpoint.counts()) - len(folder.recorded())

        answered = len(endpoint.requests) + 300
        shared = folder.start("run", folder.job.name, "--set", "run.processes=2")
        wait_for(lambda: any("/000002-0" in name and "-001-" in name for name in folder.segments()), shared)
        recorded, workers = len(folder.recorded()), workers_of(shared.pid)
        assert len(workers) == 2
        for worker in workers:
            os.kill(worker, signal.SIGKILL)
        wait_until_gone(workers)
        bound += len(endpoint.counts()) - recorded
        answered = len(endpoint.requests) + 200
        wait_for(lambda: any("/000002-0" in name and "-002-" in name for name in folder.segments()), shared)
        assert any(name.endswith(".sealed") for name in s3.names(folder.at))
        workers = workers_of(shared.pid)
        shared.kill()
        shared.communicate()
        wait_until_gone(workers)
        bound += len(endpoint.counts()) - len(folder.recorded())

        answered = float("inf")
        ended = folder.run("resume", folder.address)
        assert ended.returncode == 0, ended.stderr
        # And what was on its way at each kill, and came to the endpoint later.
        assert sum(endpoint.counts().values()) - 1_000 <= bound + 3 * 16
    assert folder.recorded() == {row["id"] for row in folder.rows}
    completions = s3.get(f"{folder.at}/completions.jsonl").splitlines()
    assert [json.loads(line)["id"] for line in completions] == [row["id"] for row in folder.rows]
    checked = app.verify(folder.address)
    assert checked.complete
    assert checked.sound


def test_counts_are_those_of_the_store_when_workers_die(s3: S3Server, tmp_path: Path) -> None:
    """Promises 1, 2: what a dead worker had told of and not put is not counted; its rows are sent again, and what was put is durable."""
    with ScriptedEndpoint(slow) as endpoint:
        # So long an interval that nothing is put before the worker dies, but what its finished shards have.
        folder = StoreJob(tmp_path, endpoint.url, s3, rows=1_000, processes=2, flush_interval_s=1000.0)
        killed: list[int] = []

        def kill_both(received: Received) -> list[Action]:
            if len(endpoint.requests) == 600:
                killed.extend(workers_of(os.getpid()))
                for worker in killed:
                    os.kill(worker, signal.SIGKILL)
            return slow(received)

        endpoint.handler = kill_both
        report = folder.here()
        sent = sum(endpoint.counts().values())
    (tally,) = report.tallies.values()
    assert len(killed) == 2
    assert (report.exit_code, tally.ok, tally.failed, tally.durable, tally.in_flight) == (0, 1_000, 0, 1_000, 0)
    assert sent > 1_000 + CONCURRENCY
    assert 0 < tally.doubled <= sent - 1_000
    assert sorted(record.id for record in folder.records()) == sorted(row["id"] for row in folder.rows)
    # One object for each shard: a finished one does not wait for the interval.
    assert len([name for name in folder.segments() if name.count("-") > 4]) == 4


def test_a_shared_run_that_lost_its_lock_ends(s3: S3Server, tmp_path: Path) -> None:
    """Promise 10: when another runner has taken the lock, the workers stop: exit 5, what was put stays, and the same command goes on."""
    with ScriptedEndpoint(slow) as endpoint:
        # What was in flight may have cost something, and that cannot be noted in run.json any more: the reason is told all the same.
        price = "price = { input = 1.0, output = 2.0 }\nmax_tokens = 10"
        folder = StoreJob(tmp_path, endpoint.url, s3, rows=20_000, processes=2, parameters=price)
        folder.run_until_robbed(endpoint, released=True)
        endpoint.handler = answer
        assert folder.here("input.limit=500").exit_code == 0
    assert all(record.ok for record in folder.records())


def test_a_store_that_refuses_ends_the_run_of_all_workers(s3: S3Server, tmp_path: Path) -> None:
    """Promises 1, 2: an object of somebody else in a lease's place: exit 5, and answers that could not be put are not counted."""
    with ScriptedEndpoint(slow) as endpoint:
        folder = StoreJob(tmp_path, endpoint.url, s3, rows=600, processes=2)
        taken = f"{folder.at}/journal/house--test-model/000001-00001-001-000001.jsonl"

        def intrude(received: Received) -> list[Action]:
            if len(endpoint.requests) == 3:
                s3.put(taken, b"another runner's")
            return slow(received)

        endpoint.handler = intrude
        stopped = folder.here()
        (tally,) = stopped.tallies.values()
        s3.system().delete_file(taken)
        assert (stopped.exit_code, "another runner writes to this run" in (stopped.reason or "")) == (5, True)
        assert tally.ok == tally.durable == len(folder.records())
        endpoint.handler = answer
        assert folder.here().exit_code == 0
    assert app.verify(folder.address).sound


def test_a_paused_worker_puts_its_object_when_its_lease_has_passed(s3: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fencing: what a worker puts that was paused while its shard went to another is on the store, and counts for nothing."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(Path.cwd()), os.environ.get("PYTHONPATH", "")])))
    address = f"s3://{s3.bucket()}/run"
    directory = open_run_directory(address)
    assert directory.claim("m") == (1, None)
    child = subprocess.Popen([sys.executable, "-c", PAUSED, address], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert [child.stdout.readline(), child.stdout.readline()] == ["1\n", "paused\n"]
    os.waitpid(child.pid, os.WUNTRACED)
    (unreported,) = directory.seal("m", SegmentName(1, 0, 1), (1, 0))
    assert (unreported[0], unreported[1].count(b"\n")) == (f"{address}/journal/m/000001-00000-001-000001.jsonl", 1)
    os.kill(child.pid, signal.SIGCONT)
    assert child.communicate()[0] == "2\n"
    names = ["000001-00000-001-000001.jsonl", "000001-00000-001-000002.jsonl", "000001-00000-001.sealed", "000001.jsonl"]
    assert [name.rpartition("/")[2] for name in s3.names(f"{address.removeprefix('s3://')}/journal")] == names
    assert len(directory.earlier("m", SegmentName(1, 0, 2), ResumeIndex.of)) == 1
    assert len(ResumeIndex.load(directory.journal_dir("m"))) == 1
