"""Every run ends by a stated deadline, leaves no process behind, and its counts add up: fault 35, promises 1, 3 and 7."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from tests.support.jobs import JobFolder, check_accounts, rows_sent, run_here, status_json
from tests.support.scripted import HANG, RESET, Action, Received, ScriptedEndpoint, answer, error
from tests.support.scripts import for_rows, row_number, until, wait_for, wait_for_line


@pytest.mark.parametrize("stream", [False, True])
def test_the_last_row_hangs(tmp_path: Path, stream: bool) -> None:
    """Fault 35, promise 7: the last row never gets an answer: its attempts end by their deadline, the row fails, the run ends with 1."""
    with ScriptedEndpoint(for_rows(lambda r: [HANG] if row_number(r) == 49 else answer(r))) as endpoint:
        folder = JobFolder(tmp_path, endpoint.url, rows=50, attempts=2, first_byte_timeout_s=1.0, stream=stream)
        session = run_here(folder)
        # A reference may show at the end that the endpoint serves others.
        assert rows_sent(endpoint) in (51, 52)
    assert (session.exit_code, session.tally.ok) == (1, 49)
    assert folder.errors()[0]["error"]["code"] == "timeout_first_byte"


def test_everything_hangs(tmp_path: Path) -> None:
    """Fault 35, promise 7: nothing is ever answered: stopped with 5 by the deadlines of attempt and outage, no row failed."""
    with ScriptedEndpoint(for_rows(lambda _: [HANG])) as endpoint:
        folder = JobFolder(tmp_path, endpoint.url, rows=50, concurrency=16, first_byte_timeout_s=0.3, outage_timeout_s=1.0, grace_s=0.5)
        session = run_here(folder)
    assert (session.exit_code, session.tally.failed, session.tally.not_attempted) == (5, 0, 50)
    assert "no answer began within first_byte_timeout_s" in session.reason


def test_a_probe_that_hangs_does_not_outlive_the_deadline(tmp_path: Path) -> None:
    """Faults 10, 35: everything fails, then the probe gets no answer at all: the outage's deadline ends the run, not the probe's own."""

    def handler(received: Received) -> Iterable[Action]:
        return [HANG] if rows_sent(endpoint) > 12 else [error(500, "boom")]

    with ScriptedEndpoint(for_rows(handler)) as endpoint:
        folder = JobFolder(tmp_path, endpoint.url, rows=50, concurrency=10, outage_timeout_s=1.0, grace_s=0.3)
        session = run_here(folder)
        assert rows_sent(endpoint) <= 12 + 10
    assert (session.exit_code, session.tally.failed, session.tally.not_attempted) == (5, 0, 50)


def test_a_stop_waits_for_what_is_in_flight_only_so_long(tmp_path: Path) -> None:
    """Promise 7: the key is revoked while other requests hang: they get their grace time, then the run ends with 5."""
    begun: list[int] = []

    def handler(received: Received) -> Iterable[Action]:
        begun.append(row_number(received))
        return [error(401, "revoked")] if len(begun) == 4 else [HANG]

    with ScriptedEndpoint(for_rows(handler)) as endpoint:
        session = run_here(JobFolder(tmp_path, endpoint.url, rows=50, concurrency=4, grace_s=0.5))
    assert (session.exit_code, session.reason) == (5, "house: revoked")
    assert (session.tally.failed, session.tally.not_attempted, session.tally.requests) == (0, 50, 4)


def all_served(received: Received) -> Iterable[Action]:
    """Everything is answered, some of it cut short or filtered."""
    return answer(received)


def some_fail(received: Received) -> Iterable[Action]:
    """Every third row is a bad request."""
    return [error(400, "bad")] if row_number(received) % 3 == 0 else answer(received)


def half_and_then(action: Action) -> Callable[[Received], Iterable[Action]]:
    """Half of the rows are served or refused, and from then on all requests get `action`, those for a row answered before too."""
    over: list[bool] = []

    def handler(received: Received) -> Iterable[Action]:
        if row_number(received) >= 20:
            over.append(True)
        return [action] if over else some_fail(received)

    return handler


@pytest.mark.parametrize(
    ("handler", "number", "code", "counts"),
    [
        (all_served, None, 0, (40, 0, 0)),
        (some_fail, None, 1, (26, 14, 0)),
        (half_and_then(error(402, "no credit left")), None, 5, (13, 7, 20)),
        (half_and_then(RESET), None, 5, (13, 7, 20)),
        (half_and_then(HANG), signal.SIGINT, 130, (13, 7, 20)),
        (half_and_then(HANG), signal.SIGTERM, 130, (13, 7, 20)),
        (half_and_then(HANG), signal.SIGKILL, -9, (13, 7, 20)),
    ],
    ids=["all served", "some fail", "quota", "outage", "SIGINT", "SIGTERM", "SIGKILL"],
)
def test_however_it_ends_it_adds_up_and_nothing_is_left_running(
    tmp_path: Path, handler: Callable[[Received], Iterable[Action]], number: signal.Signals | None, code: int, counts: tuple[int, int, int]
) -> None:
    """Promises 1, 3: after each ending the journal is whole, summary and status agree that rows in = ok + failed + not attempted,
    no process is left, and the same command does the rest.
    """  # noqa: D205 - one sentence
    ok, failed, left = counts
    with ScriptedEndpoint(for_rows(handler)) as endpoint:
        folder = JobFolder(tmp_path, endpoint.url, rows=40, concurrency=1, outage_timeout_s=1.0, grace_s=0.2, durability="row")
        process = folder.start(start_new_session=True)
        if number is not None:
            wait_for(lambda: rows_sent(endpoint) >= 21, process)
            process.send_signal(number)
        _, err = process.communicate()
        assert process.returncode == code, err
        with pytest.raises(ProcessLookupError):
            os.killpg(process.pid, 0)
        if number is not signal.SIGKILL:
            assert f"  rows       40 = {ok} ok + {failed} failed + {left} not attempted" in err.splitlines(), err
        check_accounts(folder)
        (variant,) = status_json(folder)
        assert (variant["total"], variant["ok"], variant["failed"], variant["not_attempted"]) == (40, ok, failed, left)
        endpoint.handler = answer
        session = run_here(folder)
    assert (session.tally.kept_ok, session.tally.kept_failed, session.tally.ok) == (ok, failed, left)
    assert session.exit_code == (1 if failed else 0)


def test_a_signal_when_all_is_done_anyway(tmp_path: Path) -> None:
    """The last requests are in flight when Ctrl-C comes, and end in their grace time: every row has its outcome, so it is 0, not 130."""
    release = False

    def handler(received: Received) -> Iterable[Action]:
        yield from until(lambda: release)
        yield from answer(received)

    with ScriptedEndpoint(for_rows(handler)) as endpoint:
        folder = JobFolder(tmp_path, endpoint.url, rows=4)
        process = folder.start()
        wait_for(lambda: rows_sent(endpoint) >= 4, process)
        process.send_signal(signal.SIGINT)
        wait_for_line("stopping", process)
        release = True
        _, err = process.communicate()
    assert process.returncode == 0, err
    assert len(folder.completions()) == 4
