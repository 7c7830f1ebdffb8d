"""promptmill prune: what a run no longer needs goes, what it needs stays, and nothing goes before it was listed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.jobs import JobFolder, called, ids, rows_sent
from tests.support.scripted import ScriptedEndpoint


@pytest.fixture
def folder(tmp_path: Path, endpoint: ScriptedEndpoint) -> JobFolder:
    """A run that was begun anew once, and finished."""
    folder = JobFolder(tmp_path, endpoint.url, rows=20)
    assert folder.call("run", str(folder.job)).returncode == 0
    assert folder.call("run", str(folder.job), "--fresh").returncode == 0
    return folder


def test_nothing_goes_before_it_was_listed(folder: JobFolder) -> None:
    """Without --yes the sizes are shown, and the command that removes it."""
    shown = called(folder, "prune", str(folder.directory))
    assert shown.exit_code == 0
    assert "old/, set aside by --fresh" in shown.output
    assert f"prune {folder.directory} --yes" in shown.output
    assert (folder.directory / "old").is_dir()


def test_a_pruned_run_goes_on(folder: JobFolder, endpoint: ScriptedEndpoint) -> None:
    """Packed or not, it is verified, read and continued; nothing is sent again."""
    before, sent = folder.completions(), rows_sent(endpoint)
    assert called(folder, "prune", str(folder.directory), "--yes", "--pack").exit_code == 0
    assert not list((folder.directory / "old").iterdir())
    assert not list(folder.directory.glob("journal/*/*.jsonl"))
    for command in ("status", "verify"):
        assert called(folder, command, str(folder.directory)).exit_code == 0
    called(folder, "prune", str(folder.directory), "--yes", "--pack")
    with (folder.path / "rows.jsonl").open("a") as file:
        file.writelines(json.dumps({"id": f"r{number}", "text": f"new {number}"}) + "\n" for number in range(20, 25))
    assert folder.call("run", str(folder.job)).returncode == 0
    assert ids(folder.completions())[:20] == ids(before)
    assert len(folder.completions()) == 25
    assert rows_sent(endpoint) - sent == 5


def test_figures_for_programs(folder: JobFolder) -> None:
    """--json has the bytes of each kind, and what is free now."""
    listed = json.loads(called(folder, "prune", str(folder.directory), "--json").output)
    assert listed["removed"] is False
    assert listed["old"] > 0
    done = json.loads(called(folder, "prune", str(folder.directory), "--yes", "--json").output)
    assert done["freed"] == listed["old"]


def test_a_folder_that_is_no_run_is_not_touched(tmp_path: Path, folder: JobFolder) -> None:
    """Also one with an old/ of its own."""
    other = tmp_path / "other"
    (other / "old").mkdir(parents=True)
    (other / "old" / "letter.txt").write_text("dear")
    refused = called(folder, "prune", str(other), "--yes")
    assert refused.exit_code == 2
    assert "no run was begun here" in refused.output
    assert (other / "old" / "letter.txt").read_text() == "dear"
    assert not (other / "run.lock").exists()
