"""Parts while a run is sending: the command in a process of its own, against a scripted endpoint."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from pathlib import Path

from tests.support.jobs import JobFolder, lines_of
from tests.support.scripted import Action, Received, ScriptedEndpoint, answer
from tests.support.scripts import for_rows, row_number, until, wait_until

ROWS = 60


def divided(path: Path, url: str, **settings: object) -> JobFolder:
    folder = JobFolder(path, url, rows=ROWS, concurrency=4, **settings)
    folder.job.write_text(folder.job.read_text() + "rows_per_part = 5\n")
    return folder


def completions(folder: JobFolder) -> list[dict]:
    return [line for path in sorted(folder.directory.glob("completions-*")) for line in lines_of(path)]


def test_the_first_part_is_there_before_a_tenth_of_the_rows(tmp_path: Path) -> None:
    """Promise 11: while the rest is not answered, the first part stands there whole; a killed run keeps it, and ends with all parts."""
    may_pass = threading.Event()

    def handle(received: Received) -> Iterable[Action]:
        if row_number(received) >= ROWS // 10:
            yield from until(may_pass.is_set)
        yield from answer(received)

    with ScriptedEndpoint(for_rows(handle)) as endpoint:
        folder = divided(tmp_path, endpoint.url)
        process = folder.start(measured=False)
        first = folder.directory / "completions-00000-of-00012.jsonl"
        wait_until(first.exists)
        assert [line["id"] for line in lines_of(first)] == [f"r{row}" for row in range(5)]
        assert len(list(folder.directory.glob("completions-*"))) == 1
        wait_until((folder.directory / ".parts" / f"{first.name}.json").exists)
        process.kill()
        process.communicate()
        inode = first.stat().st_ino
        may_pass.set()
        ended = folder.run()
    assert ended.returncode == 0, ended.stderr
    assert first.stat().st_ino == inode
    assert [line["id"] for line in completions(folder)] == [f"r{row}" for row in range(ROWS)]
    assert "completions-*-of-00012.jsonl (12 files)" in ended.stderr
    assert folder.call("verify", str(folder.directory)).returncode == 0


def test_worker_processes_leave_the_same_parts(tmp_path: Path) -> None:
    """With processes = 2 the outputs are in the same parts, whole and in input order."""
    with ScriptedEndpoint(for_rows(answer)) as endpoint:
        folder = divided(tmp_path, endpoint.url, processes=2)
        ended = folder.run()
    assert ended.returncode == 0, ended.stderr
    assert [line["id"] for line in completions(folder)] == [f"r{row}" for row in range(ROWS)]
    assert folder.call("verify", str(folder.directory)).returncode == 0
