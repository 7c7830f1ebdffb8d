"""The post box between a Ray worker and its driver, and what a node must have in common with the driver. No Ray."""

from __future__ import annotations

import socket
import sys
from dataclasses import replace
from pathlib import Path

import anyio
import pytest

import batch
from batch.errors import SetupError
from batch.executors.workers import ray_actor, ray_session
from batch.executors.workers.messages import Assignment, Grant, LinkError, Report
from batch.executors.workers.ray_actor import Mailbox, RayWorker, check, node_check_of
from batch.readers import Dataset
from batch.rundir.local import RunDirectory
from batch.rundir.opening import open_run_directory
from batch.settings.embedded import EmbeddedModelSettings
from batch.storage import stores
from batch.storage.store_errors import StoreError
from tests.support import jobs
from tests.support.processes import unused_port
from tests.support.runs import manifest
from tests.support.stores import S3Server

JOB = '[input]\npath = "rows.jsonl"\n[prompt]\nuser = "{{ text }}"\n[[model]]\nid = "vllm/m"\n'


@pytest.fixture
def assignment(tmp_path: Path) -> Assignment:
    (tmp_path / "rows.jsonl").write_text('{"text": "a"}\n')
    job = jobs.loaded(tmp_path, JOB, environ={}).job
    (tmp_path / "run").mkdir()
    RunDirectory(tmp_path / "run").write_manifest(manifest("it"))
    return Assignment("w1", job, str(tmp_path / "run"), {}, {}, {})


async def test_a_report_is_fetched_and_its_grant_brought() -> None:
    """One call of the driver brings the last grant and fetches the next report; after the last one it gets none."""
    box = Mailbox()
    got: list[Grant] = []

    async def worker() -> None:
        got.append(await box.checkin(Report("w1")))
        got.append(await box.checkin(Report("w1", ended=True)))
        box.close()

    async with anyio.create_task_group() as group:
        group.start_soon(worker)
        assert (await box.exchange(None)) == Report("w1")
        assert (await box.exchange(Grant(again_s=1))) == Report("w1", ended=True)
        assert (await box.exchange(Grant(over=True))) is None
    assert got == [Grant(again_s=1), Grant(over=True)]


async def test_a_worker_whose_driver_is_silent_ends() -> None:
    """A driver that is gone, or has given the worker up, is waited for only so long; then nothing may be sent any more."""
    box = Mailbox(patience_s=0.01)
    with pytest.raises(LinkError):
        await box.checkin(Report("w1"))
    assert (await box.exchange(None)) == Report("w1")
    assert (await box.exchange(None)) is None


async def test_a_grant_that_was_slept_through_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """A paused worker that wakes up with an old grant does not take it: its shards have been passed on (fencing)."""
    now = [0.0]
    monkeypatch.setattr(ray_actor.time, "monotonic", lambda: now[0])
    box = Mailbox(patience_s=20.0)

    async def driver() -> None:
        await box.exchange(None)
        now[0] = 21.0
        box._grants.put_nowait(Grant(again_s=1))

    async with anyio.create_task_group() as group:
        group.start_soon(driver)
        with pytest.raises(LinkError):
            await box.checkin(Report("w1"))


def test_a_node_like_the_drivers_will_do(assignment: Assignment) -> None:
    """The same version, run directory and input are all that a node needs."""
    check(node_check_of(assignment.directory, Dataset(assignment.job.input)), assignment)


def test_a_node_without_the_run_directory_says_what_to_do(assignment: Assignment) -> None:
    """A run directory on the driver's own disk is named, with what it takes to share one."""
    node_check = node_check_of(assignment.directory, Dataset(assignment.job.input))
    with pytest.raises(SetupError, match=r"no run was begun here.*must lie where all nodes see them"):
        check(node_check, replace(assignment, directory=f"{assignment.directory}/elsewhere"))


def test_a_node_that_does_not_reach_the_store_says_what_it_lacks(assignment: Assignment, s3: S3Server) -> None:
    """A run directory on an object store is read, and written to, by each worker before it sends anything; what is put for that is gone."""
    bucket = s3.bucket()
    address = f"s3://{bucket}/run"
    open_run_directory(address).write_manifest(manifest("it"))
    node_check = node_check_of(address, Dataset(assignment.job.input))
    check(node_check, replace(assignment, directory=address))
    assert s3.names(bucket) == ["run/run.json"]
    with pytest.raises(SetupError, match=rf"on {socket.gethostname()}: .*no-such-bucket.* credentials each node has"):
        check(node_check, replace(assignment, directory="s3://no-such-bucket/run"))


