"""Runs on a real Ray cluster of several nodes on this machine: what dies is replaced, and every row has exactly one outcome."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from batch import app
from batch.app import status
from tests.integration.test_steering import PRICE, Gate, steer
from tests.integration.test_steering import ROWS as STEERED_ROWS
from tests.support.jobs import ids, lines_of
from tests.support.processes import wait_until_gone
from tests.support.ray_clusters import CONCURRENCY, ENVIRONMENT, SLOWLY, RayCluster, RayFolder, assert_each_row_once, folder_on
from tests.support.scripted import Action, Handler, Received, ScriptedEndpoint, answer
from tests.support.scripts import for_rows, row_number, until, wait_for, wait_for_requests
from tests.support.stores import ENVIRON, S3Server, StoreJob

# A cluster that starts on a loaded machine takes minutes.
pytestmark = [pytest.mark.ray, pytest.mark.timeout(600)]

CANARY = "sk-canary-4f1d9b77"


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RayCluster]:
    # Each node has credentials of its own for the tests' object store, and a cache.
    with RayCluster(nodes=2, environ={**ENVIRON, "XDG_CACHE_HOME": str(tmp_path_factory.mktemp("nodes"))}) as cluster:
        yield cluster


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


def held(first: int, may_pass: threading.Event, then: Handler) -> Handler:
    """A handler that answers as `then`, but rows from `first` on only when they may pass."""

    def handle(received: Received) -> Iterable[Action]:
        if row_number(received) >= first:
            yield from until(may_pass.is_set)
        yield from then(received)

    return for_rows(handle)


def test_workers_on_a_cluster_write_parts_while_the_rest_is_sent(cluster: RayCluster, tmp_path: Path) -> None:
    """Promise 11: the rows of finished shards stand in their parts, whole, while others wait for an answer; the end is that of any run."""
    may_pass = threading.Event()
    with folder_on(cluster, tmp_path, held(500, may_pass, answer), rows=1_000) as (folder, _):
        folder.job.write_text(folder.job.read_text() + "rows_per_part = 125\n")
        process = folder.begin()
        early = [folder.directory / f"completions-0000{part}-of-00008.jsonl" for part in range(4)]
        wait_for(lambda: all(path.exists() for path in early), process)
        assert ids([line for path in early for line in lines_of(path)]) == [f"r{row}" for row in range(500)]
        assert not (folder.directory / "completions-00007-of-00008.jsonl").exists()
        may_pass.set()
        folder.end(process)
        parts = sorted(folder.directory.glob("completions-*.jsonl"))
        assert ids([line for path in parts for line in lines_of(path)]) == [row["id"] for row in folder.rows]
        verified = folder.call("verify", str(folder.directory))
        assert verified.returncode == 0, verified.stderr


def test_dead_actors_and_nodes_are_replaced(cluster: RayCluster, tmp_path: Path) -> None:
    """Issue 7: kill -9 of an actor and the loss of a node in one run: what was in flight there is sent again, and no more."""
    may_end = threading.Event()
    # On a busy machine the others would have done all before the replacement begins.
    with folder_on(cluster, tmp_path, held(2_000, may_end, SLOWLY), rows=3_000) as (folder, endpoint):
        process = folder.begin()
        folder.wait_for_workers(2, process)
        wait_for_requests(endpoint, 500, process)
        os.kill(folder.wait_for_holder(process), signal.SIGKILL)
        folder.wait_for_workers(3, process)
        may_end.set()
        cluster.remove(cluster.nodes.pop())
        cluster.nodes.append(cluster.add())
        err = folder.end(process)
        assert_each_row_once(folder, endpoint, resent=2 * CONCURRENCY)
    # On a busy machine the node may go before a worker has begun on it: then only the actor is told of.
    assert err.count("is lost") >= 1, err


def test_a_dead_driver_is_followed_by_the_same_command_and_by_one_machine(cluster: RayCluster, tmp_path: Path) -> None:
    """Issue 7: begun on Ray, its driver killed, gone on with in one process, killed again, ended on Ray."""
    with folder_on(cluster, tmp_path, rows=1_250) as (folder, endpoint):
        for number, start in enumerate([folder.begin, folder.start], 1):
            process = start()
            wait_for_requests(endpoint, 400 * number, process)
            process.send_signal(signal.SIGKILL)
            process.communicate()
        folder.end(folder.begin())
        # Workers send for as long as it takes them to notice that their driver is dead.
        assert_each_row_once(folder, endpoint, resent=4 * CONCURRENCY)


def test_a_paused_worker_wakes_up_when_its_shards_are_others(cluster: RayCluster, tmp_path: Path) -> None:
    """Fencing: what a worker writes that was given up while it was paused does not count, and the run ends as if it were dead."""
    with folder_on(cluster, tmp_path, rows=1_500) as (folder, endpoint):
        process = folder.begin(impatient=True)
        wait_for_requests(endpoint, 300, process)
        paused = folder.wait_for_holder(process)
        os.kill(paused, signal.SIGSTOP)
        try:
            assert process.stderr is not None
            for line in process.stderr:
                if "is lost (silent for 8 s)" in line:
                    break
        finally:
            os.kill(paused, signal.SIGCONT)
        folder.end(process)
        assert_each_row_once(folder, endpoint, resent=CONCURRENCY)


class StoreRayJob(StoreJob, RayFolder):
    """A job that is sent by a cluster, with its run directory on a store."""


def test_a_run_on_an_object_store_goes_on_there_and_here(cluster: RayCluster, tmp_path: Path, s3: S3Server) -> None:
    """Issue 7: a run on a store, begun here, gone on with on Ray, an actor and then the driver killed, is ended by two processes here."""
    with ScriptedEndpoint(SLOWLY) as endpoint:
        option = f"?endpoint_override={s3.url}"
        folder = StoreRayJob(tmp_path, endpoint.url, s3, options=option, cluster=cluster, rows=1_250, concurrency=CONCURRENCY)
        folder.directory = folder.address  # as the workers log it
        assert folder.here("input.limit=100").exit_code == 0
        most = 350

        def handler(received: Received) -> Iterator[Action]:
            # The shards cannot be done before the actor is killed, nor the run before its driver is, however late the workers begin.
            yield from until(lambda: received.number <= most)
            yield from SLOWLY(received)

        endpoint.handler = handler
        process = folder.begin()
        folder.wait_for_workers(2, process)
        wait_for_requests(endpoint, 250, process)
        killed = folder.wait_for_holder(process)
        recorded = len(folder.recorded())
        os.kill(killed, signal.SIGKILL)
        wait_until_gone([killed])
        bound = len(endpoint.counts()) - recorded
        wait_for(lambda: any(name.endswith(".sealed") for name in s3.names(folder.at)), process)
        most = 700
        wait_for_requests(endpoint, 700, process)
        process.kill()
        process.communicate()
        wait_until_gone(folder.workers)
        bound += len(endpoint.counts())
        endpoint.handler = SLOWLY
        ended = folder.run("run", folder.job.name, "--set", "run.processes=2")
        assert ended.returncode == 0, ended.stderr
        kept = int(re.search(r"([\d,]+) of them from earlier", ended.stderr)[1].replace(",", ""))
        # Sent and not recorded at either kill, and what was on its way then and came to the endpoint later.
        assert sum(endpoint.counts().values()) - 1_250 <= bound - kept + 2 * CONCURRENCY
    assert folder.recorded() == {row["id"] for row in folder.rows}
    assert 0 < kept < 1_250
    assert not [name for name in s3.names(folder.at) if name.startswith(".")]
    assert app.verify(folder.address).complete


@pytest.mark.long
def test_a_run_from_python_can_be_sent_by_a_cluster(cluster: RayCluster, tmp_path: Path) -> None:
    """`batch.arun(engine="ray")`, which runs in a thread of its own, sends by the cluster's workers and gives the results as ever."""
    with folder_on(cluster, tmp_path, rows=300) as (folder, endpoint):
        code = (
            "import sys, anyio, batch; from functools import partial\n"
            "result = anyio.run(partial(batch.arun, 'test.toml', engine='ray', ray_address=sys.argv[1]))\n"
            "print(result.exit_code, result.completions().num_rows)"
        )
        environ = {**os.environ, **ENVIRONMENT}
        done = subprocess.run(
            [sys.executable, "-c", code, cluster.address], cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=100
        )
        assert (done.stdout, done.returncode) == ("0 300\n", 0), done.stderr
        assert_each_row_once(folder, endpoint, resent=0)
    assert folder.workers


def test_a_run_is_steered_where_its_driver_runs(cluster: RayCluster, tmp_path: Path) -> None:
    """Paused, limited, resumed and retried by `ctl`: workers on other nodes hear of it as they check in, and no row is lost or doubled."""
    gate = Gate(150)
    with folder_on(cluster, tmp_path, for_rows(gate), rows=STEERED_ROWS, parameters=PRICE) as (folder, endpoint):
        steer(folder.begin(), endpoint, gate, folder.directory)
    assert ids(folder.completions()) == [row["id"] for row in folder.rows]
    assert [each.command for each in status(folder.directory).commands] == ["pause", "set", "resume", "set", "retry"]
