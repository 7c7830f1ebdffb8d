"""--env-file: keys from a file where the user says so."""

from __future__ import annotations

from pathlib import Path

from tests.support.jobs import JobFolder
from tests.support.scripted import ScriptedEndpoint

KEY = "sk-only-in-the-file-0123456789"


def test_a_key_comes_from_the_file_that_is_named(endpoint: ScriptedEndpoint, tmp_path: Path) -> None:
    """Only with --env-file is a .env read; its key is sent and stands in no file of the run, and the next command names the file."""
    job = JobFolder(tmp_path, endpoint.url, rows=3)
    job.write(provider='api_key_env = "MISTAKES_KEY"')
    (tmp_path / ".env").write_text(f"MISTAKES_KEY={KEY}\n")
    without = job.run("run", "test.toml")
    assert without.returncode == 2
    assert "MISTAKES_KEY" in without.stderr
    assert not endpoint.requests
    done = job.run("run", "test.toml", "--env-file", ".env", "--limit", "2")
    assert done.returncode == 0, done.stderr
    assert {request.headers["authorization"] for request in endpoint.requests if request.method == "POST"} == {f"Bearer {KEY}"}
    resumed = job.run("resume", "runs/test", "--env-file", ".env", "--set", "input.limit=3")
    assert resumed.returncode == 0, resumed.stderr
    assert len(job.completions()) == 3
    assert not [path for path in job.directory.rglob("*") if path.is_file() and KEY.encode() in path.read_bytes()]


def test_the_environment_comes_first(endpoint: ScriptedEndpoint, tmp_path: Path) -> None:
    """A variable that is set keeps its value; of two files the first counts."""
    job = JobFolder(tmp_path, endpoint.url, rows=1)
    job.write(provider='api_key_env = "MISTAKES_KEY"')
    for name in ("a", "b"):
        (tmp_path / f"{name}.env").write_text(f"MISTAKES_KEY=of-{name}\nMISTAKES_OTHER=1\n")
    words = ["run", "test.toml", "--fresh", "--env-file", "a.env", "--env-file", "b.env"]
    assert job.run(*words).returncode == 0
    assert job.run(*words, environ={"MISTAKES_KEY": "of-environment"}).returncode == 0
    sent = [request.headers["authorization"] for request in endpoint.requests if request.method == "POST"]
    assert sent == ["Bearer of-a", "Bearer of-environment"]
