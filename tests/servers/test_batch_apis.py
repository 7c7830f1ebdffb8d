"""Runs by batches against aimock and llmock: the Batch APIs of OpenAI, Groq, Together, Mistral and Anthropic as others understood them."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.foreign import serving
from tests.support.foreign_batches import FIXED, Submitted, aimock, aimock_command, batch_job, llmock, ogx_before
from tests.support.jobs import JobFolder, check_accounts, run_here
from tests.support.processes import server_port
from tests.support.ray_clusters import ENVIRONMENT, RayCluster
from tests.support.scripts import wait_until

pytestmark = [pytest.mark.long, pytest.mark.timeout(3600)]


@pytest.fixture(scope="session")
def command() -> list[str]:
    """The command of aimock."""
    return aimock_command()


def check_fixed(folder: JobFolder) -> None:
    """Every row is answered, in order."""
    assert [line["id"] for line in folder.completions()] == [row["id"] for row in folder.rows]
    assert {line["completion"] for line in folder.completions()} == {FIXED}
    check_accounts(folder)


@pytest.mark.parametrize("outcome", ["completed", "failed", "expired", "cancelled"])
def test_aimock_whatever_becomes_of_a_batch(command: list[str], tmp_path: Path, outcome: str) -> None:
    """200 rows in four batches that complete, fail, expire or are cancelled: all are answered, by the batch or live."""
    headers = f'batch = "files"\nheaders = {{X-AIMock-Batch-Outcome = "{outcome}"}}'
    with aimock(command, tmp_path) as origin:
        folder = batch_job(tmp_path, f"{origin}/v1", rows=200, size=50, provider=headers)
        assert run_here(folder).exit_code == 0
        found = Submitted.at(origin)
    check_fixed(folder)
    assert (found.statuses, found.unused) == ([outcome] * 4, set())


def test_aimock_with_chaos(command: list[str], tmp_path: Path) -> None:
    """One call in twenty gets a 500 and one in twenty a cut connection, creations included: one batch of each shard in the end."""
    with aimock(command, tmp_path, "--chaos-drop", "0.05", "--chaos-disconnect", "0.05") as origin:
        folder = batch_job(tmp_path, f"{origin}/v1", rows=200, size=20)
        assert run_here(folder).exit_code == 0
        # Its chaos meets these calls too.
        found: list[Submitted] = []
        wait_until(lambda: found or _tried(origin, found))
    check_fixed(folder)
    assert (len(found[0].statuses), found[0].unused) == (10, set())
    assert found[0].questions == Counter(row["text"] for row in folder.rows)


def _tried(origin: str, found: list[Submitted]) -> bool:
    try:
        found.append(Submitted.at(origin))
    except (httpx.HTTPError, KeyError, ValueError):
        return False
    return True


@pytest.fixture(scope="session")
def llmock_origin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The origin of a running llmock."""
    with llmock(tmp_path_factory.mktemp("llmock")) as origin:
        yield origin


PROVIDERS = {
    "openai": ("/v1", "gpt-4o-mini"),
    "groq": ("/groq/openai/v1", "llama-3.3-70b-versatile"),
    "together": ("/together/v1", "meta-llama/Meta-Llama-3.1-70B-Instruct-Turbo"),
    "mistral": ("/mistral/v1", "mistral-large-latest"),
    "anthropic": ("/anthropic/v1", "claude-sonnet-4-6"),
}


@pytest.mark.parametrize("name", PROVIDERS)
def test_llmock_speaks_each_of_them(llmock_origin: str, tmp_path: Path, name: str) -> None:
    """60 rows in three batches of each provider's kind, by its preset's row: every row has its own answer, none was sent live."""
    path, model = PROVIDERS[name]
    provider = f'preset = "{name}"\nauth = "none"'
    folder = batch_job(tmp_path, f"{llmock_origin}{path}", rows=60, size=20, provider=provider, model=f"house/{model}")
    if name == "anthropic":
        folder.job.write_text(folder.job.read_text().replace("[prompt]\n", '[prompt]\napi = "messages"\n'))
    httpx.post(f"{llmock_origin}/_llmock/reset", timeout=60).raise_for_status()
    session = run_here(folder)
    assert session.exit_code == 0, session.notices
    seen = httpx.get(f"{llmock_origin}/_llmock/requests", timeout=60).json()["requests"]
    live = [each for each in seen if each["method"] == "POST" and each["path"].endswith(("chat/completions", "v1/messages"))]
    assert not live
    check_accounts(folder)
    completions = folder.completions()
    assert len(completions) == 60
    assert all(row["text"] in line["completion"] for row, line in zip(folder.rows, completions, strict=True))


def test_ogx_runs_batches(llmock_origin: str, tmp_path: Path) -> None:
    """60 rows in three batches: OGX checks each line, runs it, and writes the replies as JSON within a string; each row has its answer."""
    with ogx_before(llmock_origin, tmp_path) as origin:
        folder = batch_job(tmp_path, f"{origin}/v1", rows=60, size=20, model="house/openai/gpt-4o-mini")
        session = run_here(folder)
        found = Submitted.at(origin)
    assert session.exit_code == 0, session.notices
    check_accounts(folder)
    assert [line["completion"] for line in folder.completions()] == [f"Hello! You said: {row['text']}" for row in folder.rows]
    assert (found.statuses, found.unused) == (["completed"] * 3, set())


@pytest.mark.local_model
@pytest.mark.ray
def test_one_job_three_ways(tmp_path: Path) -> None:
    """One job file run live, by batches and under Ray, on the embedded model behind OGX: the same columns, order and answers.

    Two things differ by their nature: times, and how many tokens of a prompt the server had in its cache.
    """
    port = server_port()
    serve = [sys.executable, "-m", "batch", "serve", "--port", str(port), "--parallel", "1", "--alias", "smol"]
    server = f"http://127.0.0.1:{port}"
    found = {}
    with (
        serving(serve, f"{server}/v1/models", tmp_path / "embedded.log"),
        ogx_before(server, tmp_path) as origin,
        RayCluster(nodes=2, environ={**ENVIRONMENT, "XDG_CACHE_HOME": str(tmp_path / "nodes")}) as cluster,
    ):
        for engine in ("live", "batch-api", "ray"):
            path = tmp_path / engine
            path.mkdir()
            folder = batch_job(path, f"{origin}/v1", rows=12, size=6, model="house/openai/smol", parameters="max_tokens = 8", engine=engine)
            # Workers of a cluster take minutes to start where others use the cores.
            ended = folder.run(timeout=1800, environ={**ENVIRONMENT, "RAY_ADDRESS": cluster.address})
            assert ended.returncode == 0, ended.stderr
            assert folder.errors() == []
            found[engine] = folder.completions()
    assert len({tuple(tuple(line) for line in lines) for lines in found.values()}) == 1
    live, by_batch, under_ray = ([_without_circumstances(line) for line in lines] for lines in found.values())
    assert live == by_batch == under_ray
    assert [line["id"] for line in live] == [f"r{number}" for number in range(12)]
    assert all(line["completion"] for line in live)


def _without_circumstances(line: dict[str, Any]) -> dict[str, Any]:
    """A completion line without what depends on the moment of its request."""
    usage = {name: value for name, value in line["usage"].items() if name != "prompt_tokens_details"}
    return {name: value for name, value in line.items() if name not in ("latency_s", "first_token_s")} | {"usage": usage}
