"""SIGKILL at random moments of a run by batches: batches on the server = shards, and no row lost, doubled, or uploaded in vain."""

from __future__ import annotations

import random
import signal
import subprocess
from pathlib import Path

import pytest

from tests.batch_api.test_batches import check_done, job
from tests.support.batch_server import BatchServer, Plan
from tests.support.jobs import JobFolder
from tests.support.processes import unmeasured
from tests.support.scripts import wait_for, wait_until

ROWS, SHARDS = 60, 6


def kill_after(folder: JobFolder, server: BatchServer, requests: int) -> bool:
    """Start the run and kill it when the server has got so many more calls; False when the run ended before."""
    before = len(server.endpoint.requests)
    process = folder.start(measured=False)
    try:
        wait_until(lambda: process.poll() is not None or len(server.endpoint.requests) - before >= requests)
        ended = process.poll() is not None
        process.send_signal(signal.SIGKILL)
        process.communicate()
        return not ended
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()


def sweep(path: Path, kills: int, seed: int, rows: int, shards: int) -> int:
    """Kill a run again and again, then let it end; returns the number of kills that met a running one."""
    draw = random.Random(seed)
    done = 0
    with BatchServer(Plan(looks=3, done=1.0)) as server:
        folder = job(path, server, rows=rows)
        folder.job.write_text(folder.job.read_text().replace("poll_s = 0.02", "poll_s = 0.1"))
        for _ in range(kills):
            if not kill_after(folder, server, draw.choice((1, 1, 2, 2, 3, 4, 5, 8))):
                break
            done += 1
        ended = folder.run(environ=unmeasured())
        assert ended.returncode == 0, ended.stderr
        check_done(folder, server)
        assert len(server.batches) == shards
        assert sorted(server.sent_ids) == sorted(set(server.sent_ids))
        assert len(server.sent_ids) == rows
        assert not server.live
    return done


def test_killed_again_and_again(tmp_path: Path) -> None:
    """Five kills over upload, create, poll and collect; six batches in the end, each row once in them (fault 76)."""
    assert sweep(tmp_path, 5, seed=7, rows=ROWS, shards=SHARDS) >= 1


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", range(5))
def test_a_hundred_kills(tmp_path: Path, seed: int) -> None:
    """2,000 rows in 200 batches, 20 kills for each of five seeds."""
    found = sweep(tmp_path, 20, seed=seed, rows=2000, shards=200)
    print(f"{found} kills, 200 batches, 0 lost, 0 doubled, 0 uploads left behind")


STEPS = ("POST /v1/files", "POST /v1/batches", "GET /v1/batches/", "GET /v1/files/")


@pytest.mark.parametrize("step", STEPS)
def test_killed_at_each_step(tmp_path: Path, step: str) -> None:
    """Killed while the server has the call and has not replied: the next session finds out what became of it."""
    with BatchServer(Plan(looks=2)) as server:
        folder = job(tmp_path, server, rows=20)
        folder.job.write_text(folder.job.read_text().replace("poll_s = 0.02", "poll_s = 0.1"))
        server.stall = step
        process = folder.start(measured=False)
        wait_for(lambda: server.stalled, process)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        ended = folder.run(environ=unmeasured())
        assert ended.returncode == 0, ended.stderr
        check_done(folder, server)
        assert len(server.batches) == 2


def test_ctrl_c_leaves_batches_alone(tmp_path: Path) -> None:
    """SIGINT ends the wait with 130, cancels nothing, and names the commands that collect and that cancel."""
    with BatchServer(Plan(looks=1000)) as server:
        folder = job(tmp_path, server, rows=20)
        process = folder.start(measured=False, stdin=subprocess.DEVNULL)
        wait_for(lambda: len(server.batches) == 2 and len(server.looked) == 2, process)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate()
        assert process.returncode == 130, err
        assert "promptmill resume" in err
        assert "promptmill cancel" in err
        assert {batch.status for batch in server.batches.values()} <= {"validating", "in_progress"}
        server.plan = Plan()
        for batch in server.batches.values():
            batch.plan.looks = 1
        assert folder.run("resume", "runs/test").returncode == 0
        check_done(folder, server)
