"""Pools of endpoints in whole runs: the least loaded first, sick ones rested and probed, one verdict only when all are sick."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path

import pytest

from batch.errors import JobError
from tests.support.jobs import JobFolder, Session, rows_sent, run_here
from tests.support.processes import unused_port
from tests.support.scripted import Action, Received, ScriptedEndpoint, Sleep, answer, error, http
from tests.support.scripts import after, for_rows, row_number, until


def run_pool(folder: JobFolder, *urls: str) -> Session:
    """Run the folder's job on these endpoints."""
    return run_here(folder, f"provider.house.base_url={list(urls)!r}")


SERVER = """
import threading
from tests.support.scripted import HANG, ScriptedEndpoint, answer
from tests.support.scripts import for_rows

with ScriptedEndpoint(for_rows(lambda r: [HANG] if r.number > 5 else answer(r))) as endpoint:
    print(endpoint.port, flush=True)
    threading.Event().wait()
"""


def test_one_of_two_is_killed_in_mid_run_and_comes_back(tmp_path: Path) -> None:
    """Every row is done, what failed moves to the other endpoint and is counted, and the killed one is used again when it is back."""
    again: list[ScriptedEndpoint] = []
    seen: list[int] = []

    def moved() -> bool:
        return any(number < max(seen[:place], default=0) - 30 for place, number in enumerate(seen))

    def is_back() -> bool:
        return bool(again) and rows_sent(again[0]) > 0

    def handler(received: Received) -> Iterable[Action]:
        seen.append(row_number(received))
        if len(seen) == 100:
            first.kill()
            first.wait()
        if not again and moved():
            again.append(stack.enter_context(ScriptedEndpoint(port=port)))
        if len(seen) > 200 and not is_back():  # most of the rest waits until the other one is back at work
            yield from until(is_back) if second.concurrent < 8 else [Sleep(0.05)]
        yield from answer(received)

    first = subprocess.Popen([sys.executable, "-c", SERVER], stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2])
    assert first.stdout is not None
    with first, ScriptedEndpoint(for_rows(handler)) as second, ExitStack() as stack:
        port = int(first.stdout.readline())
        folder = JobFolder(tmp_path, f"http://127.0.0.1:{port}", rows=400, concurrency=8)
        session = run_pool(folder, folder.url, second.url)
    assert is_back()
    assert (session.exit_code, session.tally.ok) == (0, 400)
    assert session.tally.failovers >= 1
    place = f"house (127.0.0.1:{port})"
    assert [notice for notice in session.notices if notice.startswith(f"{place} is out of order")]
    assert f"{place} serves again" in session.notices
    assert not [notice for notice in session.notices if str(second.port) in notice]


def test_the_summary_says_how_many_moved(tmp_path: Path) -> None:
    """An endpoint that nobody listens at costs no row; the command shows how many attempts moved to another one."""
    with ScriptedEndpoint() as endpoint:
        folder = JobFolder(tmp_path, endpoint.url, rows=50, preflight=False)
        ended = folder.run("run", "test.toml", "--set", f'provider.house.base_url=["http://127.0.0.1:{unused_port()}", "{endpoint.url}"]')
    assert ended.returncode == 0, ended.stderr
    assert len(folder.completions()) == 50
    assert "moved to another endpoint of the pool" in ended.stderr


def test_the_run_is_stopped_only_when_none_serves(tmp_path: Path) -> None:
    """When all are out of order for outage_timeout_s the run ends with 5 and names them; no row has failed (promise 7)."""
    with ScriptedEndpoint(for_rows(lambda _: [error(500, "boom")])) as endpoint:
        folder = JobFolder(tmp_path, endpoint.url, rows=50, outage_timeout_s=1.0, grace_s=0.3)
        dead = f"http://127.0.0.1:{unused_port()}"
        session = run_pool(folder, endpoint.url, dead)
    assert (session.exit_code, session.tally.failed, session.tally.not_attempted) == (5, 0, 50)
    assert session.reason.startswith("none of the 2 endpoints of house serves: house (127.0.0.1:")
    assert "boom" in session.reason
    assert dead.removeprefix("http://") in session.reason


