"""Real disks that refuse under the whole command: a full file system, a limit on file sizes, EIO from the kernel. Faults 41 and 42."""

from __future__ import annotations

import re
import resource
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.support.foreign import needs_program
from tests.support.jobs import JobFolder, check_accounts, ids, rows_sent
from tests.support.scripted import Action, Received, ScriptedEndpoint, chat_reply
from tests.support.scripts import for_rows

ROWS = 60
WORKERS = 4
# Long answers: the journal of all rows takes about 160 KiB, and their completions 140 KiB.
ANSWER = "x" * 2000


def long_answers(received: Received) -> Iterable[Action]:
    """Each row's answer fills two kilobytes."""
    return [chat_reply(f"{ANSWER} {received.prompt}")]


def check_goes_on(folder: JobFolder, endpoint: ScriptedEndpoint, kept: int) -> None:
    """What was recorded is whole, and the same command sends the others and comes to the right end."""
    check_accounts(folder)
    assert len(folder.journal()) == kept
    before = rows_sent(endpoint)
    assert before - kept <= WORKERS
    ended = folder.run()
    assert ended.returncode == 0, ended.stderr
    assert rows_sent(endpoint) - before == ROWS - kept
    assert ids(folder.completions()) == [row["id"] for row in folder.rows]
    check_accounts(folder)


def not_attempted(err: str) -> int:
    """What the summary says."""
    found = re.search(rf"rows\s+{ROWS} = .*\+ (\d+) not attempted", err)
    assert found, err
    return int(found.group(1))


def on_small_disk(folder: JobFolder, kilobytes: int, before: str = "true") -> subprocess.CompletedProcess[str]:
    """The run with `runs/` on a file system of its own, of this size; what is on it then is moved to a disk with room.

    `before` is a shell command that is run there first.
    """
    (folder.path / "runs").mkdir()
    script = f'mount -t tmpfs -o size={kilobytes}k tmpfs runs && {{ {before}; "$@"; code=$?; cp -a runs kept; exit $code; }}'
    command = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script, "sh", *folder.command("run", folder.job.name)]
    ended = subprocess.run(command, cwd=folder.path, capture_output=True, text=True)
    shutil.rmtree(folder.path / "runs")
    (folder.path / "kept").rename(folder.path / "runs")
    return ended


def can_mount() -> bool:
    """Whether this machine lets us mount in a namespace of our own."""
    tried = ["unshare", "--user", "--map-root-user", "--mount", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
    return shutil.which("unshare") is not None and subprocess.run(tried, capture_output=True).returncode == 0


may_mount = pytest.mark.skipif(not can_mount(), reason="this machine allows no mounts in a user namespace")


@may_mount
@pytest.mark.parametrize("durability", ["group", "row"])
def test_the_disk_is_full_in_mid_run(tmp_path: Path, durability: str) -> None:
    """Fault 41, promises 1 and 2: a file system without room: stopped with 5, what fits is kept, with room the same command goes on."""
    with ScriptedEndpoint(for_rows(long_answers)) as endpoint:
        folder = JobFolder(tmp_path, endpoint.url, rows=ROWS, concurrency=WORKERS, durability=durability)
        ended = on_small_disk(folder, 96)
        assert ended.returncode == 5, ended.stderr
        assert "the disk is full" in ended.stderr
        kept = ROWS - not_attempted(ended.stderr)
        assert 15 <= kept < 45
        check_goes_on(folder, endpoint, kept)


@may_mount
@pytest.mark.parametrize("before", ["", "mkdir runs/test;", "mkdir -p runs/test/journal/house--test-model;"])
def test_the_disk_is_full_before_the_start(tmp_path: Path, before: str) -> None:
    """Fault 41: a file system that is full already, with or without a run directory: 5 and a sentence, nothing is sent or left behind."""
    fill = f"{before} head -c 64k /dev/zero > runs/filler 2> errors"
    with ScriptedEndpoint(for_rows(long_answers)) as endpoint:
        folder = JobFolder(tmp_path, endpoint.url, rows=ROWS, concurrency=WORKERS)
        ended = on_small_disk(folder, 64, fill)
        assert ended.returncode == 5, ended.stderr
        assert "the disk is full: free some space, then give the same command again" in ended.stderr
        assert rows_sent(endpoint) == 0
        (tmp_path / "runs" / "filler").unlink()
        ended = folder.run()
        assert ended.returncode == 0, ended.stderr
        assert rows_sent(endpoint) == ROWS
        check_accounts(folder)


@may_mount
def test_the_disk_is_full_when_the_outputs_are_written(tmp_path: Path) -> None:
    """Faults 41 and 44, promise 11: room for the journal only: said, no half of an output stays, and nothing is sent again."""
    with ScriptedEndpoint(for_rows(long_answers)) as endpoint:
        folder = JobFolder(tmp_path, endpoint.url, rows=ROWS, concurrency=WORKERS)
        ended = on_small_disk(folder, 240)
        assert ended.returncode == 5, ended.stderr
        assert "jsonl: cannot be written: No space left on device" in ended.stderr
        assert "all outcomes are in the journal; run the same command again, nothing is sent twice" in ended.stderr
        assert {path.name for path in folder.directory.iterdir()} - {"watch", "run.log.jsonl"} == {"journal", "run.json", "run.lock"}
        check_goes_on(folder, endpoint, ROWS)


def test_a_file_may_not_grow_further(tmp_path: Path) -> None:
    """Fault 41: `ulimit -f`: stopped with 5, the whole prefix stays, and under no limit the same command goes on."""
    limit = 50_000
    with ScriptedEndpoint(for_rows(long_answers)) as endpoint:
        folder = JobFolder(tmp_path, endpoint.url, rows=ROWS, concurrency=WORKERS)
        ended = folder.run(preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)))
        assert ended.returncode == 5, ended.stderr
        assert "the file is larger than the limit allows: raise it (ulimit -f)" in ended.stderr
        check_goes_on(folder, endpoint, ROWS - not_attempted(ended.stderr))


@needs_program("strace")
@pytest.mark.parametrize(
    ("call", "code", "said"),
    [
        ("fdatasync", "EIO", "the disk reports an input/output error"),
        ("write", "EIO", "the disk reports an input/output error"),
        ("write", "EDQUOT", "quota"),
        ("write", "ENOSPC", "the disk is full"),
    ],
)
def test_the_kernel_refuses_the_journal(tmp_path: Path, call: str, code: str, said: str) -> None:
    """Faults 41 and 42: from the third such call on the journal's file is refused: stopped with 5, the disk is not asked a
    second time (a sync after a failed one may be called good), and the same command goes on.
    """  # noqa: D205 - one sentence
    with ScriptedEndpoint(for_rows(long_answers)) as endpoint:
        folder = JobFolder(tmp_path, endpoint.url, rows=ROWS, concurrency=WORKERS, durability="row")
        journal = folder.directory / "journal" / "house--test-model" / "000001.jsonl"
        traced = ["-P", str(journal), "-e", "trace=write,fdatasync", "-e", f"inject={call}:error={code}:when=3+"]
        strace = ["strace", "-f", "--seccomp-bpf", "-qq", "-e", "signal=none", "-o", str(tmp_path / "calls"), *traced]
        ended = subprocess.run([*strace, *folder.command("run", folder.job.name)], cwd=tmp_path, capture_output=True, text=True)
        assert ended.returncode == 5, ended.stderr
        assert said in ended.stderr
        calls = (tmp_path / "calls").read_text()
        assert len(re.findall(rf"{call}(?:\(| resumed).*INJECTED", calls)) == 1, calls
        check_goes_on(folder, endpoint, len(folder.journal()))
