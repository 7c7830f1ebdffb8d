"""Runs on a real Ray cluster of several nodes on this machine: what dies is replaced, and every row has exactly one outcome."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.jobs import JobFolder, ids
from tests.support.ray_nodes import ENVIRONMENT, RayCluster
from tests.support.scripted import Action, Received, ScriptedEndpoint, Sleep, answer

pytestmark = pytest.mark.ray

CONCURRENCY = 32
CANARY = "sk-canary-4f1d9b77"
# A worker is given up after 3 s instead of 30.
IMPATIENT = "import sys, batch.distributed.ray_launcher as launcher; launcher.SILENT_S = 3.0; from batch.cli import main; sys.exit(main())"


def slowly(received: Received) -> list[Action]:
    return [*([Sleep(0.1)] if received.body else []), *answer(received)]


class RayFolder(JobFolder):
    """A job whose runs are sent by a cluster; `workers` are the pids of those that took part."""

    def __init__(self, path: Path, url: str, cluster: RayCluster, **settings: object) -> None:
        super().__init__(path, url, **settings)
        self.cluster = cluster

    @property
    def arguments(self) -> list[str]:
        return ["run", self.job.name, "--engine", "ray", "--ray-address", self.cluster.address]

    def begin(self, *, impatient: bool = False, **environ: str) -> subprocess.Popen[str]:
        """Start the command on the cluster."""
        command = [sys.executable, "-c", IMPATIENT] if impatient else self.command()
        return subprocess.Popen(
            [*command, *self.arguments],
            cwd=self.path,
            env={**os.environ, **ENVIRONMENT, **environ},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def end(self, process: subprocess.Popen[str]) -> str:
        """Wait for its end, which must be a good one; what it wrote to stderr."""
        _, err = process.communicate(timeout=100)
        assert process.returncode == 0, err
        return err

    def logs(self) -> str:
        """What the workers of this run wrote to Ray's logs."""
        found = [path.read_text() for path in Path(self.cluster.session, "logs").glob("worker-*.err")]
        return "".join(text for text in found if str(self.directory) in text)

    @property
    def workers(self) -> list[int]:
        return [int(pid) for pid in re.findall(r"begins on \S+ \(pid (\d+)\)", self.logs())]

    def wait_for_workers(self, number: int, process: subprocess.Popen[str]) -> None:
        """Wait until so many have begun, the dead ones among them."""
        deadline = time.monotonic() + 60
        while len(self.workers) < number:
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline, self.logs()
            time.sleep(0.1)


@pytest.fixture(scope="session")
def cluster() -> Iterator[RayCluster]:
    with RayCluster(nodes=2) as cluster:
        yield cluster


@contextmanager
def folder_on(cluster: RayCluster, path: Path, **settings: object) -> Iterator[tuple[RayFolder, ScriptedEndpoint]]:
    with ScriptedEndpoint(slowly) as endpoint:
        yield RayFolder(path, endpoint.url, cluster, **{"concurrency": CONCURRENCY, **settings}), endpoint


def wait_for(endpoint: ScriptedEndpoint, number: int, process: subprocess.Popen[str]) -> None:
    """Wait until so many requests came; the run must be alive until then."""
    deadline = time.monotonic() + 60
    while len(endpoint.requests) < number:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, f"only {len(endpoint.requests)} of {number} requests came"
        time.sleep(0.01)


def assert_each_row_once(folder: RayFolder, endpoint: ScriptedEndpoint, resent: int) -> None:
    """All rows are answered, each has one record that counts, and no more than `resent` were sent again."""
    assert ids(folder.completions()) == [row["id"] for row in folder.rows]
    assert folder.errors() == []
    verified = folder.run("verify", str(folder.directory))
    assert verified.returncode == 0, verified.stdout + verified.stderr
    sent = endpoint.counts()
    assert set(sent) == {row["text"] for row in folder.rows}
    assert sum(sent.values()) - len(folder.rows) <= resent


def test_a_run_on_two_nodes_ends_like_any_other(cluster: RayCluster, tmp_path: Path) -> None:
    """Issue 7: the same job, run directory and outputs; logs name shard and node; promise 12: the key is in no file, log or message."""
    provider = 'api_key_env = "HOUSE_KEY"'
    with folder_on(cluster, tmp_path, rows=1_000, provider=provider) as (folder, endpoint):
        process = folder.begin(HOUSE_KEY=CANARY)
        err = folder.end(process)
        assert_each_row_once(folder, endpoint, resent=0)
        assert {request.headers["authorization"] for request in endpoint.requests} == {f"Bearer {CANARY}"}
        # The workers share the limit of the whole.
        assert endpoint.max_concurrent <= CONCURRENCY
    assert re.search(r"1,000 of 1,000 rows \(100 %\).*shards", err), err
    assert len(set(re.findall(r"worker w\d+ on \S+ \(pid \d+\): shard (\d+) taken", folder.logs()))) == 4
    assert CANARY not in err
    for place in (tmp_path, Path(cluster.session)):
        for path in place.rglob("*"):
            assert not path.is_file() or CANARY.encode() not in path.read_bytes(), path


def test_dead_actors_and_nodes_are_replaced(cluster: RayCluster, tmp_path: Path) -> None:
    """Issue 7: kill -9 of an actor and the loss of a node in one run: what was in flight there is sent again, and no more."""
    with folder_on(cluster, tmp_path, rows=3_000) as (folder, endpoint):
        process = folder.begin()
        folder.wait_for_workers(2, process)
        wait_for(endpoint, 500, process)
        os.kill(folder.workers[0], signal.SIGKILL)
        folder.wait_for_workers(3, process)
        cluster.remove(cluster.nodes.pop())
        cluster.nodes.append(cluster.add())
        err = folder.end(process)
        assert_each_row_once(folder, endpoint, resent=2 * CONCURRENCY)
    assert err.count("is lost") >= 2, err


def test_a_dead_driver_is_followed_by_the_same_command_and_by_one_machine(cluster: RayCluster, tmp_path: Path) -> None:
    """Issue 7: begun on Ray, its driver killed, gone on with in one process, killed again, ended on Ray."""
    with folder_on(cluster, tmp_path, rows=1_250) as (folder, endpoint):
        for number, start in enumerate([folder.begin, folder.start], 1):
            process = start()
            wait_for(endpoint, 400 * number, process)
            process.send_signal(signal.SIGKILL)
            process.communicate()
        folder.end(folder.begin())
        assert_each_row_once(folder, endpoint, resent=2 * CONCURRENCY)


def test_a_paused_worker_wakes_up_when_its_shards_are_others(cluster: RayCluster, tmp_path: Path) -> None:
    """Fencing: what a worker writes that was given up while it was paused does not count, and the run ends as if it were dead."""
    with folder_on(cluster, tmp_path, rows=1_500) as (folder, endpoint):
        process = folder.begin(impatient=True)
        wait_for(endpoint, 300, process)
        paused = folder.workers[0]
        os.kill(paused, signal.SIGSTOP)
        try:
            assert process.stderr is not None
            for line in process.stderr:
                if "is lost (not heard of for 3 s)" in line:
                    break
        finally:
            os.kill(paused, signal.SIGCONT)
        folder.end(process)
        assert_each_row_once(folder, endpoint, resent=CONCURRENCY)
