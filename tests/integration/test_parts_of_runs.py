"""Parts while a run is sending: the command in a process of its own, against a scripted endpoint."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from pathlib import Path

from tests.support.jobs import JobFolder, lines_of
from tests.support.scripted import Action, Received, ScriptedEndpoint, answer, chat_reply
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


def test_workers_write_parts_and_summaries_while_the_rest_is_sent(tmp_path: Path) -> None:
    """Promise 11: the rows of a finished shard stand in their part before the others are answered; killed and resumed, nothing differs.

    A long answer makes journals of shards that are worth a summary: each has one that counts, made by the worker that finished it.
    """
    rows, may_pass = 1000, threading.Event()

    def handle(received: Received) -> Iterable[Action]:
        if row_number(received) >= rows // 2:
            yield from until(may_pass.is_set)
        yield chat_reply("x" * 2000) if received.path.endswith("/chat/completions") else next(iter(answer(received)))

    with ScriptedEndpoint(for_rows(handle)) as endpoint:
        folder = JobFolder(tmp_path, endpoint.url, rows=rows, concurrency=8, processes=2)
        folder.job.write_text(folder.job.read_text() + "rows_per_part = 125\n")
        process = folder.start(measured=False)
        early = [folder.directory / f"completions-0000{number}-of-00008.jsonl" for number in range(4)]
        wait_until(lambda: all(path.exists() for path in early))
        wait_until(lambda: len(list(folder.directory.glob("journal/*/*.summary"))) == 2)
        assert [line["id"] for path in early for line in lines_of(path)] == [f"r{row}" for row in range(rows // 2)]
        assert not (folder.directory / "completions-00004-of-00008.jsonl").exists()
        wait_until(lambda: len(list((folder.directory / ".parts").glob("*.json"))) == 4)
        process.kill()
        process.communicate()
        inodes = [path.stat().st_ino for path in early]
        may_pass.set()
        ended = folder.run()
    assert ended.returncode == 0, ended.stderr
    assert [path.stat().st_ino for path in early] == inodes
    assert [line["id"] for line in completions(folder)] == [f"r{row}" for row in range(rows)]
    assert folder.call("verify", str(folder.directory)).returncode == 0
