"""Endpoints that fail for everybody, or are not there, and rows that fail alone: faults 10 to 13, 16 and 33."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from tests.support.jobs import JobFolder, Session, ids, rows_sent, run_here, whole_records
from tests.support.processes import BlackHole, unused_port
from tests.support.scripted import RESET, Action, Received, ScriptedEndpoint, Sleep, answer, error, http
from tests.support.scripts import Deck, after, for_rows, row_number, wait_until

WORKERS = 16
# An upper bound that a machine under load keeps too; without a breaker it would be hundreds.
PROBES = 40
LOADING = error(503, {"error": {"code": 503, "message": "Loading model", "type": "unavailable_error"}})
OUTAGES: dict[str, Action] = {
    "500": error(500, "boom"),
    "502 of a proxy": http(502, b"<html>Bad Gateway</html>", content_type="text/html"),
    "503": error(503, "overloaded"),
    "500 with a wait": error(500, "boom", {"retry-after-ms": "50"}),
    "resets": RESET,
    "a page with 200": http(200, b"<html>We are down for maintenance</html>", content_type="text/html"),
    "loading": LOADING,
}


@pytest.mark.parametrize("name", OUTAGES)
def test_an_endpoint_that_serves_nothing_is_given_up(tmp_path: Path, name: str) -> None:
    """Faults 9, 10, 12: the breaker opens, few probes are sent, the run stops with 5 by its deadline, and no row is lost or failed."""
    with ScriptedEndpoint(for_rows(lambda _: [OUTAGES[name]])) as endpoint:
        folder = JobFolder(tmp_path, endpoint.url, rows=300, concurrency=WORKERS, outage_timeout_s=1.0, attempts=3)
        session = run_here(folder)
        assert session.exit_code == 5
        assert session.reason.startswith("house has served nothing for ")
        assert (session.tally.ok, session.tally.failed, session.tally.not_attempted) == (0, 0, 300)
        assert 3 <= rows_sent(endpoint) <= 2 * WORKERS + PROBES
        assert sum("out of order" in notice for notice in session.notices) <= 1
        endpoint.handler = answer
        again = run_here(folder)
        assert (again.exit_code, again.tally.requests) == (0, 300)


PAGE = b"<!DOCTYPE html>\n<html><head><title>502 Bad &amp; Gateway</title></head>\n<body><center>nginx/1.25</center></body></html>"


@pytest.mark.parametrize("rows", [1, 3])
@pytest.mark.parametrize("status", [200, 502, 503, 504, 520, 521, 524, 530])
def test_a_gateway_with_nothing_behind_it_fails_no_row_of_a_small_run(tmp_path: Path, status: int, rows: int) -> None:
    """Faults 10 and 63, promise 13: a gateway's page from the first request on is the endpoint's fault, however few the rows and their
    attempts: held, probed, stopped with 5 in the page's words, and resumed.
    """  # noqa: D205 - one sentence
    with ScriptedEndpoint(for_rows(lambda _: [http(status, PAGE, content_type="text/html")])) as endpoint:
        folder = JobFolder(tmp_path, endpoint.url, rows=rows, concurrency=4, attempts=2, outage_timeout_s=0.5)
        session = run_here(folder)
        assert (session.exit_code, session.tally.failed, session.tally.not_attempted) == (5, 0, rows)
        assert rows_sent(endpoint) <= PROBES
        assert "an HTML page: 502 Bad & Gateway" in session.reason
        assert not [text for text in [session.reason, *session.notices] if "<" in text]
        endpoint.handler = answer
        assert run_here(folder).exit_code == 0


def test_a_gateway_whose_backend_comes_up_late_costs_no_attempt(tmp_path: Path) -> None:
    """Fault 12: five refusals of a gateway before the first answer are waited out; the rows have one attempt."""

    def handler(received: Received) -> Iterable[Action]:
        return [http(502, PAGE, content_type="text/html")] if rows_sent(endpoint) <= 5 else answer(received)

    with ScriptedEndpoint(for_rows(handler)) as endpoint:
        session = run_here(JobFolder(tmp_path, endpoint.url, rows=3, concurrency=4, attempts=1, outage_timeout_s=20))
    assert (session.exit_code, session.tally.ok) == (0, 3)


def test_a_gateway_that_refuses_one_row_among_others_fails_it_alone(tmp_path: Path) -> None:
    """Fault 62: once others are served, a row that meets a gateway's page each time uses up its attempts and fails, with a few words."""
    page = http(504, PAGE, content_type="text/html")
    with ScriptedEndpoint(for_rows(lambda received: [page] if row_number(received) == 7 else answer(received))) as endpoint:
        folder = JobFolder(tmp_path, endpoint.url, rows=40, concurrency=1, attempts=2)
        session = run_here(folder)
    (failed,) = folder.errors()
    assert (session.exit_code, session.tally.ok, failed["attempts"]) == (1, 39, 2)
    assert failed["error"]["message"] == "an HTML page: 502 Bad & Gateway"


