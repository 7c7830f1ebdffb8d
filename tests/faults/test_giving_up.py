"""When an endpoint is given up that hangs, or asks to wait: by its deadline, but not before it was asked once more. Promise 7."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.support.jobs import JobFolder, rows_sent, run_here
from tests.support.scripted import HANG, Action, Received, ScriptedEndpoint, Sleep, answer, error
from tests.support.scripts import for_rows, row_number, until


def test_after_the_deadline_an_endpoint_that_hangs_is_asked_once_more_and_not_again(tmp_path: Path) -> None:
    """Promise 7, fault 17: rows are there that were never sent, and the breaker is closed: one attempt after the deadline is enough."""
    with ScriptedEndpoint(for_rows(lambda _: [HANG])) as endpoint:
        folder = JobFolder(tmp_path, endpoint.url, rows=50, concurrency=1, first_byte_timeout_s=0.4, outage_timeout_s=0.6)
        session = run_here(folder)
        # The first failure begins the outage at 0.4 s; it may end at 1.0 s; that is in the third attempt, and the fourth is the last.
        assert 2 <= rows_sent(endpoint) <= 4
    assert (session.exit_code, session.tally.failed, session.tally.not_attempted) == (5, 0, 50)


def test_a_long_wait_is_not_waited_out_because_a_straggler_was_served(tmp_path: Path) -> None:
    """Promise 7, fault 2: asked to wait for longer than for any outage: stopped with 5, also when an answer came after it was asked."""
    refused: list[int] = []

    def handler(received: Received) -> Iterable[Action]:
        if row_number(received) == 0:
            yield from until(lambda: bool(refused))
            yield Sleep(0.3)
            yield from answer(received)
            return
        refused.append(row_number(received))
        yield error(429, "slow down", {"retry-after": "50"})

    with ScriptedEndpoint(for_rows(handler)) as endpoint:
        session = run_here(JobFolder(tmp_path, endpoint.url, rows=20, concurrency=2, outage_timeout_s=2.0))
        assert rows_sent(endpoint) == 2
    assert (session.exit_code, session.tally.ok, session.tally.not_attempted) == (5, 1, 19)
    assert session.reason.startswith("house asks to wait for ")
    assert session.reason.endswith("s, and run.outage_timeout_s is 2.0 s: slow down")


@pytest.mark.parametrize("serves", [True, False])
def test_a_wait_that_is_over_is_followed_by_one_more_request(tmp_path: Path, serves: bool) -> None:
    """Promises 6, 7: the wait that was asked for ends past the deadline, while another request hangs: then it is asked once more."""
    sent: list[int] = []

    def handler(received: Received) -> Iterable[Action]:
        sent.append(row_number(received))
        if len(sent) > 2:
            return answer(received) if serves else [error(500, "boom")]
        return [HANG] if row_number(received) == 0 else [error(429, "slow down", {"retry-after-ms": "1200"})]

    with ScriptedEndpoint(for_rows(handler)) as endpoint:
        folder = JobFolder(tmp_path, endpoint.url, rows=10, concurrency=2, first_byte_timeout_s=2.5, outage_timeout_s=1.0)
        session = run_here(folder)
    assert len(sent) > 2
    assert (session.exit_code, session.tally.not_attempted) == ((0, 0) if serves else (5, 10))
