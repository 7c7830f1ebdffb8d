"""Runs by batches that are killed again and again, against servers of others and our own: nothing is submitted twice, lost or left behind.

Kills come at random moments, and at system calls: strace strikes at the Nth call of one kind, whatever it is for.
"""

from __future__ import annotations

import json
import random
import re
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.batch_server import BatchServer, Plan
from tests.support.foreign import needs_program
from tests.support.foreign_batches import FIXED, Submitted, aimock, aimock_command, batch_job, llmock, ogx_before
from tests.support.jobs import JobFolder, check_accounts
from tests.support.processes import unmeasured
from tests.support.scripts import wait_until

pytestmark = [needs_program("strace"), pytest.mark.timeout(7200)]

# The calls by which a run by batches changes the world (its files, its ledger, what its servers get) or learns of it.
CALLS = ("write", "fsync", "fdatasync", "rename", "unlink", "sendto", "recvfrom", "writev", "read")


@contextmanager
def own_server(path: Path) -> Iterator[tuple[str, Any]]:
    """Our own server, whose batches end at the third look; the address, and what it has in the end."""
    with BatchServer(Plan(looks=3)) as server:

        def submitted() -> Submitted:
            questions = Counter(line["body"]["messages"][-1]["content"] for batch in server.batches.values() for line in batch.lines)
            return Submitted([batch.status for batch in server.batches.values()], questions, set(server.unused_uploads))

        yield server.url.removesuffix("/v1"), submitted
        assert not server.live


@contextmanager
def aimock_server(path: Path) -> Iterator[tuple[str, Any]]:
    """An aimock."""
    with aimock(aimock_command(), path) as origin:
        yield origin, lambda: Submitted.at(origin)


@contextmanager
def llmock_server(path: Path) -> Iterator[tuple[str, Any]]:
    """An llmock."""
    with llmock(path) as origin:
        yield origin, lambda: Submitted.at(origin)


@contextmanager
def ogx_server(path: Path) -> Iterator[tuple[str, Any]]:
    """An OGX before an llmock."""
    with llmock(path) as server, ogx_before(server, path) as origin:
        yield origin, lambda: Submitted.at(origin)


SERVERS = {"own": own_server, "aimock": aimock_server, "llmock": llmock_server, "ogx": ogx_server}
MODELS = {"llmock": "house/gpt-4o-mini", "ogx": "house/openai/gpt-4o-mini"}
ANSWERS = {"own": "answer to {}", "aimock": FIXED, "llmock": "Hello! You said: {}", "ogx": "Hello! You said: {}"}


