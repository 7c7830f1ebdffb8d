"""Whose fault a refusal is, in whole runs: a row's, an endpoint's, or the run's. Faults 62 to 64, promises 7 and 13."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.support.jobs import JobFolder, ids, rows_sent, run_here
from tests.support.scripted import Action, Received, ScriptedEndpoint, Sleep, answer, error, http
from tests.support.scripts import after, for_rows, row_number

WORKERS = 16


def said(message: str, **more: Any) -> dict[str, Any]:
    """OpenAI's envelope."""
    return {"error": {"message": message, "type": None, "param": None, "code": None, **more}}


UNKNOWN_WORDS: dict[str, bytes] = {
    "400": error(400, said("Das Konto ist erschöpft")),
    "400 of a gateway": error(400, b"<html>tenant suspended</html>"),
    "403": error(403, said("nope")),
    "422": error(422, {"detail": "capacity unit is gone"}),
    "inside a 200": http(200, orjson.dumps({"error": {"code": 400, "message": "the plan has ended"}})),
    "500": error(500, said("CUDA error: device-side assert triggered")),
}


# One per family of dialects: what OpenAI, Anthropic, OpenRouter, xAI and LiteLLM send when the money is spent.
OUT_OF_MONEY: dict[str, bytes] = {
    "OpenAI's 429": error(429, said("You exceeded your current quota", type="insufficient_quota", code="insufficient_quota")),
    "Anthropic's 400": error(
        400, {"type": "error", "error": {"type": "invalid_request_error", "message": "Your credit balance is too low to access the API."}}
    ),
    "OpenRouter's 402": error(402, {"error": {"code": 402, "message": "Insufficient credits. Add more to continue."}}),
    "xAI's 403": error(403, {"code": "permission-denied", "error": "Your team has used all available credits."}),
    "LiteLLM's 400": error(400, said("Budget has been exceeded! Current cost: 1.2, Max budget: 1.0", type="budget_exceeded", code="400")),
}


@pytest.mark.parametrize("attempts", [2, 8])
def test_rows_that_fail_each_time_fail_alone_and_soon(tmp_path: Path, attempts: int) -> None:
    """Fault 62: 2 % of the rows get a 500 each time: they fail with their attempts, the endpoint is never called out of order, exit 1."""

    def handler(received: Received) -> Iterable[Action]:
        return [error(500, "boom")] if row_number(received) % 50 == 7 else answer(received)

    with ScriptedEndpoint(for_rows(handler)) as endpoint:
        folder = JobFolder(tmp_path, endpoint.url, rows=1000, concurrency=WORKERS, attempts=attempts)
        session = run_here(folder)
        # References that were sent to prove the endpoint right: their number grows with the logarithm of the failures only. Rows that
        # failed beside several others, as retries that are due at once do on a busy machine, are sent once more.
        assert rows_sent(endpoint) - 1000 - 20 * (attempts - 1) <= 10 + 20
    assert (session.exit_code, session.tally.ok, session.tally.failed) == (1, 980, 20)
    assert {line["attempts"] for line in folder.errors()} <= {attempts, attempts + 1}
    assert not [notice for notice in session.notices if "out of order" in notice]


@pytest.mark.parametrize("name", UNKNOWN_WORDS)
def test_an_endpoint_that_refuses_everything_from_some_row_on_fails_no_row(tmp_path: Path, name: str) -> None:
    """Fault 63: refusals in words that no table knows: rows are held, the endpoint is probed, exit 5 with its words; then it resumes."""

    def handler(received: Received) -> Iterable[Action]:
        return answer(received) if rows_sent(endpoint) <= 100 else [UNKNOWN_WORDS[name]]

    with ScriptedEndpoint(for_rows(handler)) as endpoint:
        folder = JobFolder(tmp_path, endpoint.url, rows=300, concurrency=WORKERS, attempts=3, outage_timeout_s=1.0)
        session = run_here(folder)
        assert (session.exit_code, session.tally.ok, session.tally.failed, session.tally.not_attempted) == (5, 100, 0, 200)
        assert session.reason.startswith("house has served nothing for ")
        # As before, at the next call: what was answered in an earlier session proves that the rows are not to blame.
        again = run_here(folder)
        assert (again.exit_code, again.tally.failed, again.tally.not_attempted) == (5, 0, 200)
        endpoint.handler = answer
        assert run_here(folder).exit_code == 0
    assert ids(folder.completions()) == ids(folder.rows)