@pytest.mark.parametrize("fault", ["500", "resets"])
def test_all_rows_of_a_small_run_that_fail_alike_are_not_to_blame(tmp_path: Path, fault: str) -> None:
    """Faults 10 and 63: three rows fail each time and nothing was ever served: nothing says that they are at fault."""
    with ScriptedEndpoint(for_rows(lambda _: [OUTAGES[fault]])) as endpoint:
        folder = JobFolder(tmp_path, endpoint.url, rows=3, concurrency=4, attempts=2, outage_timeout_s=0.5)
        session = run_here(folder)
        assert (session.exit_code, session.tally.failed, session.tally.not_attempted) == (5, 0, 3)
        endpoint.handler = answer
        assert run_here(folder).exit_code == 0


@pytest.mark.parametrize("what", ["refused", "unresolved", "no answer to SYN"])
def test_an_endpoint_that_is_not_there_is_given_up(tmp_path: Path, what: str) -> None:
    """Faults 13, 16, 33: nobody listens, no such host, a black hole: stopped with 5 by the deadline; with the right URL it goes on."""
    with BlackHole() as hole, ScriptedEndpoint() as endpoint:
        urls = {
            "refused": f"http://127.0.0.1:{unused_port()}/v1",
            "unresolved": "http://no-such-host.invalid/v1",
            "no answer to SYN": hole.url,
        }
        folder = JobFolder(tmp_path, urls[what], rows=50, concurrency=WORKERS)
        session = run_here(folder, "run.outage_timeout_s=1.0", "run.connect_timeout_s=0.2", "run.attempts=1")
        assert session.exit_code == 5
        assert session.reason.startswith("house has served nothing for ")
        assert (session.tally.failed, session.tally.not_attempted) == (0, 50)
        assert session.tally.requests <= 3 * WORKERS + PROBES
        folder.url = endpoint.url
        folder.write()
        assert run_here(folder).exit_code == 0


def test_a_server_that_loads_is_waited_for(tmp_path: Path) -> None:
    """Fault 12: while the server loads its model it is only probed; rows have one attempt, and none is charged for the loading."""
    began: list[float] = []

    def handler(received: Received) -> Iterable[Action]:
        began.append(time.monotonic())
        return answer(received) if began[-1] > began[0] + 1.0 else [LOADING]

    with ScriptedEndpoint(for_rows(handler)) as endpoint:
        session = run_here(JobFolder(tmp_path, endpoint.url, rows=100, concurrency=WORKERS, attempts=1, outage_timeout_s=5))
        assert rows_sent(endpoint) <= 100 + WORKERS + PROBES
    assert (session.exit_code, session.tally.ok) == (0, 100)
    assert session.notices == [
        "house is out of order (Loading model); probing until it serves again, for up to 5.0 s",
        "house serves again",
    ]


