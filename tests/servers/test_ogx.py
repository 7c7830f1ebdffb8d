"""Runs through OGX (formerly Llama Stack), a server that is a gateway to others: before llmock with faults."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.foreign import PRICE, check_all_answered, check_money, kill_in_the_middle, python_program, serving
from tests.support.jobs import JobFolder, run_here
from tests.support.processes import server_port

pytestmark = [pytest.mark.long, pytest.mark.timeout(3600)]

CONCURRENCY = 8
# Of a request that fails it sends two more by itself (the OpenAI SDK inside it does).
OWN_TRIES = 3
# So few requests at once that one of them surely uses its tries up, and that the endpoint does not count as out of order.
FEW = 2


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """The origins of OGX and of the llmock behind it."""
    mock = python_program("llmock", "llmock==0.2.2")
    program = python_program("ogx", "ogx==1.5.0", oldest=(3, 12))
    path = tmp_path_factory.mktemp("ogx")
    llmock, origin = (f"http://127.0.0.1:{server_port()}" for _ in range(2))
    serve = [str(mock), "serve", "--port", llmock.rpartition(":")[2], "--log-level", "warning", "--response-style", "echo"]
    route = [str(program), "run", "--providers", "inference=remote::openai", "--insecure", "--port", origin.rpartition(":")[2]]
    # It keeps its databases below the home directory.
    environ = {"HOME": str(path), "OPENAI_API_KEY": "none", "OPENAI_BASE_URL": f"{llmock}/v1", "HF_HUB_OFFLINE": "1"}
    with (
        serving(serve, f"{llmock}/health", path / "llmock.log"),
        serving(route, f"{origin}/v1/health", path / "ogx.log", environ),
    ):
        yield origin, llmock


@pytest.fixture(autouse=True)
def forgotten(servers: tuple[str, str]) -> None:
    """What llmock saw and was to do before the test is gone."""
    httpx.post(f"{servers[1]}/_llmock/reset", timeout=60).raise_for_status()


def job(path: Path, origin: str, *, model: str = "openai/gpt-4o-mini", concurrency: int = CONCURRENCY, **settings: Any) -> JobFolder:
    """A job that sends to OGX."""
    return JobFolder(path, f"{origin}/v1", model=f"house/{model}", parameters=PRICE, concurrency=concurrency, **settings)


def echoed(row: dict[str, Any]) -> str:
    """What llmock answers to a row."""
    return f"Hello! You said: {row['text']}"


@pytest.mark.parametrize("stream", [False, True])
def test_every_row_gets_its_own_answer(servers: tuple[str, str], tmp_path: Path, stream: bool) -> None:
    """100 rows through OGX and back, one request each."""
    folder = job(tmp_path, servers[0], rows=100, stream=stream)
    session = run_here(folder)
    check_all_answered(folder, session, echoed)
    check_money(folder)
    assert session.tally.requests == 100


@pytest.mark.parametrize("stream", [False, True])
def test_faults_behind_it_cost_no_row(servers: tuple[str, str], tmp_path: Path, stream: bool) -> None:
    """Errors that OGX's own tries do not get over arrive in its words, and are waited for and retried."""
    behaviors = [
        {"type": "fail", "status": status, "times": times, "match": {"path": "*/chat/completions"}}
        for status, times in ((500, FEW * OWN_TRIES), (429, 4), (503, 4))
    ]
    httpx.post(f"{servers[1]}/_llmock/scenario", json={"behaviors": behaviors}, timeout=60).raise_for_status()
    folder = job(tmp_path, servers[0], rows=60, stream=stream, concurrency=FEW)
    session = run_here(folder)
    check_all_answered(folder, session, echoed)
    check_money(folder)
    assert session.tally.retries >= 1


def test_a_model_that_it_does_not_have_stops_the_run(servers: tuple[str, str], tmp_path: Path) -> None:
    """Its 404 for a model ends the run with 5 and its words; no row has failed."""
    session = run_here(job(tmp_path, servers[0], model="nope", rows=20, preflight=False))
    assert (session.exit_code, session.tally.failed) == (5, 0)
    assert "not found" in session.reason


def test_killed_in_the_middle(servers: tuple[str, str], tmp_path: Path) -> None:
    """SIGKILL with a third done: the same command sends what is missing, and at most what was in flight again."""
    folder = job(tmp_path, servers[0], rows=200)
    kill_in_the_middle(folder)
    seen = httpx.get(f"{servers[1]}/_llmock/requests", timeout=60).json()["requests"]
    assert [line["completion"] for line in folder.completions()] == [echoed(row) for row in folder.rows]
    assert 0 <= sum(request["method"] == "POST" for request in seen) - 200 <= CONCURRENCY
    check_money(folder)
