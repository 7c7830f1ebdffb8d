"""The run directory: one runner at a time, a manifest that is whole, and nothing that was paid for is deleted."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from batch.errors import LockedError, RunDirectoryError, StorageError
from batch.rundir.local import RunDirectory
from tests.support.runs import manifest
from tests.support.stores import outcome, write_journal

HOLDER = """
import sys
from batch.rundir.local import RunDirectory
with RunDirectory(sys.argv[1]).lock():
    print("held", flush=True)
    sys.stdin.read()
"""


def test_second_runner_is_refused_until_the_first_is_killed(tmp_path: Path) -> None:
    """The holder is named; when it is killed with SIGKILL the directory is free at once (promise 10, fault 45)."""
    run = tmp_path / "run"
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, str(run)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert holder.stdin
    assert holder.stdout
    with holder:
        assert holder.stdout.readline() == b"held\n"
        refused = pytest.raises(LockedError, match=f"{run} is in use by pid {holder.pid} on host {socket.gethostname()} since 20")
        with refused, RunDirectory(run).lock():
            pass
        holder.kill()
        holder.wait()

    with RunDirectory(run).lock():
        assert json.loads((run / "run.lock").read_text())["pid"] == os.getpid()
    with RunDirectory(run).lock():
        pass


def test_a_holder_that_left_no_name(tmp_path: Path) -> None:
    """A lock file without a name in it locks all the same (fault 45)."""
    with RunDirectory(tmp_path).lock():
        (tmp_path / "run.lock").write_text("")
        with pytest.raises(LockedError, match="another runner"), RunDirectory(tmp_path).lock():
            pass


def test_manifest(tmp_path: Path) -> None:
    """What is written comes back, with the layout; a run is there once it has one."""
    directory = RunDirectory(tmp_path)
    assert not directory.exists

    written = manifest("t", rows=3)
    directory.write_manifest(written)

    assert directory.exists
    assert directory.manifest == written
    assert json.loads((tmp_path / "run.json").read_text())["layout"] == "2.0"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"layout": "3.0"}', "has layout 3.0, this promptmill writes 2.0"),
        ("{", "not a promptmill run"),
        ("[]", "not a promptmill run"),
        ('{"name": "x"}', "not a promptmill run"),
        ('{"layout": "2.0", "variants": 3}', "is damaged"),
        ('{"layout": "2.0", "unrecorded_usd": "much"}', "is damaged"),
        (None, "no run was begun here"),
    ],
)
def test_manifest_refused(tmp_path: Path, text: str | None, said: str) -> None:
    """A manifest of another layout, or of something else, is refused with a sentence (promise 9)."""
    if text is not None:
        (tmp_path / "run.json").write_text(text)

    with pytest.raises(RunDirectoryError, match=said):
        _ = RunDirectory(tmp_path).manifest


def test_a_minor_change_of_layout_is_read(tmp_path: Path) -> None:
    """Only another major layout keeps a run from going on."""
    (tmp_path / "run.json").write_text('{"layout": "2.7", "name": "x"}')

    assert RunDirectory(tmp_path).manifest.name == "x"


def test_fresh_moves_aside(tmp_path: Path) -> None:
    """Earlier results are moved, not deleted; what promptmill did not write stays where it is; twice in a second is no clash."""
    directory = RunDirectory(tmp_path)
    assert "Nothing of an earlier run" in directory.clear()
    for _ in range(2):
        directory.write_manifest(manifest("t"))
        write_journal(directory.journal_dir("v"), outcome(1))
        for name in ("completions.jsonl", "errors.parquet", "report.html", "notes.txt"):
            (tmp_path / name).write_text(name)
        assert "moved to" in directory.clear()

    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["notes.txt", "old"]
    kept = list((tmp_path / "old").iterdir())
    assert len(kept) == 2
    for folder in kept:
        assert sorted(entry.name for entry in folder.iterdir()) == [
            "completions.jsonl",
            "errors.parquet",
            "journal",
            "report.html",
            "run.json",
        ]
        assert (folder / "journal" / "v" / "000001.jsonl").stat().st_size
    assert directory.slugs() == []
    assert not directory.exists


def test_fresh_moves_the_journal_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A crash in the middle never leaves old outcomes to a new run (fault 44)."""
    directory = RunDirectory(tmp_path)
    directory.write_manifest(manifest("t"))
    write_journal(directory.journal_dir("v"), outcome(1))
    rename = Path.rename

    def once(self: Path, target: Path) -> Path:
        monkeypatch.setattr(Path, "rename", refuse)
        return rename(self, target)

    def refuse(self: Path, target: Path) -> Path:
        raise OSError(5, "crash")

    monkeypatch.setattr(Path, "rename", once)
    with pytest.raises(StorageError):
        directory.clear()

    assert directory.slugs() == []
    assert directory.exists


def test_paths_that_cannot_be_used(tmp_path: Path) -> None:
    """A file where the folder should be gives a clear error, and so does one above it (fault 60)."""
    (tmp_path / "file").touch()

    with pytest.raises(RunDirectoryError, match="is a file, not a folder"), RunDirectory(tmp_path / "file").lock():
        pass
    with pytest.raises(StorageError, match="take another output dir"), RunDirectory(tmp_path / "file" / "run").lock():
        pass


def test_missing_parents_are_made(tmp_path: Path) -> None:
    """The folders above a new run are created."""
    with RunDirectory(tmp_path / "a" / "b" / "run").lock():
        pass

    assert RunDirectory(tmp_path / "a" / "b" / "run").slugs() == []


def test_a_read_only_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that cannot be written to gives a sentence with what to do (fault 60)."""

    def refuse(*_: object) -> int:
        raise OSError(30, "Read-only file system")

    # Not for the rest of the test: from 3.13 on, what removes its folder opens it in another way.
    with monkeypatch.context() as patch:
        patch.setattr(os, "open", refuse)
        with pytest.raises(StorageError, match="read-only: make it writable"), RunDirectory(tmp_path).lock():
            pass
