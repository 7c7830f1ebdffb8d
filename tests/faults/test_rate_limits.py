"""Rate limits at the level of a run: faults 1 and 2."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from email.utils import formatdate
from pathlib import Path

import pytest

from tests.support.jobs import JobFolder, check_accounts, rows_sent, run_here
from tests.support.scripted import Action, Received, ScriptedEndpoint, answer, error
from tests.support.scripts import for_rows, row_number, until, wait_for_line

WORKERS = 16
AFTER_ONE_CUT = int(WORKERS * 0.7)


def test_one_retry_after_pauses_all_workers_once(tmp_path: Path) -> None:
    """Fault 1: 16 workers get a 429 with Retry-After 1: nothing is sent in that second, then as many as after one cut."""
    arrived: list[float] = []
    refused: list[float] = []
    together: list[int] = []

    def handler(received: Received) -> Iterator[Action]:
        arrived.append(time.monotonic())
        if len(arrived) <= WORKERS:
            yield from until(lambda: len(arrived) >= WORKERS)
            refused.append(time.monotonic())
            yield error(429, "slow down", {"retry-after": "1"})
        elif len(arrived) <= WORKERS + AFTER_ONE_CUT:
            number = len(arrived)
            yield from until(lambda: number < WORKERS + AFTER_ONE_CUT or endpoint.concurrent >= AFTER_ONE_CUT)
            yield from until(lambda: len(arrived) >= WORKERS + AFTER_ONE_CUT)
            together.append(endpoint.concurrent)
            yield from answer(received)
        else:
            yield from answer(received)

    with ScriptedEndpoint(for_rows(handler)) as endpoint:
        folder = JobFolder(tmp_path, endpoint.url, rows=60, concurrency=WORKERS)
        session = run_here(folder)
    assert session.exit_code == 0
    assert arrived[WORKERS] - max(refused) >= 1.0
    assert max(together) == AFTER_ONE_CUT
    assert [notice for notice in session.notices if "paused" in notice] == ["house paused for 1 s (rate_limit)"]
    assert session.tally.retries == WORKERS
    assert (session.tally.doubled, session.tally.failed) == (0, 0)


def test_refusals_without_a_wait_do_not_multiply(tmp_path: Path) -> None:
    """Fault 1: an endpoint that refuses everything without saying how long gets few requests, and is given up by the deadline."""
    with ScriptedEndpoint(for_rows(lambda _: [error(429, "slow down")])) as endpoint:
        folder = JobFolder(tmp_path, endpoint.url, rows=500, concurrency=32, outage_timeout_s=1.5)
        session = run_here(folder)
        assert rows_sent(endpoint) < 32 * 6
    assert session.exit_code == 5
    assert "slow down" in session.reason
    assert (session.tally.ok, session.tally.failed, session.tally.not_attempted) == (0, 0, 500)


def test_rate_limits_use_up_no_attempts(tmp_path: Path) -> None:
    """Fault 1: a row that is refused for the rate more often than it has attempts is still answered."""

    def handler(received: Received) -> list[Action]:
        if rows_sent(endpoint) < 4:
            return [error(429, "slow down", {"retry-after-ms": "20"})]
        return list(answer(received))

    with ScriptedEndpoint(for_rows(handler)) as endpoint:
        session = run_here(JobFolder(tmp_path, endpoint.url, rows=1, attempts=1))
    assert session.exit_code == 0
    assert (session.tally.ok, session.tally.retries) == (1, 3)


@pytest.mark.parametrize("header", ["nan", "-1", "1e30", "inf", "soon", "", "Thu, 99 Foo 2099"])
def test_junk_waits_fall_to_backoff(tmp_path: Path, header: str) -> None:
    """Fault 2: a Retry-After that makes no sense is as good as none: the run goes on at once."""

    def handler(received: Received) -> list[Action]:
        return [error(429, "slow down", {"retry-after": header})] if rows_sent(endpoint) <= 2 else list(answer(received))

    with ScriptedEndpoint(for_rows(handler)) as endpoint:
        session = run_here(JobFolder(tmp_path, endpoint.url, rows=10, concurrency=2))
    assert (session.exit_code, session.tally.ok, session.tally.retries) == (0, 10, 2)


def test_a_date_is_waited_for(tmp_path: Path) -> None:
    """Fault 2: Retry-After as an HTTP date; it has whole seconds, so two from now is at least one."""
    times: list[float] = []

    def handler(received: Received) -> list[Action]:
        times.append(time.monotonic())
        if len(times) == 1:
            return [error(429, "slow down", {"retry-after": formatdate(time.time() + 2, usegmt=True)})]
        return list(answer(received))

    with ScriptedEndpoint(for_rows(handler)) as endpoint:
        session = run_here(JobFolder(tmp_path, endpoint.url, rows=3, concurrency=1))
    assert session.exit_code == 0
    assert times[1] - times[0] >= 0.9


def test_a_wait_beyond_the_deadline_ends_the_run_at_once(tmp_path: Path) -> None:
    """Fault 2: Retry-After 3600 is longer than an endpoint is waited for: the run says so and stops, and can be gone on with."""
    with ScriptedEndpoint(for_rows(lambda _: [error(429, "come back later", {"retry-after": "3600"})])) as endpoint:
        folder = JobFolder(tmp_path, endpoint.url, rows=50, concurrency=4)
        session = run_here(folder)
        assert rows_sent(endpoint) <= 4
        assert session.exit_code == 5
        assert session.reason == "house asks to wait for 3,600 s, and run.outage_timeout_s is 600 s: come back later"
        assert session.tally.not_attempted == 50
        endpoint.handler = answer
        assert run_here(folder).exit_code == 0


HOUR = {"retry-after": "3600"}
USED_UP = {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "1h0m0s"}
TOKENS_USED_UP = {"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "3600s"}


@pytest.mark.parametrize("headers", [HOUR, USED_UP, TOKENS_USED_UP, HOUR | USED_UP | TOKENS_USED_UP])
@pytest.mark.parametrize("status", [429, 503])
def test_a_wait_that_one_row_is_asked_for_alone_stops_nothing(tmp_path: Path, status: int, headers: dict[str, str]) -> None:
    """Promise 7, fault 2: others are served while one row is told to come back in an hour: it fails, and all other rows are answered."""

    def handler(received: Received) -> list[Action]:
        if row_number(received) in {7, 31}:
            return [error(status, "come back later", headers)]
        return list(answer(received))

    with ScriptedEndpoint(for_rows(handler)) as endpoint:
        folder = JobFolder(tmp_path, endpoint.url, rows=50, concurrency=4)
        session = run_here(folder)
        # Each refused row, and a test with an answered request for each.
        assert rows_sent(endpoint) <= 50 + 2
    assert (session.exit_code, session.tally.ok, session.tally.failed) == (1, 48, 2)
    message = "the endpoint asks to wait for 3,600 s, and run.outage_timeout_s is 600 s: come back later"
    assert {line["error"]["message"] for line in folder.errors()} == {message}
    check_accounts(folder)


def test_a_block_of_rows_that_are_asked_to_wait_long_stops_with_the_wait(tmp_path: Path) -> None:
    """Fault 2: three rows in a row are told to come back in an hour, though the test is served: the run stops and says for how long."""

    def handler(received: Received) -> list[Action]:
        if row_number(received) >= 20:
            return [error(429, "come back later", HOUR)]
        return list(answer(received))

    with ScriptedEndpoint(for_rows(handler)) as endpoint:
        session = run_here(JobFolder(tmp_path, endpoint.url, rows=50, concurrency=4))
    assert (session.exit_code, session.tally.ok, session.tally.failed) == (5, 20, 0)
    asks = "asks to wait for 3,600 s, and run.outage_timeout_s is 600 s: come back later"
    assert session.reason == f"house: the endpoint {asks}"


@pytest.mark.parametrize("headers", [HOUR, USED_UP, HOUR | USED_UP])
def test_a_long_wait_of_an_endpoint_that_has_served_is_tested_once(tmp_path: Path, headers: dict[str, str]) -> None:
    """Promises 6, 7, fault 2: a daily limit reached in the middle of a run stops it; what was in flight and one test are refused."""
    refused: list[int] = []

    def handler(received: Received) -> list[Action]:
        if len(endpoint.requests) > 20:
            refused.append(row_number(received))
            return [error(429, "the daily limit is reached", headers)]
        return list(answer(received))

    with ScriptedEndpoint(for_rows(handler)) as endpoint:
        session = run_here(JobFolder(tmp_path, endpoint.url, rows=100, concurrency=4))
    assert len(refused) <= 4 + 1
    assert (session.exit_code, session.tally.failed) == (5, 0)
    assert session.tally.ok + session.tally.not_attempted == 100
    assert session.reason == "house asks to wait for 3,600 s, and run.outage_timeout_s is 600 s: the daily limit is reached"


def test_a_long_wait_parks_the_endpoint_aloud(tmp_path: Path) -> None:
    """Fault 2: a wait above the cap that the deadline allows is kept: parked, said so, nothing sent, and Ctrl-C ends it at once."""
    with ScriptedEndpoint(for_rows(lambda _: [error(503, "back soon", {"retry-after": "3600"})])) as endpoint:
        folder = JobFolder(tmp_path, endpoint.url, rows=50, concurrency=4, outage_timeout_s=7200)
        process = folder.start()
        wait_for_line("house parked for 3,600 s (overloaded)", process)
        process.send_signal(signal.SIGINT)
        _, rest = process.communicate()
        assert process.returncode == 130, rest
        assert rows_sent(endpoint) <= 4
    check_accounts(folder)
