"""Second requests beside slow ones: the first answer counts, the other is given up and counted as possibly billed twice."""

from __future__ import annotations

import signal
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from tests.support.jobs import JobFolder, rows_sent, run_here, status_json
from tests.support.scripted import HANG, Action, Received, ScriptedEndpoint, answer, error
from tests.support.scripts import for_rows, row_number, until, wait_for

HEDGE = "run.hedge_after=0.3"
PRICED = "max_tokens = 8\nprice = {input = 1.0, output = 10.0}"


class Stuck:
    """Never answers the first request for a row of `rows`."""

    def __init__(self, rows: Iterable[int]) -> None:
        self._rows = set(rows)

    def __call__(self, received: Received) -> Iterable[Action]:
        row = row_number(received)
        if row in self._rows:
            self._rows.remove(row)
            return [HANG]
        return answer(received)


def test_a_straggler_gets_a_second_request(tmp_path: Path) -> None:
    """Each row has one outcome; what was given up is one figure in the session, the status and the journal, and counts its cost."""
    with ScriptedEndpoint(for_rows(Stuck([3, 11]))) as endpoint:
        folder = JobFolder(tmp_path, endpoint.url, rows=20, concurrency=8, parameters=PRICED)
        session = run_here(folder, HEDGE)
        assert rows_sent(endpoint) == 22
    assert (session.exit_code, session.tally.ok, session.tally.hedges, session.tally.doubled) == (0, 20, 2, 2)
    assert session.tally.requests == 22
    assert session.tally.extra_usd > 0
    assert session.report.unrecorded_usd == 0
    doubled = {record["row"]: record for record in folder.journal() if record.get("doubled")}
    assert sorted(doubled) == [3, 11]
    assert all(record["attempts"] == 2 and record["extra_usd"] > 0 for record in doubled.values())
    assert status_json(folder)[0]["doubled"] == 2
    assert "2 possibly billed twice" not in folder.call("status", str(folder.directory)).stdout
    assert "beside a slow one: possibly billed twice" in folder.call("status", str(folder.directory)).stdout


def test_nothing_is_sent_twice_by_default(tmp_path: Path) -> None:
    """Without the setting a slow row has one request."""
    with ScriptedEndpoint(for_rows(Stuck([1]))) as endpoint:
        folder = JobFolder(tmp_path, endpoint.url, rows=4, concurrency=4, first_byte_timeout_s=1.0)
        session = run_here(folder)
    assert (session.tally.ok, session.tally.hedges) == (4, 0)


def test_the_first_answer_counts_when_it_comes_first(tmp_path: Path) -> None:
    """The second request is cancelled when the first is answered after all, and counted as possibly billed."""
    came: list[int] = []

    def handler(received: Received) -> Iterator[Action]:
        if row_number(received) != 2:
            yield from answer(received)
            return
        came.append(received.number)
        if len(came) > 1:
            yield HANG
        yield from until(lambda: len(came) > 1)
        yield from answer(received)

    with ScriptedEndpoint(for_rows(handler)) as endpoint:
        folder = JobFolder(tmp_path, endpoint.url, rows=4, concurrency=4)
        session = run_here(folder, HEDGE)
    assert (session.exit_code, session.tally.ok, session.tally.hedges, session.tally.doubled) == (0, 4, 1, 1)


@pytest.mark.parametrize("first_fails", [True, False])
def test_where_one_fails_the_other_is_waited_for(tmp_path: Path, first_fails: bool) -> None:
    """A row whose second request, or whose first, is refused has the answer of the other; one second request each."""
    came: list[int] = []

    def handler(received: Received) -> Iterator[Action]:
        if row_number(received) != 2:
            yield from answer(received)
            return
        came.append(received.number)
        mine = len(came)
        yield from until(lambda: len(came) > 1)
        if (mine == 1) == first_fails:
            yield error(500, "broken")
            failed.append(1)
            return
        yield from until(lambda: bool(failed))
        yield from answer(received)

    failed: list[int] = []
    with ScriptedEndpoint(for_rows(handler)) as endpoint:
        folder = JobFolder(tmp_path, endpoint.url, rows=4, concurrency=4)
        session = run_here(folder, HEDGE)
    assert (session.exit_code, session.tally.ok, session.tally.hedges, len(came)) == (0, 4, 1, 2)


def test_both_fail_and_the_row_has_one_outcome(tmp_path: Path) -> None:
    """Two failures are two attempts of the row, which then fails once, never beyond run.attempts."""
    came: list[int] = []

    def handler(received: Received) -> Iterator[Action]:
        if row_number(received) != 2:
            yield from answer(received)
            return
        came.append(received.number)
        yield from until(lambda: len(came) > 1)
        yield error(500, "broken")

    with ScriptedEndpoint(for_rows(handler)) as endpoint:
        folder = JobFolder(tmp_path, endpoint.url, rows=4, concurrency=4, attempts=2)
        session = run_here(folder, HEDGE)
    assert (session.exit_code, session.tally.ok, session.tally.failed, len(came)) == (1, 3, 1, 2)


def test_another_endpoint_of_the_pool_gets_the_second_request(tmp_path: Path) -> None:
    """With a sick endpoint in a pool its stuck rows are answered by the other one."""
    with ScriptedEndpoint(for_rows(lambda _: [HANG])) as sick, ScriptedEndpoint() as sound:
        folder = JobFolder(tmp_path, sound.url, rows=8, concurrency=2)
        session = run_here(folder, HEDGE, f"provider.house.base_url={[sick.url, sound.url]!r}")
        assert (session.exit_code, session.tally.ok) == (0, 8)
        assert session.tally.hedges == session.tally.doubled == rows_sent(sick)


def test_a_budget_that_does_not_allow_it_prevents_it(tmp_path: Path) -> None:
    """What is in flight and the second request together must fit: here the first takes all that is left."""
    with ScriptedEndpoint(for_rows(Stuck([0]))) as endpoint:
        folder = JobFolder(tmp_path, endpoint.url, rows=1, concurrency=4, parameters=PRICED, first_byte_timeout_s=1.5, attempts=3)
        session = run_here(folder, HEDGE, "run.max_cost_usd=0.0003")
    assert session.tally.hedges == 0
    assert session.tally.requests >= 1


def test_a_killed_run_goes_on(tmp_path: Path) -> None:
    """SIGKILL while both requests of a row are in flight: the next session sends that row only, and each row has one record."""
    with ScriptedEndpoint(for_rows(lambda r: [HANG] if row_number(r) == 5 else answer(r))) as endpoint:
        folder = JobFolder(tmp_path, endpoint.url, rows=8, concurrency=4)
        process = folder.start("run", folder.job.name, "--set", HEDGE, measured=False)
        wait_for(lambda: max(endpoint.counts().values(), default=0) > 1, process)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        endpoint.handler = for_rows(answer)
        session = run_here(folder, HEDGE)
    assert (session.exit_code, session.tally.total) == (0, 8)
    assert sorted(record["row"] for record in folder.journal()) == list(range(8))
