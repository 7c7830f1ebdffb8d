"""A process that dies at any call while it makes summaries and parts: what is there is whole, and the next one makes the rest."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from batch.journal import summary_files
from batch.journal.done import DoneTasks
from batch.results import part_processes
from batch.results.outputs import write_outputs
from batch.results.verify import verify
from batch.rundir.local import RunDirectory
from batch.rundir.manifest import InputRecord
from tests.support.runs import FinishedRun
from tests.support.stores import outcome, write_journal

ROWS = 6
EVENTS = {"open", "os.rename", "os.remove", "os.mkdir", "os.chmod", "os.listdir", "os.scandir"}


def dies_at(number: int, work: Callable[[], object]) -> bool:
    """Do the work in a forked process that is killed at its `number`th call to the disk; False when it ended first."""
    child = os.fork()
    if not child:
        left = number

        def count(*_: object) -> None:
            nonlocal left
            left -= 1
            if left <= 0:
                # Not os._exit: coverage writes its data there, which are calls to the disk again.
                os.kill(os.getpid(), signal.SIGKILL)

        def counted(call: Callable[..., Any]) -> Callable[..., Any]:
            def made(*arguments: Any, **options: Any) -> Any:
                count()
                return call(*arguments, **options)

            return made

        os.fsync, os.fdatasync = counted(os.fsync), counted(os.fdatasync)
        sys.addaudithook(lambda event, _: count() if event in EVENTS else None)
        try:
            work()
        finally:
            left = sys.maxsize
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FinishedRun:
    """A run with old parts, and a newer record of a row in the second one."""
    monkeypatch.setattr(summary_files, "WORTH_BYTES", 0)
    monkeypatch.setattr(part_processes, "usable_cores", lambda: 1)
    rows = [{"id": f"r{n}", "label": n} for n in range(ROWS)]
    outcomes = [outcome(row, error="no" if row == 3 else None, id_=f"r{row}") for row in range(ROWS)]
    run = FinishedRun(tmp_path, rows, {"v": outcomes}, id_column="id", columns=["label"])
    run.job = replace(run.job, output=replace(run.job.output, rows_per_part=2))
    recorded = InputRecord(run.dataset.identity(), run.dataset.selection)
    run.directory.write_manifest(replace(run.directory.manifest, input=recorded, ordinals_hold=True))
    write_outputs(run.stored)
    for path in run.directory.path.glob("journal/v/*.summary"):
        path.unlink()
    number = len(list(run.directory.path.glob("journal/v/*.jsonl"))) + 1
    write_journal(tmp_path / "more", outcome(3, id_="r3"))
    shutil.copy(tmp_path / "more" / "000001.jsonl", run.directory.path / "journal" / "v" / f"{number:06d}.jsonl")
    return run


def parts(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("*-of-*.jsonl")}


@pytest.mark.parametrize("fresh", [False, True])
@pytest.mark.parametrize("step", [40, pytest.param(1, marks=pytest.mark.long)])
def test_a_kill_at_any_call_leaves_whole_parts(run: FinishedRun, tmp_path: Path, fresh: bool, step: int) -> None:
    """Promise 11: each part is the old one or the new one, whole; the summaries say what the records say; the next call ends it."""
    if fresh:
        for path in [*run.directory.path.glob("*-of-*"), *run.directory.path.glob(".parts/*")]:
            path.unlink()
    begun = tmp_path / "begun"
    shutil.copytree(run.directory.path, begun)
    old = parts(begun)
    write_outputs(run.stored)
    new = parts(run.directory.path)
    assert len(new) == 6
    assert new != old
    number = 0
    while True:
        number += step
        folder = tmp_path / f"killed-{number}"
        shutil.copytree(begun, folder)
        directory = RunDirectory(folder)
        stored = replace(run.stored, directory=directory)
        struck = dies_at(number, lambda stored=stored: write_outputs(stored))
        for name, content in parts(folder).items():
            assert content in (old.get(name), new[name]), f"{name} after a kill at call {number}"
        done = DoneTasks.load(directory.journal_dir("v"))
        assert (done.ok, done.failed) == (ROWS, 0)
        write_outputs(stored)
        assert parts(folder) == new
        shutil.rmtree(folder)
        if not struck:
            break
    assert number > 20
    print(f"{number:,} calls, killed at each {step}th")
    assert verify(run.stored).sound
