"""Runs against llmock: real quotas, scripted and random faults, broken streams, and its verdict on promptmill as a client."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.foreign import PRICE, check_all_answered, check_money, kill_in_the_middle, python_program, serving
from tests.support.jobs import JobFolder, run_here
from tests.support.processes import server_port

pytestmark = [pytest.mark.long, pytest.mark.timeout(1800)]

CONCURRENCY = 16
ROWS_ONLY = {"path": "*/chat/completions"}


@pytest.fixture(scope="session")
def program() -> Path:
    """The command of llmock."""
    return python_program("llmock", "llmock==0.2.2")


@contextmanager
def llmock(program: Path, folder: Path, *options: str) -> Iterator[str]:
    """The origin of a running llmock that repeats what it was sent."""
    origin = f"http://127.0.0.1:{(port := server_port())}"
    command = [str(program), "serve", "--port", str(port), "--log-level", "warning", "--response-style", "echo", *options]
    with serving(command, f"{origin}/health", folder / "llmock.log"):
        yield origin


def job(path: Path, origin: str, **settings: Any) -> JobFolder:
    """300 questions of one's own each."""
    return JobFolder(path, f"{origin}/v1", model="house/gpt-4o-mini", parameters=PRICE, concurrency=CONCURRENCY, rows=300, **settings)


def echoed(row: dict[str, Any]) -> str:
    """What llmock answers to a row."""
    return f"Hello! You said: {row['text']}"


def verdict(origin: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Its counts, and the findings on promptmill that are errors; of the warnings only those below are expected."""
    document = httpx.get(f"{origin}/_llmock/verdict", timeout=60).json()
    return document, [finding for finding in document["findings"] if finding["severity"] == "error"]


def unexpected_warnings(document: dict[str, Any]) -> list[dict[str, Any]]:
    """Warnings other than the two that promptmill stands by.

    `no_backoff` expects each gap between the attempts of a row to be longer than the one before. promptmill draws each wait evenly from 0
    to a bound that doubles (full jitter), so a second wait is shorter by chance. `gave_up` on the list of models: it is looked at once
    before the run, and what it fails to show is found by the rows themselves.
    """
    return [
        finding
        for finding in document["findings"]
        if finding["severity"] == "warning" and finding["code"] != "no_backoff" and finding["path"] != "GET /v1/models"
    ]


@pytest.mark.parametrize("stream", [False, True])
def test_every_row_gets_its_own_answer(program: Path, tmp_path: Path, stream: bool) -> None:
    """300 rows, one request each; cost, usage and accounts agree; llmock finds nothing to say."""
    with llmock(program, tmp_path) as origin:
        folder = job(tmp_path, origin, stream=stream)
        session = run_here(folder)
        document, _ = verdict(origin)
    check_all_answered(folder, session, echoed)
    check_money(folder)
    assert session.tally.requests == 300
    assert document["findings"] == []


@pytest.mark.parametrize("stream", [False, True])
def test_faults_cost_no_row_and_the_verdict_has_no_error(program: Path, tmp_path: Path, stream: bool) -> None:
    """Refusals with and without a wait, errors of the server and, streamed, broken streams: all rows are answered, no error is found."""
    faults = ["--error-rate", "500=0.04", "--error-rate", "502=0.02"]
    if stream:
        faults += ["--stream-fault", "truncate=0.04", "--stream-fault", "disconnect=0.04"]
    behaviors = [
        {"type": "fail", "status": 429, "retry_after": 1.5, "times": 3, "match": ROWS_ONLY},
        {"type": "fail", "status": 503, "retry_after": 1, "times": 2, "match": ROWS_ONLY},
        {"type": "fail", "status": 529, "times": 2, "match": ROWS_ONLY},
        {"type": "delay", "seconds": 1, "times": 3, "match": ROWS_ONLY},
    ]
    with llmock(program, tmp_path, *faults) as origin:
        assert httpx.post(f"{origin}/_llmock/scenario", json={"behaviors": behaviors}).status_code == 201
        folder = job(tmp_path, origin, stream=stream)
        session = run_here(folder)
        document, errors = verdict(origin)
    check_all_answered(folder, session, echoed)
    assert session.tally.retries >= 7
    assert document["faults_injected"] >= 10
    assert errors == []
    assert unexpected_warnings(document) == []


def test_a_corrupted_chunk_never_becomes_an_answer(program: Path, tmp_path: Path) -> None:
    """A chunk that is no JSON is retried once, as it may have been billed: a row fails with its cause or has its whole answer."""
    with llmock(program, tmp_path, "--stream-fault", "malformed=0.1") as origin:
        folder = job(tmp_path, origin, stream=True)
        session = run_here(folder)
        document, errors = verdict(origin)
    texts = {str(row["id"]): echoed(row) for row in folder.rows}
    assert all(line["completion"] == texts[line["id"]] for line in folder.completions())
    assert {line["error"]["code"] for line in folder.errors()} <= {"not_json"}
    assert session.tally.failed == len(folder.errors()) < 20
    assert document["faults_injected"] >= 5
    assert errors == []


def test_a_quota_is_kept_to(program: Path, tmp_path: Path) -> None:
    """A quota of 900 requests a minute with headers and Retry-After: all rows are answered, and no wait is cut short."""
    with llmock(program, tmp_path, "--rpm", "900") as origin:
        folder = job(tmp_path, origin)
        session = run_here(folder)
        _, errors = verdict(origin)
    check_all_answered(folder, session, echoed)
    assert errors == []


def test_refusals_by_chance_cost_no_row(program: Path, tmp_path: Path) -> None:
    """One request in ten refused at random with a wait of 1 s: all rows are answered, and no wait is cut short."""
    with llmock(program, tmp_path, "--error-rate", "429=0.1") as origin:
        folder = job(tmp_path, origin)
        session = run_here(folder)
        _, errors = verdict(origin)
    check_all_answered(folder, session, echoed)
    assert session.tally.retries >= 10
    assert errors == []


def test_killed_in_the_middle(program: Path, tmp_path: Path) -> None:
    """SIGKILL with a third done, on a slow server: the same command sends what is missing, and few rows are sent again."""
    with llmock(program, tmp_path, "--latency-ms", "100") as origin:
        folder = job(tmp_path, origin)
        kill_in_the_middle(folder)
        document, errors = verdict(origin)
    assert [line["completion"] for line in folder.completions()] == [echoed(row) for row in folder.rows]
    check_money(folder)
    lists_of_models = 2
    assert document["attempts"] - lists_of_models - 300 <= CONCURRENCY
    assert errors == []
