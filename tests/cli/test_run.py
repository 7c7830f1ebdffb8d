"""`promptmill run` and `resume` end to end: real jobs against a scripted endpoint on loopback."""

from __future__ import annotations

import json
import re
import signal
from pathlib import Path

import pytest

from tests.support.jobs import JobFolder, ids
from tests.support.scripted import ScriptedEndpoint, error
from tests.support.scripts import after, refuse_every_third, wait_for


def test_run_does_all_rows_and_says_so(endpoint: ScriptedEndpoint, tmp_path: Path) -> None:
    """A job without faults ends with 0, nothing on stdout, plain progress and the summary on stderr (promise 1, fault 58)."""
    job = JobFolder(tmp_path, endpoint.url)
    result = job.run()
    assert (result.returncode, result.stdout) == (0, ""), result.stderr
    lines = result.stderr.splitlines()
    assert re.fullmatch(r"20\d\d-\d\d-\d\d \d\d:\d\d:\d\d promptmill: test: results go to runs/test", lines[0])
    assert any(line[20:].startswith("promptmill: 10 of 10 rows (100 %)") for line in lines)
    assert any(line.startswith("promptmill: all rows done in ") for line in lines)
    assert "  rows       10 = 10 ok + 0 failed + 0 not attempted" in lines
    assert "  files      runs/test/completions.jsonl" in lines
    assert ids(job.completions()) == [f"r{number}" for number in range(10)]


def test_failed_rows_end_with_1_and_can_be_sent_again(tmp_path: Path) -> None:
    """Failed rows give exit code 1 and the command that sends them again; that command does it (promise 1)."""
    with ScriptedEndpoint(refuse_every_third) as endpoint:
        job = JobFolder(tmp_path, endpoint.url)
        first = job.call()
        sent = endpoint.counts()
        second = job.call()
        assert endpoint.counts() == sent
    assert (first.returncode, second.returncode) == (1, 1)
    assert "  failures   4 context_length" in first.stderr.splitlines()
    assert first.stderr.splitlines()[-1].strip() == "promptmill run test.toml --retry-failed"
    with ScriptedEndpoint() as endpoint:
        result = job.call("run", "test.toml", "--retry-failed", "--set", f"provider.house.base_url={endpoint.url}", "--changed", "keep")
        assert len(endpoint.counts()) == 4, result.stderr
    assert result.returncode == 0, result.stderr
    assert "             6 of them from earlier sessions" in result.stderr.splitlines()


def test_quiet_is_silent_when_all_is_well(endpoint: ScriptedEndpoint, tmp_path: Path) -> None:
    """--quiet writes nothing about a run without faults."""
    result = JobFolder(tmp_path, endpoint.url).call("run", "test.toml", "--quiet")
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def test_quiet_does_not_hide_failures(tmp_path: Path) -> None:
    """--quiet still says what failed."""
    with ScriptedEndpoint(refuse_every_third) as endpoint:
        result = JobFolder(tmp_path, endpoint.url).call("run", "test.toml", "-q")
    assert result.returncode == 1
    assert "4 context_length" in result.stderr


def test_limit_and_set_change_the_job(endpoint: ScriptedEndpoint, tmp_path: Path) -> None:
    """--limit takes the first rows only, --set overrides a setting, and the next run takes the rest."""
    job = JobFolder(tmp_path, endpoint.url)
    result = job.call("run", "test.toml", "--limit", "3", "--set", "model.temperature=0.5")
    assert result.returncode == 0, result.stderr
    assert sorted(endpoint.counts()) == ["question 0", "question 1", "question 2"]
    assert {received.json()["temperature"] for received in endpoint.requests if received.body} == {0.5}
    assert job.call("run", "test.toml", "--set", "model.temperature=0.5").returncode == 0
    assert ids(job.completions()) == [f"r{number}" for number in range(10)]
    assert set(endpoint.counts().values()) == {1}


def test_an_interrupted_run_goes_on_with_resume(tmp_path: Path) -> None:
    """Ctrl-C ends with 130 and the command to go on; `resume` finishes from the directory alone (fault 37)."""
    with ScriptedEndpoint(after(0.05)) as endpoint:
        job = JobFolder(tmp_path, endpoint.url, rows=200, concurrency=4)
        process = job.start()
        wait_for(lambda: len(endpoint.counts()) >= 20, process)
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate()
        assert process.returncode == 130, stderr
        assert "Traceback" not in stderr
        assert stderr.splitlines()[-1].strip() == "promptmill run test.toml"
        job.job.unlink()
        result = job.run("resume", "runs/test")
        assert result.returncode == 0, result.stderr
        assert set(endpoint.counts().values()) == {1}
    assert ids(job.completions()) == [f"r{number}" for number in range(200)]


def test_a_refused_key_stops_with_5(tmp_path: Path) -> None:
    """An endpoint that refuses the key stops the run before a row is sent: exit code 5 and the reason (fault 4)."""
    with ScriptedEndpoint(lambda received: [error(401, {"error": {"message": "wrong key"}})]) as endpoint:
        result = JobFolder(tmp_path, endpoint.url).call()
        assert not endpoint.counts()
    assert result.returncode == 5
    assert "wrong key" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_wrong_job_shows_every_problem(endpoint: ScriptedEndpoint, tmp_path: Path) -> None:
    """A job file with several mistakes ends with 2 and a line for each of them, with its place."""
    job = JobFolder(tmp_path, endpoint.url, concurency=4, attempts="six")
    result = job.call()
    assert (result.returncode, result.stdout) == (2, "")
    lines = result.stderr.splitlines()
    assert len(lines) == 2
    assert all(line.startswith("promptmill: error: test.toml:") for line in lines), lines
    assert "concurrency" in lines[0]


@pytest.mark.parametrize(
    "words",
    [
        ("run", "gone.toml"),
        ("resume", "runs/gone"),
        ("status", "runs/gone"),
        ("verify", "runs/gone"),
        ("verify", "runs/gone", "--salvage"),
        ("export", "runs/gone", "--format", "csv"),
    ],
)
def test_what_is_not_there_is_named(words: tuple[str, ...], endpoint: ScriptedEndpoint, tmp_path: Path) -> None:
    """A job or run directory that does not exist is a plain error with code 2, and nothing is made."""
    result = JobFolder(tmp_path, endpoint.url).call(*words)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith("promptmill: error: ")
    assert "gone" in result.stderr
    assert "bug" not in result.stderr
    assert not (tmp_path / "runs").exists()


def test_schema_is_json_schema(endpoint: ScriptedEndpoint, tmp_path: Path) -> None:
    """`schema` prints a JSON Schema that has the sections of a job file."""
    result = JobFolder(tmp_path, endpoint.url).call("schema")
    schema = json.loads(result.stdout)
    assert result.returncode == 0
    assert schema["$schema"].startswith("http")
    assert {"input", "prompt", "provider", "model", "run", "output"} <= set(schema["properties"])
