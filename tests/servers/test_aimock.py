"""Runs against aimock, a server on Node: chaos of dropped, refused, cut-off and malformed replies, plain and streamed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.foreign import PRICE, check_all_answered, check_money, kill_in_the_middle, node_script, serving
from tests.support.jobs import JobFolder, check_accounts, run_here
from tests.support.processes import server_port

pytestmark = [pytest.mark.long, pytest.mark.timeout(1800)]

CONCURRENCY = 16
ROWS = 300
CALLS_AFTER_THE_FIRST = 6


@pytest.fixture(scope="session")
def command() -> list[str]:
    """The command of aimock."""
    return node_script("aimock", "@copilotkit/aimock@1.43.0", "@copilotkit/aimock/dist/cli.js")


def fixed(row: dict[str, Any]) -> str:
    """What the server is set up to answer to a row."""
    return f"The answer to {row['text']}, in several chunks, with é, 日本 and \N{GRINNING FACE}."


@contextmanager
def aimock(command: list[str], path: Path, *options: str, **settings: Any) -> Iterator[tuple[JobFolder, str]]:
    """A job, and the origin of a running aimock with an answer for each of its rows."""
    origin = f"http://127.0.0.1:{(port := server_port())}"
    folder = JobFolder(
        path, f"{origin}/v1", model="house/gpt-4o", parameters=PRICE, concurrency=CONCURRENCY, rows=ROWS, preflight=False, **settings
    )
    # A fixture matches any message that contains its text: "question 10" must come before "question 1".
    answers = [{"match": {"userMessage": row["text"]}, "response": {"content": fixed(row)}} for row in reversed(folder.rows)]
    fixtures = path / "fixtures.json"
    fixtures.write_text(json.dumps({"fixtures": answers}))
    words = [*command, "-p", str(port), "-f", str(fixtures), "--strict", "--log-level", "silent", "--journal-max", "0", *options]
    with serving(words, f"{origin}/health", path / "aimock.log"):
        yield folder, origin


def statuses(origin: str) -> list[int]:
    """The status of each chat request that came, as the server's journal has it."""
    entries = httpx.get(f"{origin}/__aimock/journal", params={"path": "/v1/chat/completions"}, timeout=60).json()
    return [entry["response"]["status"] for entry in entries]


@pytest.mark.parametrize("stream", [False, True])
def test_every_row_gets_its_own_answer(command: list[str], tmp_path: Path, stream: bool) -> None:
    """300 rows, one request each; the whole text, usage and cost come through."""
    with aimock(command, tmp_path, stream=stream) as (folder, origin):
        session = run_here(folder)
        assert statuses(origin) == [200] * ROWS
    check_all_answered(folder, session, fixed)
    check_money(folder)
    assert session.tally.requests == ROWS


@pytest.mark.parametrize("stream", [False, True])
def test_chaos_costs_no_row(command: list[str], tmp_path: Path, stream: bool) -> None:
    """Of all requests 5 % get a 500, 5 % a destroyed connection, 2 % a 429 with a wait: every row is answered, and counted once."""
    chaos = ("--chaos-drop", "0.05", "--chaos-disconnect", "0.05", "--chaos-ratelimit", "0.02")
    with aimock(command, tmp_path, *chaos, stream=stream) as (folder, origin):
        session = run_here(folder)
        seen = statuses(origin)
    check_all_answered(folder, session, fixed)
    check_money(folder)
    assert len(seen) == session.tally.requests > ROWS
    assert seen.count(200) == ROWS
    assert session.tally.retries == session.tally.requests - ROWS


@pytest.mark.parametrize("stream", [False, True])
def test_malformed_replies_never_become_answers(command: list[str], tmp_path: Path, stream: bool) -> None:
    """A reply that is no JSON may have been billed and is retried once; rows that meet it twice fail, and --retry-failed mends them."""
    with aimock(command, tmp_path, "--chaos-malformed", "0.15", stream=stream) as (folder, _):
        session = run_here(folder)
        assert {line["error"]["code"] for line in folder.errors()} <= {"not_json"}
        assert session.tally.retries > 0
        assert session.tally.ok + session.tally.failed == ROWS
        for _ in range(CALLS_AFTER_THE_FIRST):
            if not folder.errors():
                break
            session = run_here(folder, retry_failed=True)
    check_all_answered(folder, session, fixed)


def test_killed_in_the_middle(command: list[str], tmp_path: Path) -> None:
    """SIGKILL with a third done, each reply 100 ms late: the same command sends what is missing, and at most what was in flight again."""
    with aimock(command, tmp_path, "--chaos-latency", "100") as (folder, origin):
        kill_in_the_middle(folder)
        again = len(statuses(origin)) - ROWS
    assert [line["completion"] for line in folder.completions()] == [fixed(row) for row in folder.rows]
    assert 0 <= again <= CONCURRENCY
    check_accounts(folder)
    check_money(folder)
