"""The guards of the suite itself: a test that hangs ends by its name under any event loop, and one that blocks the event loop fails."""

from __future__ import annotations

import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import anyio
import pytest

from tests.support.guards import LARGE_FILE_BYTES, LoopGuard

ROOT = Path(__file__).parents[2]
LOOPS = [pytest.param({"use_uvloop": False}, id="asyncio"), pytest.param({"use_uvloop": True}, id="uvloop")]

CONFTEST = """
import pytest
from tests.support import guards

guards.GRACE_S = 2.0

def pytest_configure(config):
    config.pluginmanager.register(guards.HangGuard())
    config.pluginmanager.register(guards.ProcessGuard())
"""
WAITING = """
import anyio
import pytest

LOOPS = [pytest.param(("asyncio", {"use_uvloop": each}), id="uvloop" if each else "asyncio") for each in (False, True)]

@pytest.mark.parametrize("anyio_backend", LOOPS)
async def test_waits():
    await anyio.sleep_forever()

def test_runs():
    anyio.run(anyio.sleep_forever, backend_options={"use_uvloop": True})

def test_is_well():
    pass
"""
SWALLOWING = """
import anyio
import pytest

async def main():
    while True:
        try:
            await anyio.sleep_forever()
        except BaseException:
            pass

@pytest.mark.parametrize("uvloop", [False, True])
def test_swallows(uvloop):
    anyio.run(main, backend_options={"use_uvloop": uvloop})

def test_is_well():
    pass
"""
LEAVING = """
import gc
import os
import signal
import subprocess
import sys

pids = []

def test_leaves_a_process():
    process = subprocess.Popen([sys.executable, "-c", "import signal; print('ready', flush=True); signal.pause()"], stdout=subprocess.PIPE)
    pids.append(process.pid)
    assert process.stdout.readline() == b""

def test_meets_the_garbage_of_the_other():
    try:
        os.kill(pids[0], 0)
    except ProcessLookupError:
        gc.collect()
        return
    assert False

def test_signals_end_what_is_started():
    for number in (signal.SIGHUP, signal.SIGINT):
        process = subprocess.Popen([sys.executable, "-c", "import signal; print('ready', flush=True); signal.pause()"],
                                   stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        with process:
            process.stdout.readline()
            process.send_signal(number)
            assert process.wait() == -number
"""


def output_of(folder: Path, test: str, *options: str, **started: Any) -> str:
    """What a pytest over `test` prints, with a time-out of 2 s and a grace of 2 s; it ends by itself, not with success."""
    (folder / "test_hanging.py").write_text(test)
    (folder / "conftest.py").write_text(CONFTEST)
    (folder / "pytest.ini").write_text("[pytest]\nanyio_mode = auto\ntimeout = 2\n")
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "COV"))}
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "-v", "-p", "no:cacheprovider", *options],
        cwd=folder,
        env={**environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=100,
        **started,
    )
    assert ended.returncode != 0
    return ended.stdout + ended.stderr


def test_a_test_that_hangs_in_the_event_loop_fails_alone(tmp_path: Path) -> None:
    """The time-out reaches an idle event loop, uvloop's too: the hanging tests fail by their names, and the next one runs."""
    shown = output_of(tmp_path, WAITING)
    for name in ("test_waits[asyncio]", "test_waits[uvloop]", "test_runs"):
        assert f"test_hanging.py::{name} FAILED" in shown
    assert "test_is_well PASSED" in shown


def test_a_test_that_swallows_its_time_out_is_reported_by_its_name(tmp_path: Path) -> None:
    """What cannot be interrupted ends with its worker: pytest-xdist names the test, and runs the others in a new worker."""
    shown = output_of(tmp_path, SWALLOWING, "-n", "1")
    for name in ("test_swallows[False]", "test_swallows[True]"):
        assert f"crashed while running 'test_hanging.py::{name}'" in shown
    assert "PASSED test_hanging.py::test_is_well" in shown


def test_without_workers_a_test_that_swallows_its_time_out_is_named_at_the_end(tmp_path: Path) -> None:
    """Without pytest-xdist the whole pytest ends, after the test's name and the stacks of all threads."""
    shown = output_of(tmp_path, SWALLOWING)
    assert "Timeout: test_hanging.py::test_swallows[False]" in shown
    assert " in test_swallows\n" in shown