def test_a_node_that_may_not_write_to_the_store_is_refused(assignment: Assignment, s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers that a worker cannot put are paid for and lost: it is found out before."""
    address = f"s3://{s3.bucket()}/run"
    open_run_directory(address).write_manifest(manifest("it"))
    node_check = node_check_of(address, Dataset(assignment.job.input))

    def refuse(url: object, data: bytes) -> None:
        raise StoreError(f"{url}: access denied", lasting=True)

    monkeypatch.setattr(stores, "put", refuse)
    with pytest.raises(SetupError, match=r"access denied.* credentials each node has"):
        check(node_check, replace(assignment, directory=address))


def test_a_folder_of_the_same_name_is_not_the_run_directory(assignment: Assignment) -> None:
    """Another run under the same path on the node's own disk is told from the driver's."""
    node_check = node_check_of(assignment.directory, Dataset(assignment.job.input))
    RunDirectory(assignment.directory).write_manifest(manifest("another"))
    with pytest.raises(SetupError, match="is another folder here"):
        check(node_check, assignment)


def test_another_input_is_refused(assignment: Assignment) -> None:
    """Rows are divided by their places in the driver's files: other files under the same path would be read wrongly."""
    node_check = node_check_of(assignment.directory, Dataset(assignment.job.input))
    Path(assignment.job.input.paths[0]).write_text('{"text": "another"}\n')
    with pytest.raises(SetupError, match="the input is not the same"):
        check(node_check, assignment)


def test_another_version_is_refused(assignment: Assignment) -> None:
    """Messages between versions are not promised to be understood."""
    node_check = replace(node_check_of(assignment.directory, Dataset(assignment.job.input)), version="0.0.1")
    with pytest.raises(SetupError, match=rf"here is {batch.__version__}, the driver's 0.0.1"):
        check(node_check, assignment)


def test_an_embedded_model_is_for_its_own_machine(assignment: Assignment) -> None:
    """The driver's server answers on its loopback interface: a worker on another machine says so instead of meeting nobody there."""
    (variant,) = assignment.job.variants
    embedded = replace(variant, provider=replace(variant.provider, embedded=EmbeddedModelSettings()))
    assignment = replace(assignment, job=replace(assignment.job, variants=(embedded,)))
    node_check = node_check_of(assignment.directory, Dataset(assignment.job.input))
    check(node_check, assignment)
    with pytest.raises(SetupError, match="serves its own machine only"):
        check(replace(node_check, loopback="of another machine"), assignment)


async def test_a_worker_that_cannot_begin_says_why(assignment: Assignment) -> None:
    """The reason comes back to the driver with the call."""
    node_check = replace(node_check_of(assignment.directory, Dataset(assignment.job.input)), version="0.0.1")
    with pytest.raises(SetupError, match="install the same one"):
        await RayWorker().begin(node_check, assignment, {})


def test_without_ray_the_command_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """--engine ray without the package is a plain sentence with the command that helps."""
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(SetupError, match=r"pip install 'promptmill\[ray\]'"):
        ray_session.load_ray({})


def test_usage_statistics_are_off_unless_turned_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Ray reports its use to its makers only where the user said so, by its variable or by `ray enable-usage-stats`."""
    monkeypatch.setattr(ray_session.importlib, "import_module", lambda name: name)
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    environ: dict[str, str] = {}
    ray_session.load_ray(environ)
    assert environ == {"RAY_USAGE_STATS_ENABLED": "0"}
    environ = {"RAY_USAGE_STATS_ENABLED": "1"}
    ray_session.load_ray(environ)
    assert environ == {"RAY_USAGE_STATS_ENABLED": "1"}
    (tmp_path / ".ray").mkdir()
    (tmp_path / ".ray" / "config.json").write_text('{"usage_stats": true}')
    environ = {}
    ray_session.load_ray(environ)
    assert environ == {}


def test_an_address_where_nobody_answers_is_told_at_once() -> None:
    """Ray would try for minutes; the command says that there is no cluster, and what says where it is."""
    address = f"127.0.0.1:{unused_port()}"
    with pytest.raises(SetupError, match=f"no Ray cluster at {address} .*refused.*`ray status`"), ray_session.connected(address):
        pass


def test_a_client_address_is_refused_with_the_way_to_go() -> None:
    """ray:// would leave the driver outside of the cluster, where it sees neither its workers nor its storage."""
    with pytest.raises(SetupError, match="ray job submit"), ray_session.connected("ray://head:10001"):
        pass