def test_an_endpoint_out_of_order_for_long_is_not_given_up_while_another_serves(tmp_path: Path) -> None:
    """An outage longer than outage_timeout_s ends nothing while the other endpoint may serve; the sick one is probed, and used again."""
    began: list[float] = []
    back: list[Received] = []

    def sick(received: Received) -> Iterable[Action]:
        began.append(time.monotonic())
        if began[-1] - began[0] < 1.5:
            return [error(503, {"error": {"message": "Loading model"}})]
        back.append(received)
        return answer(received)

    def steady(received: Received) -> Iterable[Action]:
        if rows_sent(second) >= 50:
            yield from until(lambda: len(back) > 0)
        yield from answer(received)

    with ScriptedEndpoint(for_rows(sick)) as first, ScriptedEndpoint(for_rows(steady)) as second:
        folder = JobFolder(tmp_path, first.url, rows=400, concurrency=2, outage_timeout_s=0.5)
        session = run_pool(folder, first.url, second.url)
    assert (session.exit_code, session.tally.ok) == (0, 400)


@pytest.mark.parametrize(
    "fault", [error(401, "wrong key"), error(404, {"detail": "Not Found"}), http(307, b"", {"Location": "/elsewhere"})]
)
def test_an_endpoint_that_refuses_everything_is_not_used(tmp_path: Path, fault: bytes) -> None:
    """What would stop a run at a single endpoint (a wrong key, a wrong path, a redirect) is said once, and the other one does all."""
    with ScriptedEndpoint(for_rows(lambda _: [fault])) as first, ScriptedEndpoint() as second:
        folder = JobFolder(tmp_path, first.url, rows=100, concurrency=4)
        session = run_pool(folder, first.url, second.url)
        assert 1 <= rows_sent(first) < 20
    assert (session.exit_code, session.tally.ok) == (0, 100)
    assert {line["attempts"] for line in folder.completions()} <= {1, 2, 3}
    assert len([notice for notice in session.notices if "is not used for now" in notice]) == 1


def test_all_refuse(tmp_path: Path) -> None:
    """Only when every endpoint refuses is the run stopped, at once and with what was said (promise 1: no row has failed)."""
    with ScriptedEndpoint(for_rows(lambda _: [error(401, "wrong key")])) as first, ScriptedEndpoint(first.handler) as second:
        folder = JobFolder(tmp_path, first.url, rows=100, concurrency=4)
        session = run_pool(folder, first.url, second.url)
    assert (session.exit_code, session.tally.failed, session.reason) == (5, 0, "house: wrong key")


def test_a_row_that_one_endpoint_forbids_is_tried_at_the_other(tmp_path: Path) -> None:
    """A 403 of one endpoint fails no row while the other takes it; a row that both forbid fails for its own sake."""
    with (
        ScriptedEndpoint(for_rows(lambda _: [error(403, "not for you")])) as first,
        ScriptedEndpoint(for_rows(lambda r: [error(403, "never")] if row_number(r) == 7 else answer(r))) as second,
    ):
        folder = JobFolder(tmp_path, first.url, rows=60, concurrency=4)
        session = run_pool(folder, first.url, second.url)
    assert (session.exit_code, session.tally.ok, session.tally.failed) == (1, 59, 1)
    assert folder.errors()[0]["id"] == "r7"