@pytest.mark.parametrize("name", UNKNOWN_WORDS)
def test_the_last_rows_of_a_run_are_no_proof_against_themselves(tmp_path: Path, name: str) -> None:
    """Fault 63: the endpoint stops serving with the very last rows: that is found out, and they are not failed."""

    def handler(received: Received) -> Iterable[Action]:
        return answer(received) if rows_sent(endpoint) <= 37 else [UNKNOWN_WORDS[name]]

    with ScriptedEndpoint(for_rows(handler)) as endpoint:
        folder = JobFolder(tmp_path, endpoint.url, rows=40, concurrency=4, attempts=2, outage_timeout_s=1.0)
        session = run_here(folder)
    assert (session.exit_code, session.tally.ok, session.tally.failed, session.tally.not_attempted) == (5, 37, 0, 3)


@pytest.mark.parametrize("name", UNKNOWN_WORDS)
def test_of_three_endpoints_one_that_refuses_everything_costs_no_row(tmp_path: Path, name: str) -> None:
    """Fault 63: one of a pool refuses everything from its 30th row on: the others take its rows, and it is left alone."""

    def handler(received: Received) -> Iterable[Action]:
        return answer(received) if rows_sent(sick) <= 30 else [UNKNOWN_WORDS[name]]

    with ScriptedEndpoint(for_rows(handler)) as sick, ScriptedEndpoint() as second, ScriptedEndpoint() as third:
        folder = JobFolder(tmp_path, sick.url, rows=600, concurrency=4, attempts=3)
        session = run_here(folder, f"provider.house.base_url={[sick.url, second.url, third.url]!r}")
        assert rows_sent(sick) <= 30 + 40
    assert (session.exit_code, session.tally.ok, session.tally.failed) == (0, 600, 0)


CASES = [*((name, 1) for name in [*OUT_OF_MONEY, *UNKNOWN_WORDS]), *((name, 2) for name in [*OUT_OF_MONEY, "400", "500"])]


@pytest.mark.parametrize(("name", "processes"), CASES)
def test_of_three_endpoints_one_that_runs_dry_at_its_100th_row_costs_no_row(tmp_path: Path, name: str, processes: int) -> None:
    """Faults 3 and 63: one of a pool of three serves 99 rows and refuses all others, in any dialect: the others take them, no row fails."""
    refusal = (OUT_OF_MONEY | UNKNOWN_WORDS)[name]
    served = 0

    def handler(received: Received) -> Iterable[Action]:
        nonlocal served
        if served == 99:
            return [refusal]
        served += 1
        return answer(received)

    with ScriptedEndpoint(for_rows(handler)) as dry, ScriptedEndpoint(after(0.01)) as second, ScriptedEndpoint(after(0.01)) as third:
        folder = JobFolder(tmp_path, dry.url, rows=900, concurrency=8, attempts=3, processes=processes)
        session = run_here(folder, f"provider.house.base_url={[dry.url, second.url, third.url]!r}")
        assert 99 < rows_sent(dry) <= 99 + 40 * processes
    assert (session.exit_code, session.tally.ok, session.tally.failed) == (0, 900, 0)
    assert ids(folder.completions()) == ids(folder.rows)


OF_THE_RUN = {
    "key": error(401, said("Incorrect API key provided", code="invalid_api_key")),
    "money": OUT_OF_MONEY["OpenAI's 429"],
    "model": error(404, said("The model `m` does not exist", code="model_not_found")),
}