def test_an_endpoint_that_dies_in_mid_run_and_comes_back(tmp_path: Path) -> None:
    """Faults 10, 13: its process is gone (resets, then refused connections) and is there again later: every row ok, retries bounded."""
    first = ScriptedEndpoint(after(0.02))
    second: list[ScriptedEndpoint] = []
    notices: list[str] = []

    def die_and_come_back() -> None:
        wait_until(lambda: len(first.requests) >= 100)
        first.__exit__(None, None, None)
        wait_until(lambda: any("out of order" in notice for notice in notices))
        second.append(ScriptedEndpoint(port=first.port).__enter__())

    first.__enter__()
    fate = threading.Thread(target=die_and_come_back)
    fate.start()
    session = run_here(JobFolder(tmp_path, first.url, rows=400, concurrency=WORKERS, attempts=2, outage_timeout_s=20), notices=notices)
    fate.join()
    second[0].__exit__(None, None, None)
    assert (session.exit_code, session.tally.ok, session.tally.failed) == (0, 400, 0)
    assert session.tally.requests <= 400 + 3 * WORKERS + PROBES
    assert first.connections <= 2 * WORKERS
    assert "house serves again" in notices


def test_an_outage_in_mid_run_fails_no_row(tmp_path: Path) -> None:
    """Fault 10: a second of nothing but 500 while other rows wait: rows with two attempts survive it, since it is not about them."""
    outage: list[float] = []

    def handler(received: Received) -> Iterable[Action]:
        if rows_sent(endpoint) >= 100 and not outage:
            outage.append(time.monotonic() + 1.0)
        return [error(500, "boom")] if outage and time.monotonic() < outage[0] else answer(received)

    with ScriptedEndpoint(for_rows(handler)) as endpoint:
        session = run_here(JobFolder(tmp_path, endpoint.url, rows=300, concurrency=WORKERS, attempts=2, outage_timeout_s=4))
    assert (session.exit_code, session.tally.ok, session.tally.failed) == (0, 300, 0)
    # Answers that were under way when it began may close the breaker again; without one, thousands were sent.
    assert session.tally.requests <= 300 + 4 * WORKERS + 2 * PROBES


@pytest.mark.parametrize("poison", [{19}, {18, 19}])
def test_last_rows_that_fail_each_time_are_no_outage(tmp_path: Path, poison: set[int]) -> None:
    """Promise 7: nothing but rows that are reset each time is left for run.outage_timeout_s: the endpoint is tested, and they fail."""

    def handler(received: Received) -> Iterable[Action]:
        return [RESET] if row_number(received) in poison else answer(received)

    with ScriptedEndpoint(for_rows(handler)) as endpoint:
        session = run_here(JobFolder(tmp_path, endpoint.url, rows=20, concurrency=4, attempts=4, outage_timeout_s=2.0))
    assert (session.exit_code, session.tally.ok, session.tally.failed) == (1, 20 - len(poison), len(poison))


def test_the_last_test_of_an_endpoint_has_the_time_of_a_request(tmp_path: Path) -> None:
    """Promise 7: the test begins when the endpoint would be given up, and a slow answer to it, of several seconds, still counts."""

    def handler(received: Received) -> Iterable[Action]:
        if row_number(received) == 19:
            return [RESET]
        return [Sleep(2.5), *answer(received)] if rows_sent(endpoint) > 20 else answer(received)

    with ScriptedEndpoint(for_rows(handler)) as endpoint:
        session = run_here(JobFolder(tmp_path, endpoint.url, rows=20, concurrency=4, attempts=4, outage_timeout_s=1.0))
    assert (session.exit_code, session.tally.ok, session.tally.failed) == (1, 19, 1)


@pytest.mark.parametrize("poison", [{7}, {99}, {97, 98, 99}, {0, 50, 99}], ids=["among others", "last", "the last three", "scattered"])
@pytest.mark.parametrize("attempts", [2, 4])
def test_poisonous_rows_fail_alone(tmp_path: Path, poison: set[int], attempts: int) -> None:
    """Fault 10: rows that the server always answers with 500 fail after their attempts; all others are ok, and the run ends with 1."""

    def handler(received: Received) -> Iterable[Action]:
        return [error(500, "boom")] if row_number(received) in poison else answer(received)

    with ScriptedEndpoint(for_rows(handler)) as endpoint:
        folder = JobFolder(tmp_path, endpoint.url, rows=100, concurrency=8, attempts=attempts, outage_timeout_s=10)
        session = run_here(folder)
        # Where no other row is left, one that was answered before shows at whose fault they failed.
        assert 0 <= rows_sent(endpoint) - 100 - len(poison) * (attempts - 1) <= 3
    assert (session.exit_code, session.tally.ok) == (1, 100 - len(poison))
    assert ids(folder.errors()) == [f"r{number}" for number in sorted(poison)]
    assert {line["attempts"] for line in folder.errors()} == {attempts}


