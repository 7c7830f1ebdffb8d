"""Runs through litellm's proxy: before llama.cpp with the embedded model, and before llmock with faults."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from batch.server.embedded import EmbeddedServer
from tests.support.foreign import PRICE, check_all_answered, check_money, kill_in_the_middle, python_program, serving
from tests.support.jobs import JobFolder, Session, ids, lines_of, run_here
from tests.support.processes import server_port

pytestmark = [pytest.mark.long, pytest.mark.local_model, pytest.mark.timeout(1800)]

CONCURRENCY = 8
KEY = "sk-of-the-tests-0123456789abcdef0123456789abcdef"
# Neither a list of prices nor anything else is to be fetched.
OFFLINE = {"LITELLM_MASTER_KEY": KEY, "LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_TELEMETRY": "False"}


@dataclasses.dataclass(frozen=True)
class Gateway:
    """A running proxy and the llmock behind its model `mocked`; `small` is the embedded model."""

    url: str
    llmock: str

    def job(self, path: Path, model: str, **settings: Any) -> JobFolder:
        """A job that sends to the gateway with its key."""
        return JobFolder(
            path,
            self.url,
            model=f"house/{model}",
            provider='api_key_env = "GATEWAY_KEY"',
            parameters=f"max_tokens = 8\n{PRICE}",
            concurrency=CONCURRENCY,
            **settings,
        )


@pytest.fixture(scope="session")
def gateway(embedded_server: EmbeddedServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """The proxy, which hands failures on and repeats nothing itself."""
    mock, proxy = python_program("llmock", "llmock==0.2.2"), python_program("litellm", "litellm[proxy]==1.108.7")
    path = tmp_path_factory.mktemp("gateway")
    llmock, origin = (f"http://127.0.0.1:{server_port()}" for _ in range(2))
    backends = {"small": ("smollm2", embedded_server.base_url), "mocked": ("gpt-4o-mini", f"{llmock}/v1")}
    models = [
        {"model_name": name, "litellm_params": {"model": f"openai/{model}", "api_base": url, "api_key": "none"}}
        for name, (model, url) in backends.items()
    ]
    config = path / "config.yaml"  # JSON is YAML
    config.write_text(json.dumps({"model_list": models, "router_settings": {"num_retries": 0}, "litellm_settings": {"num_retries": 0}}))
    serve = [str(mock), "serve", "--port", llmock.rpartition(":")[2], "--log-level", "warning", "--response-style", "echo"]
    route = [str(proxy), "--config", str(config), "--host", "127.0.0.1", "--port", origin.rpartition(":")[2]]
    with (
        serving(serve, f"{llmock}/health", path / "llmock.log"),
        serving(route, f"{origin}/health/liveliness", path / "litellm.log", OFFLINE),
    ):
        yield Gateway(f"{origin}/v1", llmock)


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    """The gateway's key, where the job looks for it."""
    monkeypatch.setenv("GATEWAY_KEY", KEY)


@pytest.fixture(autouse=True)
def forgotten(gateway: Gateway) -> None:
    """What llmock saw and was to do before the test is gone."""
    httpx.post(f"{gateway.llmock}/_llmock/reset", timeout=60).raise_for_status()


def echoed(row: dict[str, Any]) -> str:
    """What llmock answers to a row."""
    return f"Hello! You said: {row['text']}"


def check_one_request_each(folder: JobFolder, session: Session) -> None:
    """One request for each row, but for those that the proxy lost by its own doing.

    Its client (aiohttp) takes an idle connection that the server behind it has closed, as uvicorn does after 5 s, which pass between two
    requests where the machine is slow: it gives a 500 "Connection error" for a request that the server never saw.
    """
    lost = [attempt for path in folder.directory.glob("watch/*.attempts.jsonl") for attempt in lines_of(path)]
    assert all(attempt["status"] == 500 and "Connection error" in attempt["message"] for attempt in lost), lost[:3]
    assert session.tally.requests == len(folder.rows) + len(lost), (session.tally, lost[:3])


@pytest.mark.parametrize("stream", [False, True])
def test_the_embedded_model_behind_the_gateway(gateway: Gateway, tmp_path: Path, stream: bool) -> None:
    """The answers of llama.cpp come through with usage and cost: one request for each row, none failed."""
    folder = gateway.job(tmp_path, "small", rows=40, stream=stream)
    session = run_here(folder)
    assert (session.exit_code, session.tally.ok) == (0, 40), (session.tally, folder.errors()[:3])
    check_one_request_each(folder, session)
    assert ids(folder.completions()) == ids(folder.rows)
    assert {line["finish_reason"] for line in folder.completions()} <= {"stop", "length"}
    assert all(line["completion"] for line in folder.completions())
    check_money(folder)


@pytest.mark.parametrize("stream", [False, True])
def test_every_row_gets_its_own_answer(gateway: Gateway, tmp_path: Path, stream: bool) -> None:
    """200 rows through the gateway and back, one request each."""
    folder = gateway.job(tmp_path, "mocked", rows=200, stream=stream)
    session = run_here(folder)
    check_all_answered(folder, session, echoed)
    check_money(folder)
    check_one_request_each(folder, session)
    seen = httpx.get(f"{gateway.llmock}/_llmock/requests", timeout=60).json()["requests"]
    assert sum(request["method"] == "POST" for request in seen) == 200


@pytest.mark.parametrize("stream", [False, True])
def test_faults_behind_the_gateway_cost_no_row(gateway: Gateway, tmp_path: Path, stream: bool) -> None:
    """Refusals and errors of the server behind it, in the gateway's own words, are waited for and tried again."""
    behaviors = [{"type": "fail", "status": status, "times": 4, "match": {"path": "*/chat/completions"}} for status in (429, 500, 503)]
    httpx.post(f"{gateway.llmock}/_llmock/scenario", json={"behaviors": behaviors}, timeout=60).raise_for_status()
    folder = gateway.job(tmp_path, "mocked", rows=200, stream=stream)
    session = run_here(folder)
    check_all_answered(folder, session, echoed)
    check_money(folder)
    assert session.tally.retries >= 3


def test_a_wrong_key_stops_the_run(gateway: Gateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The gateway's refusal of a key ends the run with 5 and its words; no row has failed, and with the right key it continues."""
    folder = gateway.job(tmp_path, "mocked", rows=20, preflight=False)
    monkeypatch.setenv("GATEWAY_KEY", KEY[::-1])
    session = run_here(folder)
    assert (session.exit_code, session.tally.failed, session.tally.not_attempted) == (5, 0, 20)
    assert session.reason.startswith("house: ")
    assert KEY[::-1] not in session.reason
    monkeypatch.setenv("GATEWAY_KEY", KEY)
    check_all_answered(folder, run_here(folder), echoed)


def test_killed_in_the_middle(gateway: Gateway, tmp_path: Path) -> None:
    """SIGKILL with a third done: the same command sends what is missing, and at most what was in flight again."""
    folder = gateway.job(tmp_path, "mocked", rows=300)
    kill_in_the_middle(folder)
    seen = httpx.get(f"{gateway.llmock}/_llmock/requests", timeout=60).json()["requests"]
    assert [line["completion"] for line in folder.completions()] == [echoed(row) for row in folder.rows]
    assert 0 <= sum(request["method"] == "POST" for request in seen) - 300 <= CONCURRENCY
    check_money(folder)