def traced(folder: JobFolder, *options: str) -> subprocess.CompletedProcess[str]:
    """The job's run under strace."""
    words = ["strace", "-f", "-qq", "--seccomp-bpf", "-e", "signal=none", *options, *folder.command("run", folder.job.name)]
    environ = {**unmeasured(), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(words, cwd=folder.path, env=environ, capture_output=True, text=True)


def calls_of_a_run(folder: JobFolder) -> dict[str, tuple[int, int]]:
    """Run the job to its end; for each call the numbers, in the thread that makes most of them, of its first after the start and its last.

    strace counts by call and thread. The start ends where the ledger is opened: what comes before it is Python's own.
    """
    calls = folder.path / "calls"
    ended = traced(folder, "-o", str(calls), "-e", f"trace=openat,{','.join(CALLS)}")
    assert ended.returncode == 0, ended.stderr
    first: Counter[tuple[str, str]] = Counter()
    total: Counter[tuple[str, str]] = Counter()
    for thread, call, rest in re.findall(r"^(\d+)\s+(\w+)\((.*)$", calls.read_text(errors="replace"), re.MULTILINE):
        if "submissions.jsonl" in rest and not first:
            first = Counter(total) or Counter({("", ""): 1})
        total[thread, call] += 1
    found = {}
    for call in CALLS:
        thread = max((thread for thread, name in total if name == call), key=lambda each: total[each, call], default=None)
        if thread is not None:
            found[call] = (first[thread, call] + 1, total[thread, call])
    return found


def killed_at_call(folder: JobFolder, draw: random.Random, calls: Mapping[str, tuple[int, int]]) -> bool:
    """Run the job until SIGKILL strikes at a drawn system call; False when it ended before."""
    call = draw.choice(tuple(calls))
    first, last = calls[call]
    number = first + int((last - first + 1) * draw.random() ** 2)
    ended = traced(folder, "-o", "/dev/null", "-e", f"trace={call}", "-e", f"inject={call}:signal=KILL:when={number}")
    assert ended.returncode in (0, -signal.SIGKILL, 128 + signal.SIGKILL), (call, number, ended.stderr)
    return ended.returncode != 0


def killed_sometime(folder: JobFolder, draw: random.Random) -> bool:
    """Run the job until SIGKILL strikes at a drawn moment after its start; False when it ended before."""
    ledger = folder.directory / "submissions.jsonl"
    process = folder.start(measured=False)
    size = ledger.stat().st_size if ledger.exists() else 0
    wait_until(lambda: process.poll() is not None or (ledger.exists() and ledger.stat().st_size > size))
    try:
        process.communicate(timeout=draw.uniform(0.0, 1.0) ** 2 * 2.0)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert process.returncode in (0, -signal.SIGKILL)
    return process.returncode != 0


def swept(path: Path, name: str, *, kills: int, rows: int, size: int, seed: int) -> str:
    """Kill runs of a job, each from where the last left it, until so many were struck; check each that came to its end. Returns figures.

    A run that ended is followed by one of a new job at the same server: what one leaves there must not confuse the next.
    """
    draw = random.Random(seed)
    struck: Counter[str] = Counter()
    calls: dict[str, tuple[int, int]] = {}
    runs, began = 0, time.monotonic()
    batches = -(-rows // size)
    with SERVERS[name](path) as (origin, submitted):
        while struck.total() < kills:
            place = path / f"job-{runs}"
            place.mkdir()
            folder = batch_job(place, f"{origin}/v1", rows=rows, size=size, model=MODELS.get(name, "house/test-model"))
            calls = calls or calls_of_a_run(folder)
            is_over = runs == 0
            while not is_over and struck.total() < kills:
                at_call = draw.random() < 0.5
                is_struck = killed_at_call(folder, draw, calls) if at_call else killed_sometime(folder, draw)
                struck["calls" if at_call else "moments"] += is_struck
                is_over = not is_struck
            if not is_over:
                ended = folder.run(timeout=1800, environ=unmeasured())
                assert ended.returncode == 0, ended.stderr
            runs += 1
            check(name, folder, submitted(), runs, batches)
            print(f"{name}: {dict(struck)} kills, {runs} runs, {time.monotonic() - began:,.0f} s", flush=True)
    left = "0 uploads left behind" if name != "llmock" else "it lists no files"
    return (
        f"{name}: {struck['moments']} kills at random moments and {struck['calls']} at system calls, over {runs} runs of {rows:,} rows in"
        f" {batches} batches each: submitted twice 0, lost 0, doubled 0, {left} ({time.monotonic() - began:,.0f} s)"
    )


def check(name: str, folder: JobFolder, found: Submitted, runs: int, batches: int) -> None:
    """The server has one batch of each shard and each row once in them; the outputs have each row once, with its own answer."""
    assert len(found.statuses) == runs * batches, (name, found.statuses)
    assert set(found.statuses) == {"completed"}
    assert found.questions == Counter({row["text"]: runs for row in folder.rows})
    assert not found.unused
    assert [line["completion"] for line in folder.completions()] == [ANSWERS[name].format(row["text"]) for row in folder.rows]
    assert Counter(record["id"] for record in folder.journal()) == Counter(row["id"] for row in folder.rows)
    steps = Counter(json.loads(line)["event"] for line in (folder.directory / "submissions.jsonl").read_text().splitlines())
    assert (steps["created"], steps["collected"]) == (batches, batches)
    check_accounts(folder)


@pytest.mark.parametrize("name", ["own", "aimock", "llmock"])
def test_killed_a_few_times(tmp_path: Path, name: str) -> None:
    """Three kills, 40 rows in four batches: each row is submitted once and answered once, and no upload is left behind (fault 76)."""
    print(swept(tmp_path, name, kills=3, rows=40, size=10, seed=4))


@pytest.mark.long
@pytest.mark.parametrize("name", SERVERS)
def test_a_hundred_kills(tmp_path: Path, name: str) -> None:
    """2,000 rows in eight batches and 100 kills, at random moments and at system calls: submitted twice 0, lost 0, doubled 0, left 0."""
    print("\n" + swept(tmp_path, name, kills=100, rows=2000, size=250, seed=16))
