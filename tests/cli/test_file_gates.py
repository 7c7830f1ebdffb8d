"""Gates of a job file, checked for files of answers."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

import batch
from tests.support.jobs import JobFolder, called

JOB_SCORES = """
[[score]]
kind = "number"
expected = "gold"

[[score]]
name = "nice"
kind = "judge"
judge = "house/judge"
rubric = "Is it polite?"
"""


def folder(path: Path, *gates: str) -> JobFolder:
    """A job with a plain and a judged score and these gates; a file of 40 answers of its model, 36 of them right. Nothing is sent."""
    job = JobFolder(path, "http://127.0.0.1:9")
    job.job.write_text(job.job.read_text() + JOB_SCORES + "".join(f"\n[[gate]]\n{gate}\n" for gate in gates))
    lines = [{"id": at, "model": "house/test-model", "completion": str(at if at > 3 else -1), "gold": at} for at in range(40)]
    (path / "answers.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return job


@pytest.mark.parametrize("command", ["score", "compare"])
@pytest.mark.parametrize(("bound", "code"), [("min = 0.7", 0), ("min = 0.85", 3), ('variant = "house/test-model"\nmax = 0.99', 0)])
def test_gates_are_checked_for_files(tmp_path: Path, command: str, bound: str, code: int) -> None:
    """A file of answers passes or fails the gates of --job as a run does, with the exit code, in text, JSON, JUnit and Python."""
    job = folder(tmp_path, f'score = "number"\n{bound}')
    done = called(job, command, "answers.jsonl", "--job", "test.toml", "--junit", "gates.xml")
    assert done.exit_code == code, done.stderr
    assert ("gate failed: number: house/test-model" in done.stderr) == bool(code)
    assert ("FAIL" if code else "pass") in done.stdout
    assert ET.parse(tmp_path / "gates.xml").getroot().get("failures") == str(int(bool(code)))
    assert batch.score(tmp_path / "answers.jsonl", job=tmp_path / "test.toml").passed is not bool(code)


def test_a_gate_that_cannot_be_checked_fails(tmp_path: Path) -> None:
    """A gate on a judged score has no verdicts without a run: it fails, and says why, so that CI never passes unchecked."""
    job = folder(tmp_path, 'score = "nice"\nmin = 0.1')
    done = called(job, "score", "answers.jsonl", "--job", "test.toml")
    assert done.exit_code == 3
    assert "nice: is not known: a score that calls a model needs a run" in done.stderr


def test_a_gate_on_a_model_that_the_file_has_not_is_an_error(tmp_path: Path) -> None:
    """Answers of another model than the gate's are told, not passed."""
    job = folder(tmp_path, 'score = "number"\nvariant = "house/test-model"\nmin = 0.1')
    text = (tmp_path / "answers.jsonl").read_text()
    (tmp_path / "answers.jsonl").write_text(text.replace("house/test-model", "other"))
    done = called(job, "score", "answers.jsonl", "--job", "test.toml")
    assert done.exit_code == 2
    assert "names the variant house/test-model, which this evaluation has not; it has: other" in done.stderr


def test_a_file_has_a_baseline(tmp_path: Path) -> None:
    """The first scoring writes the baseline that its gate names, the next one is held to it, row by row."""
    job = folder(tmp_path, 'score = "number"\nbaseline = "base.jsonl"\nmax_worse_rows = 1')
    assert "does not exist; save one with" in called(job, "score", "answers.jsonl", "--job", "test.toml").stderr
    assert called(job, "score", "answers.jsonl", "--job", "test.toml", "--save-baseline", "base.jsonl").exit_code == 0
    assert called(job, "score", "answers.jsonl", "--job", "test.toml").exit_code == 0
    lines = [json.loads(line) for line in (tmp_path / "answers.jsonl").read_text().splitlines()]
    (tmp_path / "answers.jsonl").write_text(
        "".join(json.dumps({**line, "completion": "-1"} if line["id"] < 7 else line) + "\n" for line in lines)
    )
    done = called(job, "score", "answers.jsonl", "--job", "test.toml")
    assert done.exit_code == 3
    assert "3 rows are worse, more than the 1 allowed: 4, 5, 6" in done.stderr