def test_the_faster_one_gets_more(tmp_path: Path) -> None:
    """Work goes to the least loaded endpoint: one that answers ten times as fast gets most of the rows, and none is left idle."""

    def slowly(received: Received) -> Iterable[Action]:
        so_many = len(fast.requests) + 10
        yield from until(lambda: len(fast.requests) >= so_many or rows_sent(slow) + rows_sent(fast) == 300)
        yield from answer(received)

    with ScriptedEndpoint(for_rows(slowly)) as slow, ScriptedEndpoint(after(0.01)) as fast:
        folder = JobFolder(tmp_path, slow.url, rows=300, concurrency=4)
        assert run_pool(folder, slow.url, fast.url).tally.ok == 300
        assert rows_sent(slow) >= 4
        assert rows_sent(fast) > 2 * rows_sent(slow)
        assert max(slow.max_concurrent, fast.max_concurrent) <= 4


def test_a_wait_is_that_endpoints_alone(tmp_path: Path) -> None:
    """Promise 6: an endpoint that asks to wait is left alone for that long, and meanwhile the other one does the work."""
    refusal = error(429, "slow down", {"Retry-After": "110"})  # longer than a test may take
    with ScriptedEndpoint(for_rows(lambda _: [refusal])) as first, ScriptedEndpoint() as second:
        folder = JobFolder(tmp_path, first.url, rows=200, concurrency=1)
        session = run_pool(folder, first.url, second.url)
        assert (rows_sent(first), rows_sent(second)) == (1, 200)
    assert (session.exit_code, session.tally.ok) == (0, 200)


def models(*names: str) -> bytes:
    """A list of models."""
    return http(200, b'{"object":"list","data":[' + b",".join(b'{"id":"%s"}' % name.encode() for name in names) + b"]}")


def test_the_models_of_each_are_looked_at_before(tmp_path: Path) -> None:
    """A model that one endpoint does not list is said and goes on with the other; one that none lists is a mistake of the job."""
    lists = for_rows(answer)

    def other(received: Received) -> Iterable[Action]:
        return lists(received) if received.body else [models("another-model")]

    with ScriptedEndpoint(other) as first, ScriptedEndpoint() as second:
        folder = JobFolder(tmp_path, first.url)
        session = run_pool(folder, first.url, second.url)
        assert session.exit_code == 0
        assert [notice for notice in session.notices if f"127.0.0.1:{first.port}" in notice and "is not served there" in notice]
        with pytest.raises(JobError, match="is not served there"):
            run_here(
                folder,
                f"provider.house.base_url={[first.url, first.url.replace('127.0.0.1', 'localhost')]!r}",
                f"output.dir={tmp_path / 'other'}",
            )


def test_worker_processes_share_out_each_endpoint(tmp_path: Path) -> None:
    """Several processes send to a pool: each endpoint's limit holds for all of them together, and what one cannot do the other does."""
    with ScriptedEndpoint(for_rows(lambda r: [Sleep(0.01), *answer(r)])) as first, ScriptedEndpoint(first.handler) as second:
        folder = JobFolder(tmp_path, first.url, rows=200, concurrency=4, processes=2)
        dead = f"http://127.0.0.1:{unused_port()}"
        session = run_pool(folder, first.url, second.url, dead)
        assert min(rows_sent(first), rows_sent(second)) >= 20
        assert max(first.max_concurrent, second.max_concurrent) <= 4
    assert (session.exit_code, session.tally.ok) == (0, 200)


def test_a_row_that_both_endpoints_ask_to_wait_long_holds_up_no_other(tmp_path: Path) -> None:
    """Promise 7: an endpoint parks itself for an hour at its first row, which the other one refuses too: that row fails, no other waits."""
    refused: list[str] = []

    def handler(received: Received) -> Iterable[Action]:
        if row_number(received) == 0:
            refused.append(received.prompt)
            yield error(429, "come back later", {"retry-after": "3600"})
            return
        yield from until(lambda: bool(refused))
        yield from answer(received)

    with ScriptedEndpoint(for_rows(handler)) as first, ScriptedEndpoint(for_rows(handler)) as second:
        folder = JobFolder(tmp_path, first.url, rows=40, concurrency=4)
        session = run_pool(folder, first.url, second.url)
    assert (session.exit_code, session.tally.ok, session.tally.failed) == (1, 39, 1)
    assert len(refused) == 2