@pytest.mark.parametrize("name", OF_THE_RUN)
@pytest.mark.parametrize("share", [10, 3])
def test_a_share_of_rows_that_are_refused_for_the_runs_fault_fails_alone(tmp_path: Path, name: str, share: int) -> None:
    """Promise 13: one row in ten, or three, gets a 401, 402 or 404 at once, as others are being answered: they fail, and no run stops."""

    def handler(received: Received) -> Iterable[Action]:
        # The first ones are answered: until then such a refusal is believed.
        is_bad = row_number(received) > 2 * WORKERS and row_number(received) % share == 1
        return [OF_THE_RUN[name]] if is_bad else [Sleep(0.01), *answer(received)]

    with ScriptedEndpoint(for_rows(handler)) as endpoint:
        folder = JobFolder(tmp_path, endpoint.url, rows=200, concurrency=WORKERS, attempts=2)
        session = run_here(folder)
    bad = len([number for number in range(2 * WORKERS + 1, 200) if number % share == 1])
    assert (session.exit_code, session.tally.ok, session.tally.failed) == (1, 200 - bad, bad)


def test_a_long_block_of_bad_rows_is_not_taken_for_an_outage(tmp_path: Path) -> None:
    """Promise 13: 200 bad rows in a row fail, each after two requests at most; a few references prove the endpoint right."""

    def handler(received: Received) -> Iterable[Action]:
        return [error(400, said("image cannot be read"))] if 100 <= row_number(received) < 300 else answer(received)

    with ScriptedEndpoint(for_rows(handler)) as endpoint:
        folder = JobFolder(tmp_path, endpoint.url, rows=400, concurrency=8)
        session = run_here(folder)
        # Each bad row may be sent once more: several in a row may also have met an endpoint that was broken for a while.
        assert rows_sent(endpoint) <= 400 + 200 + 15
    assert (session.exit_code, session.tally.ok, session.tally.failed) == (1, 200, 200)
    assert session.notices == []


@pytest.mark.parametrize("message", ["Request too large for gpt-4o on tokens per min (TPM): Limit 30000, Requested 61337", "busy"])
def test_a_row_that_no_rate_lets_through_fails_alone(tmp_path: Path, message: str) -> None:
    """Fault 64: one row above the token limit gets a 429 each time, in known words or not: it alone fails, and holds nothing up."""

    def handler(received: Received) -> Iterable[Action]:
        return [error(429, message)] if row_number(received) == 2 else answer(received)

    with ScriptedEndpoint(for_rows(handler)) as endpoint:
        rows = [{"id": f"r{number}", "text": f"{'long ' * (400 if number == 2 else 1)}{number}"} for number in range(60)]
        folder = JobFolder(tmp_path, endpoint.url, rows=rows, concurrency=4, attempts=3)
        session = run_here(folder)
    assert (session.exit_code, session.tally.ok, session.tally.failed) == (1, 59, 1)
    assert [line["error"]["code"] for line in folder.errors()] == ["too_large"]


ALONE: dict[str, tuple[bytes, str]] = {
    "a key": (error(401, said("no key for this resource")), "authentication"),
    "money": (error(402, said("no credit left")), "quota"),
    "money in a row's own words": (error(400, said("Insufficient balance, wrote the customer")), "quota"),
    "a redirect": (http(302, b"", {"location": "http://127.0.0.1:1/"}), "redirect"),
    "a path": (error(404, b""), "not_found"),
    "a model": (error(404, said("The model `other` does not exist", code="model_not_found")), "model_not_found"),
    "a model that loads": (error(503, said("Model x is currently loading")), "loading"),
    "loading in a row's own words": (error(500, said("failed on: my model railway is loading")), "loading"),
}


@pytest.mark.parametrize("place", [7, 59])
@pytest.mark.parametrize("name", ALONE)
def test_a_row_that_alone_is_refused_for_the_runs_fault_fails_alone(tmp_path: Path, name: str, place: int) -> None:
    """Faults 62 and 63, promises 7 and 13: others are served while one row is told of a key, money or loading: it uses up its attempts."""
    refusal, code = ALONE[name]

    def handler(received: Received) -> Iterable[Action]:
        return [refusal] if row_number(received) == place else answer(received)

    with ScriptedEndpoint(for_rows(handler)) as endpoint:
        folder = JobFolder(tmp_path, endpoint.url, rows=60, concurrency=4, attempts=2, outage_timeout_s=30.0)
        session = run_here(folder)
    assert (session.exit_code, session.tally.ok, session.tally.failed) == (1, 59, 1), session.reason
    assert [(line["id"], line["error"]["code"]) for line in folder.errors()] == [(f"r{place}", code)]


