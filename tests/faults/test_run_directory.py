"""The run directory is taken away under the whole command: removed, renamed or replaced, in whole or in part."""

from __future__ import annotations

import re
import shutil
import signal
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from tests.support.jobs import JobFolder, check_accounts, ids
from tests.support.scripted import Action, Received, ScriptedEndpoint, answer
from tests.support.scripts import after, for_rows, wait_for

ROWS = 2000
CONCURRENCY = 4
LATENCY_S = 0.005
# Rows that are sent before the directory is taken away.
BEFORE = 100


def remove(run: Path) -> None:
    """`rm -r`, which a writer may be faster than."""
    run.rename(run.with_name("removed"))
    shutil.rmtree(run.with_name("removed"))


def rename(run: Path) -> None:
    """`mv`."""
    run.rename(run.with_name("renamed"))


def replace(run: Path) -> None:
    """Another run directory has the name."""
    rename(run)
    # A socket cannot be copied.
    shutil.copytree(run.with_name("renamed"), run, ignore=shutil.ignore_patterns("control.sock"))


def remove_lock(run: Path) -> None:
    """Only the lock is deleted."""
    (run / "run.lock").unlink()


def remove_journal(run: Path) -> None:
    """Only the journal is removed."""
    (run / "journal").rename(run.with_name("removed"))


def answer_first_half(endpoint: ScriptedEndpoint, received: Received) -> Iterable[Action]:
    """Answer half of the rows: however slow the machine is, the run cannot end before it notices what has happened."""
    return after(LATENCY_S if len(endpoint.requests) < ROWS // 2 else 1000)(received)


def run_until_taken(folder: JobFolder, endpoint: ScriptedEndpoint, change: Callable[[Path], None], *options: str) -> str:
    """Run the job, change its directory after some rows, and see that the run ends; returns what it said."""
    changed: list[int] = []

    def handle(received: Received) -> Iterable[Action]:
        if len(endpoint.requests) > BEFORE and not changed:
            changed.append(len(endpoint.requests))
            change(folder.directory)
        return answer_first_half(endpoint, received)

    endpoint.handler = for_rows(handle)
    ended = folder.run("run", folder.job.name, *options)
    assert ended.returncode == 5, ended.stderr
    assert re.search(r"was removed(, renamed or replaced during the run| or renamed)", ended.stderr), ended.stderr
    assert len(endpoint.counts()) < ROWS
    return ended.stderr


@pytest.mark.parametrize("durability", ["group", "row", "os"])
@pytest.mark.parametrize("change", [remove, rename, replace, remove_lock, remove_journal])
def test_a_run_whose_directory_is_taken_away_stops(tmp_path: Path, change: Callable[[Path], None], durability: str) -> None:
    """Promises 1 and 10: exit 5, the cause is named, the other rows are not paid for, and no output is written in another's place."""
    with ScriptedEndpoint() as endpoint:
        folder = JobFolder(tmp_path, endpoint.url, rows=ROWS, concurrency=CONCURRENCY, durability=durability)
        run_until_taken(folder, endpoint, change)
        assert not (folder.directory / "completions.jsonl").exists()
        assert change in (replace, remove_lock, remove_journal) or not folder.directory.exists()


def test_a_renamed_run_resumes_under_its_new_name(tmp_path: Path) -> None:
    """Promises 1, 2 and 4: all that was recorded before and after the renaming is kept, and only what was in flight is sent again."""
    with ScriptedEndpoint() as endpoint:
        folder = JobFolder(tmp_path, endpoint.url, rows=ROWS, concurrency=CONCURRENCY)
        run_until_taken(folder, endpoint, rename)
        folder.directory = folder.directory.with_name("renamed")
        kept, sent = len(folder.journal()), sum(endpoint.counts().values())
        assert sent - kept <= CONCURRENCY
        endpoint.handler = answer
        ended = folder.call("resume", "runs/renamed")
        assert ended.returncode == 0, ended.stderr
        assert sum(endpoint.counts().values()) - sent == ROWS - kept
        assert ids(folder.completions()) == [row["id"] for row in folder.rows]
        check_accounts(folder)


def test_a_deleted_lock_lets_no_second_runner_in(tmp_path: Path) -> None:
    """Promise 10: when run.lock is deleted, the second command is refused until the first has ended, and no row is recorded twice."""
    with ScriptedEndpoint() as endpoint:
        folder = JobFolder(tmp_path, endpoint.url, rows=ROWS, concurrency=CONCURRENCY)
        endpoint.handler = lambda received: answer_first_half(endpoint, received)
        first = folder.start()
        wait_for(lambda: len(endpoint.requests) > BEFORE, first)
        # It must not notice the deletion before the second has come.
        first.send_signal(signal.SIGSTOP)
        remove_lock(folder.directory)
        second = folder.run()
        first.send_signal(signal.SIGCONT)
        err = first.communicate()[1]
        assert (second.returncode, first.returncode) == (2, 5), (second.stderr, err)
        assert "is in use by" in second.stderr
        assert "removed, renamed or replaced" in err
        endpoint.handler = answer
        assert folder.call().returncode == 0
        records = ids(folder.journal())
        assert len(records) == len(set(records)) == ROWS


def test_workers_stop_when_their_directory_is_taken_away(tmp_path: Path) -> None:
    """Promise 10: with several processes too: exit 5, the cause is named, and the other rows are not paid for."""
    with ScriptedEndpoint() as endpoint:
        folder = JobFolder(tmp_path, endpoint.url, rows=ROWS, concurrency=CONCURRENCY, processes=2)
        run_until_taken(folder, endpoint, rename)
        assert not folder.directory.exists()


def test_a_race_whose_directory_is_taken_away_stops(tmp_path: Path) -> None:
    """Promise 10: a race, which keeps its stops in run.json, ends with 5 and the cause as well."""
    with ScriptedEndpoint() as endpoint:
        folder = JobFolder(tmp_path, endpoint.url, rows=ROWS, concurrency=CONCURRENCY, race="named", preflight=False)
        more = '[[model]]\nid = "house/other"\n\n[[score]]\nname = "named"\nkind = "contains"\nexpected = "{{ text }}"\n'
        folder.job.write_text(f"{folder.job.read_text()}\n{more}")
        run_until_taken(folder, endpoint, rename)
