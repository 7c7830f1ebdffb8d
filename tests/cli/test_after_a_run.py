"""`promptmill status`, `verify` and `export` of a run that has ended."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.jobs import JobFolder, run_here, status_json
from tests.support.scripted import ScriptedEndpoint
from tests.support.scripts import refuse_every_third


def test_a_mended_line_leaves_an_outcome_that_is_explained(endpoint: ScriptedEndpoint, tmp_path: Path) -> None:
    """Promise 1, fault 50: a bad line that was mended is a new row; its old failure is in no output, and status and verify say so."""
    folder = JobFolder(tmp_path, endpoint.url, rows=4)
    path = tmp_path / "rows.jsonl"
    good = path.read_text()
    path.write_text(good.replace('"question 2"}', '"question'))
    assert folder.call().returncode == 1
    path.write_text(good)
    assert folder.call().returncode == 0
    (variant,) = status_json(folder)
    counts = {name: variant[name] for name in ("total", "ok", "failed", "not_attempted", "orphaned", "orphaned_failed", "failures")}
    assert counts == {"total": 4, "ok": 4, "failed": 0, "not_attempted": 0, "orphaned": 1, "orphaned_failed": 1, "failures": []}
    assert "or a bad line that was corrected" in folder.call("status", str(folder.directory)).stdout
    verified = folder.call("verify", str(folder.directory))
    assert verified.returncode == 0
    assert "or a bad line that was corrected); no fault, and not in the outputs" in verified.stdout
    assert folder.errors() == []


@pytest.fixture
def failed_run(tmp_path: Path) -> JobFolder:
    """A finished run of ten rows of which four failed."""
    with ScriptedEndpoint(refuse_every_third) as endpoint:
        job = JobFolder(tmp_path, endpoint.url)
        assert run_here(job).exit_code == 1
    return job


def test_status_shows_counts_and_failures(failed_run: JobFolder) -> None:
    """`status` has a line for each model, and each kind of failure with its count and an example."""
    result = failed_run.call("status", "runs/test")
    assert (result.returncode, result.stderr) == (0, "")
    lines = result.stdout.splitlines()
    assert lines[0] == "test in runs/test"
    heading, counts = lines[2:4]
    assert heading.split("  ")[0] == "model"
    assert counts.split()[:5] == ["house/test-model", "10", "6", "4", "0"]
    assert "  4 context_length (api)" in lines
    assert "    row 0, id r0: too long" in lines
    assert "the cost is unknown" in lines
    assert sum(line.startswith("last outcome ") for line in lines) == 1


def test_status_as_json(failed_run: JobFolder) -> None:
    """`status --json` has the same as one JSON object."""
    status = json.loads(failed_run.call("status", "runs/test", "--json").stdout)
    [variant] = status["variants"]
    assert status["directory"].endswith("runs/test")
    assert (variant["name"], variant["total"], variant["ok"], variant["failed"], variant["not_attempted"]) == (
        "house/test-model",
        10,
        6,
        4,
        0,
    )
    assert [(failures["code"], failures["count"]) for failures in variant["failures"]] == [("context_length", 4)]


def test_verify_of_a_sound_run(failed_run: JobFolder) -> None:
    """`verify` ends with 0 when input, journal and outputs agree."""
    result = failed_run.call("verify", "runs/test")
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.splitlines()[-1] == "sound and complete"


def test_verify_names_damage_and_salvage_mends_it(failed_run: JobFolder) -> None:
    """A flipped byte is named with its offset and refused by `run`; `--salvage` keeps the rest, `resume` sends the lost row (fault 40)."""
    [journal] = failed_run.directory.glob("journal/*/*.jsonl")
    text = journal.read_bytes()
    begin = text.index(b"\n") + 1
    journal.write_bytes(text[: begin + 200] + bytes([text[begin + 200] ^ 1]) + text[begin + 201 :])
    found = failed_run.call("verify", "runs/test")
    assert found.returncode == 2
    assert f"damaged at byte {begin}" in found.stdout
    assert found.stdout.splitlines()[-1] == "not sound; to keep every whole record: promptmill verify runs/test --salvage"
    assert failed_run.call().returncode == 2
    failed_run.call("verify", "runs/test", "--salvage")
    with ScriptedEndpoint(refuse_every_third) as endpoint:
        result = failed_run.call("resume", "runs/test", "--set", f"provider.house.base_url={endpoint.url}", "--changed", "keep")
        assert sum(endpoint.counts().values()) == 1, result.stderr
    assert failed_run.call("verify", "runs/test").stdout.splitlines()[-1] == "sound and complete"


def test_verify_tells_what_is_left(failed_run: JobFolder) -> None:
    """Rows without an outcome are no fault; the way on is shown. JSON says the same."""
    with (failed_run.path / "rows.jsonl").open("a") as rows:
        rows.write('{"id": "r10", "text": "question 10"}\n')
    result = failed_run.call("verify", "runs/test")
    assert result.returncode == 0, result.stdout
    assert result.stdout.splitlines()[-1] == "sound so far; 1 of 11 tasks have no outcome yet: promptmill resume runs/test"
    found = json.loads(failed_run.call("verify", "runs/test", "--json").stdout)
    assert (found["sound"], found["complete"], found["variants"][0]["missing"]) == (True, False, 1)


def test_export_prints_the_files_it_wrote(failed_run: JobFolder) -> None:
    """`export` writes both files in the format that was asked for, and stdout has their paths for other programs."""
    result = failed_run.call("export", "runs/test", "--format", "csv", "--output", "for-excel")
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.splitlines() == ["for-excel/completions.csv", "for-excel/errors.csv"]
    assert len((failed_run.path / "for-excel/completions.csv").read_text().splitlines()) == 7
