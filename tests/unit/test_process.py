"""What processes of ours set up, and how they end."""

from __future__ import annotations

import platform
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest


def test_an_ending_process_does_not_search_for_cycles() -> None:
    """What was imported is passed over by the collector at the end; what was written and registered is done, and the code is kept."""
    script = """
import atexit, gc, sys
from batch.process import tune_gc
atexit.register(lambda: print("passed over:", gc.get_freeze_count() > 1000))
tune_gc()
atexit.register(print, "registered")
sys.exit(5)
"""
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (ended.returncode, ended.stdout) == (5, "registered\npassed over: True\n")


@pytest.mark.parametrize("runs", [4, pytest.param(100, marks=pytest.mark.long)])
def test_a_refused_connection_never_ends_in_an_abort(runs: int) -> None:
    """`promptmill models` of a server that is not there ends with its code, however busy the machine is."""
    command = [sys.executable, "-m", "batch", "models", "vllm", "--base-url", "http://127.0.0.1:9"]
    with ThreadPoolExecutor(4) as pool:
        codes = list(pool.map(lambda _: subprocess.run(command, capture_output=True).returncode, range(runs)))
    assert codes == [5] * runs


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be told")
def test_what_is_freed_is_given_back() -> None:
    """A block of 8 MB between others leaves the process when it is freed, also after larger ones were (promise 8)."""
    script = """
import resource
from batch.process import tune_malloc
tune_malloc()
def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()
bytearray(b"x") * (24 << 20)
held = [bytearray(b"x") * (1 << 20) for _ in range(32)]
before = resident()
del held[:-1]
print(before - resident())
"""
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert int(ended.stdout) > 30 << 20


def test_a_run_loads_no_more_than_it_needs() -> None:
    """Neither Arrow nor scoring nor other commands: they would take 40 MB of each run, and a third of its start (promise 8)."""
    script = "import sys; import batch.app, batch.cli.run, batch.job; print(*sys.modules, sep='\\n')"
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    others = {"batch.evaluation", "batch.executors.workers.worker", "batch.app.estimate", "batch.results.verify"}
    spared = {"pyarrow", "pandas", "scipy", "ray"} | others
    assert spared.isdisjoint(ended.stdout.split())


def test_each_name_of_the_face_is_loaded_when_it_is_used() -> None:
    """What a run does without is still there for the other commands, and a name that is not there is said to be missing."""
    script = "from batch import app; print(*(callable(getattr(app, name)) for name in app.__all__)); print(hasattr(app, 'nothing'))"
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    found, absent = ended.stdout.splitlines()
    assert set(found.split()) == {"True"}
    assert absent == "False"