def ignore_signals() -> None:
    """What nohup does to SIGHUP, and a shell without job control to SIGINT of what it starts with `&`."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def test_a_failed_test_leaves_no_process_and_no_garbage_to_others(tmp_path: Path) -> None:
    """A process that a failed test did not wait for is killed; under nohup and `&` signals reach what tests start."""
    shown = output_of(tmp_path, LEAVING, "-W", "error", "-o", "timeout=60", preexec_fn=ignore_signals)
    assert "test_leaves_a_process FAILED" in shown
    assert "test_meets_the_garbage_of_the_other PASSED" in shown
    assert "test_signals_end_what_is_started PASSED" in shown


BLOCKING = {
    "sleep": "time.sleep(0.001)",
    "DNS": "socket.getaddrinfo('localhost', 80)",
    "socket read": "pair[0].recv(1)",
    "socket write": "pair[0].sendall(b'x')",
    "database": "sqlite3.connect(':memory:').close()",
    "large file": "open(large, 'rb').close()",
    "sync": "os.fsync(descriptor)",
}
QUIET = {
    "no sleep": "time.sleep(0)",
    "socket that does not block": "pair[1].send(b'x')",
    "small file": "open(small, 'rb').close()",
}


def findings(guard: LoopGuard, folder: Path, call: str, loop: dict[str, Any], kind: str = "async def") -> list[str]:
    """What is recorded while promptmill's code makes `call` in the event loop; with the `kind` "def" by a plain call of the test."""
    large, small = folder / "large", folder / "small"
    large.write_bytes(bytes(LARGE_FILE_BYTES))
    small.write_bytes(b"x")
    first, second = socket.socketpair()
    with first, second, small.open("rb") as file:
        second.sendall(b"y")
        second.setblocking(False)
        names = {
            "time": time,
            "socket": socket,
            "sqlite3": sqlite3,
            "os": os,
            "pair": (first, second),
            "large": str(large),
            "small": str(small),
        }
        exec(
            compile(f"{kind} planted():\n    {call}\n", str(ROOT / "batch" / "planted.py"), "exec"),
            names | {"descriptor": file.fileno()},
            out := {},
        )

        async def main() -> None:
            if (awaitable := out["planted"]()) is not None:
                await awaitable

        with guard.watching() as found:
            anyio.run(main, backend_options=loop)
    return found


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("call", BLOCKING.values(), ids=BLOCKING)
def test_a_call_that_blocks_the_event_loop_is_found(loop_guard: LoopGuard, tmp_path: Path, call: str, loop: dict[str, Any]) -> None:
    """Calls that wait for a clock, the network, a database or a disk are recorded with their place, under either event loop."""
    (found,) = findings(loop_guard, tmp_path, call, loop)
    assert found.endswith(" at batch/planted.py:2 in planted")


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("call", QUIET.values(), ids=QUIET)
def test_a_call_that_does_not_block_is_no_finding(loop_guard: LoopGuard, tmp_path: Path, call: str, loop: dict[str, Any]) -> None:
    """Sockets that do not block, small files and sleeps of no length pass."""
    assert findings(loop_guard, tmp_path, call, loop) == []


def test_what_an_async_test_calls_plainly_is_no_finding(loop_guard: LoopGuard, tmp_path: Path) -> None:
    """Only what runs in the event loop in production counts, not what an async test prepares in its own."""
    assert findings(loop_guard, tmp_path, BLOCKING["sleep"], {}, kind="def") == []


def test_a_thread_beside_the_event_loop_may_block(loop_guard: LoopGuard) -> None:
    """What runs in a worker thread blocks no event loop."""
    with loop_guard.watching() as found:
        anyio.run(anyio.to_thread.run_sync, time.sleep, 0.001)
    assert found == []


@pytest.mark.xdist_group("guards")
def test_tests_of_a_group_share_a_worker(request: pytest.FixtureRequest) -> None:
    """pytest-xdist keeps a group together by its name in the tests' names; where they lack it each worker starts a cluster of its own."""
    grouped = [item.nodeid for item in request.session.items if item.get_closest_marker("xdist_group")]
    assert all("@" in name for name in grouped) is getattr(request.config.option, "loadgroup", False)
