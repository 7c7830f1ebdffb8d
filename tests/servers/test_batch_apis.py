"""Runs by batches against aimock and llmock: the Batch APIs of OpenAI, Groq, Together, Mistral and Anthropic as others understood them."""

from __future__ import annotations

import json
import random
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.foreign import node_script, python_program, serving
from tests.support.jobs import JobFolder, check_accounts, run_here
from tests.support.processes import server_port, unmeasured
from tests.support.ray_clusters import ENVIRONMENT, RayCluster
from tests.support.scripts import wait_until

pytestmark = [pytest.mark.long, pytest.mark.timeout(3600)]

# What aimock answers to every request of a batch.
FIXED = "Mock batch completion"


def job(path: Path, url: str, *, rows: int, size: int, provider: str = 'batch = "files"', **settings: Any) -> JobFolder:
    """A job by batches of `size` requests."""
    settings = {"engine": "batch-api", "preflight": False, **settings}
    folder = JobFolder(path, url, rows=rows, provider=provider, **settings)
    folder.job.write_text(f"{folder.job.read_text()}\n[batch]\npoll_s = 0.2\nmax_requests = {size}\n")
    return folder


@pytest.fixture(scope="session")
def command() -> list[str]:
    """The command of aimock."""
    return node_script("aimock", "@copilotkit/aimock@1.43.0", "@copilotkit/aimock/dist/cli.js")


@contextmanager
def aimock(command: list[str], path: Path, *options: str) -> Iterator[str]:
    """The origin of a running aimock that answers every live chat too."""
    origin = f"http://127.0.0.1:{(port := server_port())}"
    fixtures = path / "fixtures.json"
    fixtures.write_text(json.dumps({"fixtures": [{"match": {"userMessage": "question"}, "response": {"content": FIXED}}]}))
    words = [*command, "-p", str(port), "-f", str(fixtures), "--log-level", "silent", "--journal-max", "0", *options]
    with serving(words, f"{origin}/health", path / "aimock.log"):
        yield origin


def aimock_state(origin: str) -> tuple[list[dict[str, Any]], set[str]]:
    """Its batches, and the uploads of promptmill that no batch was made of."""
    batches = httpx.get(f"{origin}/v1/batches", params={"limit": 100}, timeout=60).json()["data"]
    files = httpx.get(f"{origin}/v1/files", params={"purpose": "batch"}, timeout=60).json()["data"]
    used = {batch["input_file_id"] for batch in batches}
    return batches, {file["id"] for file in files if file["filename"].startswith("promptmill-")} - used


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
        folder = job(tmp_path, f"{origin}/v1", rows=200, size=50, provider=headers)
        assert run_here(folder).exit_code == 0
        batches, unused = aimock_state(origin)
    check_fixed(folder)
    assert ({batch["status"] for batch in batches}, len(batches), unused) == ({outcome}, 4, set())


def test_aimock_with_chaos(command: list[str], tmp_path: Path) -> None:
    """One call in twenty gets a 500 and one in twenty a cut connection, creations included: one batch of each shard in the end."""
    with aimock(command, tmp_path, "--chaos-drop", "0.05", "--chaos-disconnect", "0.05") as origin:
        folder = job(tmp_path, f"{origin}/v1", rows=200, size=20)
        assert run_here(folder).exit_code == 0
        # Its chaos meets these calls too.
        found: list[Any] = []
        wait_until(lambda: found or _tried(origin, found))
    check_fixed(folder)
    batches, unused = found[0]
    assert (len(batches), unused) == (10, set())


def _tried(origin: str, found: list[Any]) -> bool:
    try:
        found.append(aimock_state(origin))
    except (httpx.HTTPError, KeyError, ValueError):
        return False
    return True


def test_aimock_killed_again_and_again(command: list[str], tmp_path: Path) -> None:
    """2,000 rows in eight batches, 20 SIGKILLs at random moments: eight batches, no upload left behind, no row lost or doubled."""
    draw = random.Random(3)
    kills = 0
    with aimock(command, tmp_path) as origin:
        folder = job(tmp_path, f"{origin}/v1", rows=2000, size=250)
        ledger = folder.directory / "submissions.jsonl"
        for _ in range(20):
            if not killed_after(folder, ledger, draw.randint(1, 4)):
                break
            kills += 1
            # Workers of a cluster take minutes to start where others use the cores.
            ended = folder.run(timeout=1800, environ=unmeasured())
        assert ended.returncode == 0, ended.stderr
        batches, unused = aimock_state(origin)
    check_fixed(folder)
    assert (len(batches), unused) == (8, set())
    print(f"{kills} kills: 8 batches, 0 uploads left behind")