def test_rows_refused_for_the_runs_fault_by_all_endpoints_of_a_pool_fail_alone(tmp_path: Path) -> None:
    """Promise 13: one row that each of two endpoints refuses as if its key were wrong rests neither of them."""

    def handler(received: Received) -> Iterable[Action]:
        return [ALONE["a key"][0]] if row_number(received) == 7 else answer(received)

    with ScriptedEndpoint(for_rows(handler)) as first, ScriptedEndpoint(for_rows(handler)) as second:
        folder = JobFolder(tmp_path, first.url, rows=60, concurrency=4, attempts=3)
        session = run_here(folder, f"provider.house.base_url={[first.url, second.url]!r}")
    assert (session.exit_code, session.tally.ok, session.tally.failed) == (1, 59, 1), session.reason


@pytest.mark.parametrize("workers", [1, 4])
def test_several_rows_refused_for_the_runs_fault_stop_the_run_though_the_reference_is_served(tmp_path: Path, workers: int) -> None:
    """Fault 3: what is left of the money pays for the smallest request alone: after three rows without another served the run stops."""

    def handler(received: Received) -> Iterable[Action]:
        return [error(402, said("can only afford 42 tokens"))] if row_number(received) >= 10 else answer(received)

    with ScriptedEndpoint(for_rows(handler)) as endpoint:
        folder = JobFolder(tmp_path, endpoint.url, rows=60, concurrency=workers)
        session = run_here(folder)
        assert rows_sent(endpoint) <= 10 + 3 * workers + 3
    assert (session.exit_code, session.tally.ok, session.tally.failed, session.tally.not_attempted) == (5, 10, 0, 50)
    assert session.reason == "house: can only afford 42 tokens"


def test_an_endpoint_that_fails_a_quarter_of_all_requests_serves_every_row(tmp_path: Path) -> None:
    """Promise 7: a run that makes progress continues, however many requests fail by chance."""

    def handler(received: Received) -> Iterable[Action]:
        return [error(500, "boom")] if rows_sent(endpoint) % 4 == 0 else answer(received)

    with ScriptedEndpoint(for_rows(handler)) as endpoint:
        session = run_here(JobFolder(tmp_path, endpoint.url, rows=600, concurrency=4))
    assert (session.exit_code, session.tally.ok) == (0, 600)


def test_rows_that_meet_a_loading_model_each_time_fail_alone(tmp_path: Path) -> None:
    """Promise 13: once only they were left, each test of the endpoint was one of them, and the run ended with 5 at every call."""
    loading = error(503, "Loading model")
    with ScriptedEndpoint(for_rows(lambda r: [loading] if row_number(r) % 10 == 0 else answer(r))) as endpoint:
        session = run_here(JobFolder(tmp_path, endpoint.url, rows=60, concurrency=8, attempts=2, outage_timeout_s=20.0))
    assert (session.exit_code, session.tally.failed, session.tally.ok) == (1, 6, 54)


@pytest.mark.parametrize(("forbidden", "bad", "code"), [({0, 1, 4}, {2, 3}, 1), ({0, 1, 5, 6, 7}, {2, 3, 4}, 5)])
def test_forbidden_rows_and_bad_ones_are_counted_apart(tmp_path: Path, forbidden: set[int], bad: set[int], code: int) -> None:
    """Promise 13: where nothing was ever answered, bad rows do not make a key forbidden, nor do they fail forbidden rows with them."""

    def handler(received: Received) -> Iterable[Action]:
        number = row_number(received)
        refusal = error(403, "no rights") if number in forbidden else error(400, "bad") if number in bad else None
        return answer(received) if refusal is None else [refusal]

    with ScriptedEndpoint(for_rows(handler)) as endpoint:
        session = run_here(JobFolder(tmp_path, endpoint.url, rows=12, concurrency=1))
    assert (session.exit_code, session.tally.ok) == (code, 7 if code == 1 else 0)
