"""`batch.run` several times in one process, each program in a fresh interpreter: one after the other, in threads, under a running loop."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import batch
from tests.integration.test_python_api import job_of
from tests.support.jobs import JobFolder, rows_sent
from tests.support.scripted import ScriptedEndpoint

TWICE = """
first = batch.run(jobs[0])
again = batch.run(jobs[0])
other = batch.run(jobs[1])
assert (first.tallies[name].ok, again.tallies[name].kept_ok, again.tallies[name].ok, other.tallies[name].ok) == (10, 10, 0, 10)
"""
THREADS = """
from concurrent.futures import ThreadPoolExecutor
with ThreadPoolExecutor(2) as pool:
    results = [*pool.map(batch.run, jobs)]
assert [result.tallies[name].ok for result in results] == [10, 10]
assert batch.run(jobs[0]).tallies[name].kept_ok == 10
"""
# A notebook runs each cell as a coroutine's part, in one loop.
CELLS = """
import asyncio
async def cells():
    assert batch.run(jobs[0], progress=True).tallies[name].ok == 10
    outcomes = [outcome async for outcome in batch.stream(jobs[1])]
    assert len(outcomes) == 10
    assert (await batch.arun(jobs[1])).tallies[name].kept_ok == 10
asyncio.run(cells())
"""
AFTER_A_MISTAKE = """
import batch.errors
try:
    batch.run({**jobs[0], "model": []})
except batch.errors.JobError:
    pass
nowhere = {"house": {"base_url": "http://127.0.0.1:9"}}
refused = batch.run({**jobs[0], "provider": nowhere, "run": {"attempts": 1, "outage_timeout_s": 1}})
assert refused.reason
assert batch.run(jobs[0]).tallies[name].ok == 10
assert batch.run(jobs[1]).exit_code == 0
"""
ENDED_LOOPS = """
import asyncio
for job in jobs:
    assert asyncio.run(batch.arun(job)).exit_code == 0
assert batch.run(jobs[0]).tallies[name].kept_ok == 10
"""
PROGRAMS = {"twice": TWICE, "threads": THREADS, "cells": CELLS, "after a mistake": AFTER_A_MISTAKE, "several loops": ENDED_LOOPS}


@pytest.mark.parametrize("program", PROGRAMS.values(), ids=PROGRAMS)
def test_runs_follow_each_other_in_one_process(tmp_path: Path, program: str) -> None:
    """A program may run as many jobs as it likes, wherever it calls from; nothing is sent twice and no thread keeps it from ending."""
    with ScriptedEndpoint() as endpoint:
        places = [tmp_path / "a", tmp_path / "b"]
        for place in places:
            place.mkdir()
        folders = [JobFolder(place, endpoint.url) for place in places]
        source = f"import batch\nname = 'house/test-model'\njobs = {[job_of(folder) for folder in folders]!r}\n{program}\nprint('ended')"
        done = subprocess.run([sys.executable, "-W", "error", "-c", source], capture_output=True, text=True, timeout=120)
        assert (done.returncode, done.stdout) == (0, "ended\n"), done.stderr
        assert "Traceback" not in done.stderr
        assert rows_sent(endpoint) == 20
        for folder in folders:
            assert batch.verify(folder.directory).complete