def killed_after(folder: JobFolder, ledger: Path, steps: int) -> bool:
    """Start the run and kill it when its ledger has grown by about so many steps; False when it ended before."""
    before = ledger.stat().st_size if ledger.exists() else 0
    process = folder.start(measured=False)
    wait_until(lambda: process.poll() is not None or (ledger.exists() and ledger.stat().st_size > before + 60 * steps))
    ended = process.poll() is not None
    process.send_signal(signal.SIGKILL)
    process.communicate()
    return not ended


@pytest.fixture(scope="session")
def llmock(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The origin of a running llmock that repeats what it was sent."""
    program = python_program("llmock", "llmock==0.2.2")
    origin = f"http://127.0.0.1:{(port := server_port())}"
    serve = [str(program), "serve", "--port", str(port), "--log-level", "warning", "--response-style", "echo"]
    with serving(serve, f"{origin}/health", tmp_path_factory.mktemp("llmock") / "llmock.log"):
        yield origin


PROVIDERS = {
    "openai": ("/v1", "gpt-4o-mini"),
    "groq": ("/groq/openai/v1", "llama-3.3-70b-versatile"),
    "together": ("/together/v1", "meta-llama/Meta-Llama-3.1-70B-Instruct-Turbo"),
    "mistral": ("/mistral/v1", "mistral-large-latest"),
    "anthropic": ("/anthropic/v1", "claude-sonnet-4-6"),
}


@pytest.mark.parametrize("name", PROVIDERS)
def test_llmock_speaks_each_of_them(llmock: str, tmp_path: Path, name: str) -> None:
    """60 rows in three batches of each provider's kind, by its preset's row: every row has its own answer, none was sent live."""
    path, model = PROVIDERS[name]
    provider = f'preset = "{name}"\nauth = "none"'
    folder = job(tmp_path, f"{llmock}{path}", rows=60, size=20, provider=provider, model=f"house/{model}")
    if name == "anthropic":
        folder.job.write_text(folder.job.read_text().replace("[prompt]\n", '[prompt]\napi = "messages"\n'))
    httpx.post(f"{llmock}/_llmock/reset", timeout=60).raise_for_status()
    session = run_here(folder)
    assert session.exit_code == 0, session.notices
    seen = httpx.get(f"{llmock}/_llmock/requests", timeout=60).json()["requests"]
    live = [each for each in seen if each["method"] == "POST" and each["path"].endswith(("chat/completions", "v1/messages"))]
    assert not live
    check_accounts(folder)
    completions = folder.completions()
    assert len(completions) == 60
    assert all(row["text"] in line["completion"] for row, line in zip(folder.rows, completions, strict=True))


@pytest.fixture(scope="session")
def ogx(llmock: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The origin of an OGX with files and batches, before llmock."""
    with ogx_before(llmock, tmp_path_factory.mktemp("ogx")) as origin:
        yield origin


@contextmanager
def ogx_before(server: str, path: Path) -> Iterator[str]:
    """The origin of an OGX that runs batches on a server."""
    program = python_program("ogx", "ogx==1.5.0", oldest=(3, 12))
    origin = f"http://127.0.0.1:{(port := server_port())}"
    providers = "inference=remote::openai,files=inline::localfs,batches=inline::reference"
    route = [str(program), "run", "--providers", providers, "--insecure", "--port", str(port)]
    environ = {"HOME": str(path), "OPENAI_API_KEY": "none", "OPENAI_BASE_URL": f"{server}/v1", "HF_HUB_OFFLINE": "1"}
    with serving(route, f"{origin}/v1/health", path / "ogx.log", environ):
        yield origin


def test_ogx_runs_batches(ogx: str, tmp_path: Path) -> None:
    """60 rows in three batches: OGX checks each line, runs it, and writes the replies as JSON within a string; each row has its answer."""
    folder = job(tmp_path, f"{ogx}/v1", rows=60, size=20, model="house/openai/gpt-4o-mini")
    session = run_here(folder)
    assert session.exit_code == 0, session.notices
    check_accounts(folder)
    assert [line["completion"] for line in folder.completions()] == [f"Hello! You said: {row['text']}" for row in folder.rows]
    assert len(httpx.get(f"{ogx}/v1/batches", timeout=60).json()["data"]) == 3


@pytest.mark.local_model
@pytest.mark.ray
def test_one_job_three_ways(tmp_path: Path) -> None:
    """One job file run live, by batches and under Ray, on the embedded model behind OGX: the same columns, order and answers."""
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
            folder = job(path, f"{origin}/v1", rows=12, size=6, model="house/openai/smol", parameters="max_tokens = 8", engine=engine)
            # Workers of a cluster take minutes to start where others use the cores.
            ended = folder.run(timeout=1800, environ={**ENVIRONMENT, "RAY_ADDRESS": cluster.address})
            assert ended.returncode == 0, ended.stderr
            own = ("latency_s", "first_token_s")
            found[engine] = [{name: value for name, value in line.items() if name not in own} for line in folder.completions()]
    assert found["live"] == found["batch-api"] == found["ray"]
    assert all(line["completion"] for line in found["live"])
