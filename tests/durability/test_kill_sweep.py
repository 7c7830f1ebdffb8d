"""SIGKILL at many moments of one run, and at every write, sync and rename of a small one: nothing lost, nothing doubled."""

from __future__ import annotations

import random
import re
import shutil
import signal
import subprocess
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.support.foreign import needs_program
from tests.support.jobs import JobFolder, ids
from tests.support.processes import unmeasured
from tests.support.scripted import ScriptedEndpoint, answer
from tests.support.scripts import after, wait_until

CONCURRENCY = 16
LATENCY_S = 0.02
# What changes the disk. fsync: run.json and the outputs; fdatasync: the journal; ftruncate and unlink: repairs and leftovers.
CALLS = ("write", "pwrite64", "fsync", "fdatasync", "rename", "ftruncate", "unlink", "mkdir", "flock")
SMALL = 6


def sweep(folder: JobFolder, endpoint: ScriptedEndpoint, kills: int) -> int:
    """Kill the run at random moments, one in six while it is still starting; returns how many kills struck a living process."""
    chance = random.Random(36)
    rows = len(folder.rows)
    struck = 0
    for kill in range(kills):
        process = folder.start(measured=False)
        if chance.random() < 1 / 6:
            time.sleep(chance.random())
        else:
            goal = len(endpoint.requests) + chance.randint(1, 2 * max(1, (rows - len(endpoint.requests)) // (kills - kill)))
            wait_until(lambda goal=goal, process=process: process.poll() is not None or len(endpoint.requests) >= goal)
        struck += process.poll() is None
        process.send_signal(signal.SIGKILL)
        process.communicate()
    return struck


@pytest.mark.timeout(3600)
@pytest.mark.parametrize(("rows", "kills"), [(800, 8), pytest.param(20_000, 200, marks=pytest.mark.long)])
def test_killed_at_many_moments(tmp_path: Path, rows: int, kills: int) -> None:
    """Promises 1, 2, 4; fault 36: however often one run is killed, no row is lost or doubled; re-sent <= what was in flight."""
    with ScriptedEndpoint(after(LATENCY_S)) as endpoint:
        folder = JobFolder(tmp_path, endpoint.url, rows=rows, concurrency=CONCURRENCY)
        struck = sweep(folder, endpoint, kills)
        ended = folder.call()
        sent = endpoint.counts()
    assert ended.returncode == 0, ended.stderr
    completions = folder.completions()
    records = Counter(record["id"] for record in folder.journal())
    lost = {str(row["id"]) for row in folder.rows} - records.keys()
    doubled = [row for row, count in records.items() if count > 1]
    resent, bound = sent.total() - rows, CONCURRENCY * struck
    print(f"\n{rows:,} rows, {struck} of {kills} kills struck: {len(lost)} lost, {len(doubled)} doubled, {resent} re-sent (bound {bound})")
    assert not lost
    assert not doubled
    assert ids(completions) == [row["id"] for row in folder.rows]
    assert all(line["completion"] == f"answer to {line['text']}" for line in completions)
    assert 0 <= resent <= bound
    assert struck >= kills * 3 // 4


def small_job(path: Path, url: str) -> JobFolder:
    """A run of a few rows, two at a time, so that a call's number says which it is; each is synced (durability = "row")."""
    path.mkdir()
    return JobFolder(path, url, rows=SMALL, concurrency=2, durability="row")


def traced(folder: JobFolder, *options: str) -> subprocess.CompletedProcess[str]:
    """The run under strace."""
    run = folder.command("run", folder.job.name)
    command = ["strace", "-f", "-qq", "-e", "signal=none", "-o", str(folder.path / "calls"), *options, *run]
    environ = {**unmeasured(), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(command, cwd=folder.path, env=environ, capture_output=True, text=True)


def most_calls(folder: JobFolder) -> dict[str, int]:
    """For each call the highest number that one thread of a whole run comes to: strace counts by call and thread."""
    ended = traced(folder, "-e", f"trace={','.join(CALLS)}")
    assert ended.returncode == 0, ended.stderr
    made = Counter(re.findall(r"^(\d+)\s+(\w+)\(", (folder.path / "calls").read_text(), re.MULTILINE))
    return {call: max((count for (_, name), count in made.items() if name == call), default=0) for call in CALLS}


def killed_at(folder: JobFolder, call: str, number: int) -> bool:
    """Kill the run at the `number`th such call; False when it ended without having made so many."""
    killed = traced(folder, "-e", f"trace={call}", "-e", f"inject={call}:signal=KILL:when={number}")
    assert killed.returncode in (0, -signal.SIGKILL, 128 + signal.SIGKILL), killed.stderr
    return killed.returncode != 0


def check_goes_on(folder: JobFolder, where: str) -> None:
    """The outputs are absent or whole, and the same command comes to the right end."""
    whole = {f"r{number}" for number in range(SMALL)}
    for name in ("completions", "errors"):
        path = folder.directory / f"{name}.jsonl"
        if path.exists():
            assert len(path.read_text().splitlines()) == (SMALL if name == "completions" else 0), where
    ended = folder.call()
    assert ended.returncode == 0, (where, ended.stderr)
    assert ids(folder.completions()) == sorted(whole), where
    assert Counter(record["id"] for record in folder.journal()) == Counter(whole), where
    assert not [path.name for path in folder.directory.rglob("*.tmp")], where


def sampled(most: dict[str, int]) -> list[tuple[str, int]]:
    """The calls of a normal run: the renames of run.json and of both outputs, and one each of what else there is."""
    chosen = [("rename", number) for number in range(1, most["rename"] + 1)]
    return chosen + [(call, (most[call] + 1) // 2) for call in ("write", "fsync", "fdatasync") if most[call]]


@needs_program("strace")
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("whole", [False, pytest.param(True, marks=pytest.mark.long)])
def test_killed_at_system_calls(tmp_path: Path, whole: bool) -> None:
    """Promises 2, 3, 11; faults 36 and 44: killed at any write, sync or rename, the same command goes on to the right end."""
    with ScriptedEndpoint(answer) as endpoint:
        most = most_calls(small_job(tmp_path / "counted", endpoint.url))
        places = [(call, number) for call in CALLS for number in range(1, most[call] + 1)] if whole else sampled(most)
        struck = 0
        for call, number in places:
            folder = small_job(tmp_path / f"{call}-{number}", endpoint.url)
            struck += killed_at(folder, call, number)
            check_goes_on(folder, f"{call} {number}")
            shutil.rmtree(folder.path)
    print(f"\n{struck} of {len(places)} kills struck, at {dict(most)}")
    assert struck >= len(places) * 2 // 3