def test_one_request_in_ten_fails(tmp_path: Path) -> None:
    """Fault 11: 10 % of 5xx of all kinds, seeded: every row succeeds, and retries are as many as faults."""
    statuses = (500, 502, 503, 504, 529)
    deck = Deck([(2, lambda _, status=status: [error(status, "boom")]) for status in statuses], seed=11)
    with ScriptedEndpoint(for_rows(deck)) as endpoint:
        folder = JobFolder(tmp_path, endpoint.url, rows=900, concurrency=WORKERS)
        session = run_here(folder)
        assert rows_sent(endpoint) == session.tally.requests == 1000
    assert (session.exit_code, session.tally.ok, session.tally.retries) == (0, 900, 100)
    assert session.tally.doubled == sum(record.doubled for record in whole_records(folder.directory)) == 40
    assert session.notices == []


def run_mostly_failing(path: Path, *, rows: int, retry_share: float) -> Session:
    """Run a job whose endpoint fails six requests of ten."""
    with ScriptedEndpoint(for_rows(Deck([(60, lambda _: [error(500, "boom")])], seed=6))) as endpoint:
        return run_here(JobFolder(path, endpoint.url, rows=rows, concurrency=4, attempts=50, retry_share=retry_share))


def test_a_fault_that_is_most_of_the_answers_spends_the_retry_budget(tmp_path: Path) -> None:
    """Promise 6: where more than half of all requests fail, retries end at the run's budget: stopped with 5, what was answered is kept."""
    session = run_mostly_failing(tmp_path, rows=1000, retry_share=0.5)
    assert session.exit_code == 5
    assert session.reason == "house fails too often: the retry budget of this run is spent"
    # No more than retry_share of the tasks, and a floor, are retried; each of them as often as it happens to fail (1,918 to 2,040 seen).
    assert session.tally.requests < 2500
    assert session.tally.failed == 0
    assert session.tally.ok > 300


def test_a_retry_share_of_1_bounds_no_retries(tmp_path: Path) -> None:
    """With `retry_share = 1` each row is answered where more than half of all requests fail."""
    session = run_mostly_failing(tmp_path, rows=100, retry_share=1.0)
    assert (session.exit_code, session.tally.ok) == (0, 100)


def test_name_resolution_that_fails_in_bursts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fault 33: the resolver fails for a while and then works: every row is ok, no attempt is charged, and while it fails all rows share
    one lookup at a time.
    """  # noqa: D205 - one sentence
    looked_up: list[float] = []
    resolve = socket.getaddrinfo

    def flaky(host: Any, *args: Any, **options: Any) -> Any:
        if host not in {"endpoint.test", b"endpoint.test"}:
            return resolve(host, *args, **options)
        looked_up.append(time.monotonic())
        if looked_up[-1] < looked_up[0] + 1.0:
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return resolve("127.0.0.1", *args, **options)

    monkeypatch.setattr(socket, "getaddrinfo", flaky)
    monkeypatch.setattr(import_module("batch.app.runner"), "has_uvloop", lambda: False)
    with ScriptedEndpoint() as endpoint:
        url = endpoint.url.replace("127.0.0.1", "endpoint.test")
        folder = JobFolder(tmp_path, url, rows=100, concurrency=WORKERS, attempts=1, outage_timeout_s=10)
        session = run_here(folder)
    assert (session.exit_code, session.tally.ok) == (0, 100)
    # Once before anything is sent, then by probes that are 0.5 s apart and more; when it works, once more for all connections.
    assert sum(at < looked_up[0] + 1.0 for at in looked_up) <= 4
    assert len(looked_up) <= 5
    assert any("the host name could not be resolved" in notice for notice in session.notices)
