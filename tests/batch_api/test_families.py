"""The kinds of Batch APIs beside OpenAI's, and Anthropic's Messages API live and by batches."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from batch import app
from batch.job import load
from tests.batch_api.test_batches import check_done, job, ledger
from tests.support.batch_families import InlineServer, JobServer, MessagesServer
from tests.support.batch_server import BatchServer, Plan
from tests.support.jobs import JobFolder, run_here

KEY = {"HOUSE_KEY": "secret-key"}


def messages_job(path: Path, server: MessagesServer, **settings: Any) -> JobFolder:
    """A job for Anthropic's API at the server's address."""
    provider = 'preset = "anthropic"\napi_key_env = "HOUSE_KEY"'
    folder = job(path, server, provider=provider, **settings)
    folder.job.write_text(folder.job.read_text().replace("[prompt]\n", '[prompt]\napi = "messages"\nsystem = "Be short."\n'))
    return folder


def run_with_key(folder: JobFolder, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> Any:
    """Run the job with the key in the environment."""
    monkeypatch.setenv("HOUSE_KEY", "secret-key")
    return folder.call(*(arguments or ("run", folder.job.name)))


def test_inline_batches(tmp_path: Path) -> None:
    """Requests within the call, results in the batch: the same outputs, 60 % of an expired one are kept."""
    with InlineServer(Plan(done=0.6, status="expired")) as server:
        folder = job(tmp_path, server, rows=20, provider='batch = "inline"')
        assert run_here(folder).exit_code == 0
        check_done(folder, server)
        assert (len(server.batches), len(server.live)) == (2, 8)


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_lost_inline_creation_is_decided_by_the_user(tmp_path: Path, when: str) -> None:
    """Nothing can be matched for certain: the run stops with 5 and says what to look at; --batch decides, and no row is sent twice."""
    with InlineServer() as server:
        server.lose = {1: when}
        folder = job(tmp_path, server, rows=10, provider='batch = "inline"')
        session = run_here(folder)
        assert session.exit_code == 5
        assert "--batch 1=" in session.reason
        assert run_here(folder).exit_code == 5
        assert server.creates == 1
        decision = next(iter(server.batches), "none")
        assert (decision == "none") == (when == "before")
        assert decision in session.reason
        ended = folder.call("run", folder.job.name, "--batch", f"1={decision}")
        assert ended.returncode == 0, ended.stderr
        check_done(folder, server)
        assert len(server.batches) == 1


@pytest.mark.parametrize("lost", [{}, {1: "after"}, {2: "before"}])
def test_jobs(tmp_path: Path, lost: dict[int, str]) -> None:
    """Mistral's jobs: the model is the job's; a lost reply is found by its metadata."""
    with JobServer(Plan(looks=2)) as server:
        server.lose = lost
        folder = job(tmp_path, server, rows=20, provider='batch = "jobs"')
        assert run_here(folder).exit_code == 0
        check_done(folder, server)
        assert [batch.document["model"] for batch in server.batches.values()] == ["test-model"] * 2
        assert all(set(line) == {"custom_id", "body"} for batch in server.batches.values() for line in batch.lines)


@pytest.mark.parametrize("stream", [False, True])
def test_messages_live(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stream: bool) -> None:
    """The Messages API, plain and streamed: system apart, a limit always, the key in its own header; text, ending and usage are read."""
    with MessagesServer() as server:
        folder = messages_job(tmp_path, server, rows=5, engine="live", stream=stream)
        ended = run_with_key(folder, monkeypatch)
        assert ended.returncode == 0, ended.stderr
        check_done(folder, server)
        line = folder.completions()[0]
        assert line["finish_reason"] == "stop"
        assert {name: line["usage"][name] for name in ("prompt_tokens", "completion_tokens")} == {
            "prompt_tokens": 8,
            "completion_tokens": 3,
        }
        assert line["usage"]["prompt_tokens_details"] == {"cached_tokens": 2, "cache_write_tokens": 1}
        assert server.live[0]["system"] == "Be short."
        assert server.live[0]["max_tokens"] == 4096
        assert "authorization" not in server.requests[0].headers
        records = folder.journal()
        assert {record["response"]["type"] for record in records} == {"message"}


def test_message_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Message Batches: results by id in another order, an invalid request fails its row, an overloaded and an expired one are sent live."""
    plan = Plan(done=0.8, refuse={0: (0, "invalid_request_error"), 1: (0, "overloaded_error")})
    with MessagesServer(plan) as server:
        folder = messages_job(tmp_path, server, rows=10)
        ended = run_with_key(folder, monkeypatch)
        assert ended.returncode == 1, ended.stderr
        assert [line["id"] for line in folder.errors()] == ["r0"]
        assert [line["completion"] for line in folder.completions()] == [f"answer to {row['text']}" for row in folder.rows[1:]]
        assert len(server.live) == 3
        assert ledger(folder)[1]["api"] == "messages"


def test_anthropic_has_batches_for_messages_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A job that calls its OpenAI-compatible layer is refused before anything is sent, with what to set; so is a provider without any."""
    with MessagesServer() as server:
        folder = job(tmp_path, server, provider='preset = "anthropic"\napi_key_env = "HOUSE_KEY"')
        ended = run_with_key(folder, monkeypatch)
        assert (ended.returncode, server.requests) == (2, [])
        assert 'api = "messages"' in ended.stderr
        other = job(tmp_path / "b", server, provider="")
        assert 'batch = "files"' in other.call().stderr


def test_the_job_says_what_its_provider_speaks(tmp_path: Path) -> None:
    """A preset's row is taken as it is; the job may name another kind; an unknown one is a mistake with its line."""
    with InlineServer() as server:
        loaded = load(job(tmp_path, server, provider='preset = "openai"\nbatch = "jobs"').job, (), {"OPENAI_API_KEY": "x"})
        api = loaded.job.variants[0].provider.batch
        assert api is not None
        assert api.family == "jobs"
        assert app.RunOptions().engine is None


def test_a_providers_own_query_goes_beside_that_of_a_call(tmp_path: Path) -> None:
    """Azure's api-version stands in each address once, beside what lists are asked for; a lost reply is found all the same."""
    with BatchServer() as server:
        server.lose = {1: "after"}
        folder = job(tmp_path, server, rows=10, provider='batch = "files"\nquery = {api-version = "v1"}')
        assert run_here(folder).exit_code == 0
        check_done(folder, server)
        paths = [received.path for received in server.endpoint.requests]
        assert all(path.count("?") == 1 and "api-version=v1" in path for path in paths)
        assert any("&limit=" in path for path in paths)


def test_azures_dated_api_has_files_beside_its_deployments(tmp_path: Path) -> None:
    """Live calls go below the deployment; files and batches, which Azure has beside it, do not, and keep the api-version."""
    with BatchServer(Plan(done=0.5, status="expired")) as server:
        house = server.url.removesuffix("/v1")
        provider = 'batch = "files"\nquery = {api-version = "2024-10-21"}'
        folder = job(tmp_path, server, rows=10, provider=provider)
        folder.job.write_text(folder.job.read_text().replace(server.url, f"{house}/openai/deployments/test-model"))
        server.prefix = "/openai/"
        assert run_here(folder).exit_code == 0
        check_done(folder, server)
        paths = {received.path.partition("?")[0] for received in server.endpoint.requests}
        assert {"/openai/files", "/openai/batches", "/openai/deployments/test-model/chat/completions"} <= paths
        assert all("api-version=2024-10-21" in received.path for received in server.endpoint.requests)
