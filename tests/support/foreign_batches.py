"""Batch APIs of others on loopback: aimock, llmock and OGX, and what they have when a run has ended."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.support.foreign import node_script, python_program, serving
from tests.support.jobs import JobFolder
from tests.support.processes import server_port

FIXED = "Mock batch completion"
"""What aimock answers to every request of a batch."""


def batch_job(
    path: Path, url: str, *, rows: int, size: int, provider: str = 'batch = "files"', poll_s: float = 0.2, **run: Any
) -> JobFolder:
    """A job by batches of `size` requests."""
    run = {"engine": "batch-api", "preflight": False, **run}
    folder = JobFolder(path, url, rows=rows, provider=provider, **run)
    folder.job.write_text(f"{folder.job.read_text()}\n[batch]\npoll_s = {poll_s}\nmax_requests = {size}\n")
    return folder


def aimock_command() -> list[str]:
    """The command of aimock; skips the test where it cannot be had."""
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


@contextmanager
def llmock(path: Path) -> Iterator[str]:
    """The origin of a running llmock that repeats what it was sent; skips the test where it cannot be had."""
    program = python_program("llmock", "llmock==0.2.2")
    origin = f"http://127.0.0.1:{(port := server_port())}"
    serve = [str(program), "serve", "--port", str(port), "--log-level", "warning", "--response-style", "echo"]
    with serving(serve, f"{origin}/health", path / "llmock.log"):
        yield origin


@contextmanager
def ogx_before(server: str, path: Path) -> Iterator[str]:
    """The origin of an OGX that runs batches on a server; skips the test where it cannot be had."""
    program = python_program("ogx", "ogx==1.5.0", oldest=(3, 12))
    origin = f"http://127.0.0.1:{(port := server_port())}"
    providers = "inference=remote::openai,files=inline::localfs,batches=inline::reference"
    route = [str(program), "run", "--providers", providers, "--insecure", "--port", str(port)]
    environ = {"HOME": str(path), "OPENAI_API_KEY": "none", "OPENAI_BASE_URL": f"{server}/v1", "HF_HUB_OFFLINE": "1"}
    with serving(route, f"{origin}/v1/health", path / "ogx.log", environ):
        yield origin


@dataclass(frozen=True)
class Submitted:
    """What a server has: the status of each batch, how often each question is in their inputs, and the uploads that no batch was made of.

    `unused` is None where the server lists no files.
    """

    statuses: list[str]
    questions: Counter[str]
    unused: set[str] | None

    @classmethod
    def at(cls, origin: str) -> Submitted:
        """Ask a server that speaks OpenAI's Batch API. Raises HTTPError."""
        with httpx.Client(base_url=f"{origin}/v1", timeout=120) as client:
            batches = list(_batches(client))
            listed = client.get("files", params={"purpose": "batch", "limit": 1000})
            unused = None
            if listed.status_code == 200:
                files = {file["id"] for file in listed.json()["data"] if str(file["filename"]).startswith("promptmill-")}
                unused = files - {batch["input_file_id"] for batch in batches}
            contents = [client.get(f"files/{batch['input_file_id']}/content").raise_for_status().text for batch in batches]
        lines = [json.loads(line) for content in contents for line in content.splitlines() if line.strip()]
        return cls([batch["status"] for batch in batches], Counter(line["body"]["messages"][-1]["content"] for line in lines), unused)


def _batches(client: httpx.Client) -> Iterator[dict[str, Any]]:
    after: dict[str, str] = {}
    while True:
        page = client.get("batches", params={"limit": 100, **after}).raise_for_status().json()
        yield from page["data"]
        if not page.get("has_more"):
            return
        after = {"after": page["data"][-1]["id"]}
