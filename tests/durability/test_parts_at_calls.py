"""SIGKILL at each write, sync and rename of a run that makes summaries and parts: what is there is whole, and the same command ends it."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.durability.test_kill_sweep import CALLS, SMALL, killed_at, most_calls
from tests.support.foreign import needs_program
from tests.support.jobs import JobFolder, ids, lines_of
from tests.support.scripted import Action, Received, ScriptedEndpoint, answer, chat_reply

PER_PART = 2
# Six such answers make a journal that is worth a summary.
LONG = "x" * 60_000


def long_answer(received: Received) -> Iterable[Action]:
    """Answer a chat at length."""
    return [chat_reply(LONG)] if received.path.endswith("/chat/completions") else answer(received)


def parted_job(path: Path, url: str) -> JobFolder:
    """A run of a few rows in three parts, two rows at a time, so that a call's number says which it is."""
    path.mkdir()
    folder = JobFolder(path, url, rows=SMALL, concurrency=2, durability="row")
    folder.job.write_text(folder.job.read_text() + f"rows_per_part = {PER_PART}\n")
    return folder


def check_parts(folder: JobFolder, where: str) -> list[str]:
    """Each part that is there has all its rows, in input order; returns their names."""
    parts = sorted(folder.directory.glob("completions-*.jsonl"))
    for path in parts:
        first = PER_PART * int(path.stem.split("-")[1])
        assert ids(lines_of(path)) == [f"r{row}" for row in range(first, first + PER_PART)], (where, path.name)
    return [path.name for path in parts]


def sampled(most: dict[str, int]) -> list[tuple[str, int]]:
    """Some calls of a run: each third rename, and one each of what else there is."""
    chosen = [("rename", number) for number in range(2, most["rename"] + 1, 3)]
    return chosen + [(call, (3 * most[call] + 3) // 4) for call in ("write", "fsync", "fdatasync") if most[call]]


@needs_program("strace")
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("whole", [False, pytest.param(True, marks=pytest.mark.long)])
def test_killed_at_system_calls_of_summaries_and_parts(tmp_path: Path, whole: bool) -> None:
    """Promises 2, 3, 11: killed at any write, sync or rename of a run in parts, each part is whole or absent, and nothing is lost."""
    with ScriptedEndpoint(long_answer) as endpoint:
        counted = parted_job(tmp_path / "counted", endpoint.url)
        most = most_calls(counted)
        assert len(check_parts(counted, "whole")) == SMALL // PER_PART
        assert list(counted.directory.glob("journal/*/*.summary"))
        places = [(call, number) for call in CALLS for number in range(1, most[call] + 1)] if whole else sampled(most)
        struck = 0
        for call, number in places:
            where = f"{call} {number}"
            folder = parted_job(tmp_path / f"{call}-{number}", endpoint.url)
            struck += killed_at(folder, call, number)
            check_parts(folder, where)
            ended = folder.call()
            assert ended.returncode == 0, (where, ended.stderr)
            assert len(check_parts(folder, where)) == SMALL // PER_PART, where
            assert Counter(record["id"] for record in folder.journal()) == Counter(f"r{row}" for row in range(SMALL)), where
            assert not [path.name for path in folder.directory.rglob("*.tmp")], where
            shutil.rmtree(folder.path)
    print(f"\n{struck} of {len(places)} kills struck, at {dict(most)}")
    assert struck >= len(places) // 2
