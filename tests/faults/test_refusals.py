"""Refusals at the level of a run: which fail a row and which end the run. Faults 3 to 8, and `max_failures`."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from batch.errors import JobError
from tests.support.jobs import JobFolder, check_accounts, ids, rows_sent, run_here, status_json
from tests.support.scripted import Action, Received, ScriptedEndpoint, answer, error, http
from tests.support.scripts import for_rows, row_number

WORKERS = 4
NO_LIST = error(404, {"detail": "Not Found"})


def coded(message: str, code: str | None = None, **more: Any) -> dict[str, Any]:
    """OpenAI's envelope."""
    return {"error": {"message": message, "type": None, "param": None, "code": code, **more}}


def after_ten(reply: bytes):
    """Ten requests are served, whatever comes after them gets `reply`."""
    served = 0

    def handler(received: Received) -> Iterable[Action]:
        nonlocal served
        served += 1
        return [reply] if served > 10 else answer(received)

    return for_rows(handler)


STOPS = {
    "openai quota": (error(429, coded("You exceeded your current quota", "insufficient_quota")), "You exceeded your current quota"),
    "openai spend limit": (error(429, coded("Spend limit reached", "project_spend_limit_exceeded")), "Spend limit reached"),
    "together spend limit": (error(402, coded("Credit limit exceeded")), "Credit limit exceeded"),
    "quota inside a 200": (http(200, b'{"error":{"code":402,"message":"Insufficient credits"}}'), "Insufficient credits"),
    "key revoked": (error(401, coded("Incorrect API key provided", "invalid_api_key")), "Incorrect API key provided"),
    "model gone": (error(404, coded("The model `test-model` does not exist", "model_not_found")), "The model `test-model` does not exist"),
}


@pytest.mark.parametrize("name", STOPS)
def test_who_will_not_serve_stops_the_run(tmp_path: Path, name: str) -> None:
    """Faults 3, 4, 6: billing, auth and a missing model in mid-run stop it with 5; no row is failed and the same command goes on."""
    reply, sentence = STOPS[name]
    with ScriptedEndpoint(after_ten(reply)) as endpoint:
        folder = JobFolder(tmp_path, endpoint.url, rows=100, concurrency=WORKERS)
        session = run_here(folder)
        assert session.exit_code == 5
        assert session.reason.startswith("house: ")
        assert sentence in session.reason
        assert (session.tally.ok, session.tally.failed, session.tally.not_attempted) == (10, 0, 90)
        # What was in flight, and the answered request that shows that none of these rows is to blame.
        assert rows_sent(endpoint) <= 10 + WORKERS + 1
        endpoint.handler = answer
        again = run_here(folder)
        assert (again.exit_code, again.tally.requests) == (0, 90)
    assert ids(folder.completions()) == ids(folder.rows)


def test_a_path_at_which_nothing_was_ever_served_stops_the_run(tmp_path: Path) -> None:
    """Fault 6: a 404 without a word from the first row on is a wrong base_url: stopped with 5 at once, and said."""
    with ScriptedEndpoint(lambda received: [error(404, b"404 page not found")]) as endpoint:
        session = run_here(JobFolder(tmp_path, endpoint.url, rows=100, concurrency=WORKERS))
        assert rows_sent(endpoint) <= WORKERS
    assert (session.exit_code, session.tally.not_attempted) == (5, 100)
    assert "404 page not found: nothing is served at this path, see that base_url is right" in session.reason


def test_a_path_that_served_before_is_waited_for(tmp_path: Path) -> None:
    """Fault 63: the same 404 after rows were served is an ingress without its backend: probed, no row fails, exit 5 by the deadline."""

    def handler(received: Received) -> Iterable[Action]:
        return answer(received) if rows_sent(endpoint) <= 10 else [error(404, b"default backend - 404")]

    with ScriptedEndpoint(for_rows(handler)) as endpoint:
        folder = JobFolder(tmp_path, endpoint.url, rows=100, concurrency=WORKERS, attempts=1, outage_timeout_s=1.0)
        session = run_here(folder)
        assert (session.exit_code, session.tally.ok, session.tally.failed, session.tally.not_attempted) == (5, 10, 0, 90)
        assert "default backend - 404" in session.reason
        endpoint.handler = answer
        assert run_here(folder).exit_code == 0


def test_a_stop_on_the_last_row_is_a_stop(tmp_path: Path) -> None:
    """Fault 3: the money runs out with the very last row: it is not attempted, so the run is not finished."""
    with ScriptedEndpoint(after_ten(STOPS["openai quota"][0])) as endpoint:
        session = run_here(JobFolder(tmp_path, endpoint.url, rows=11, concurrency=1))
    assert (session.exit_code, session.tally.ok, session.tally.not_attempted) == (5, 10, 1)


def test_the_command_says_why_it_stopped_and_how_to_go_on(tmp_path: Path) -> None:
    """Fault 3: exit code 5, one sentence with the provider's own words, the counts, and the command to call again."""
    with ScriptedEndpoint(after_ten(STOPS["openai quota"][0])) as endpoint:
        folder = JobFolder(tmp_path, endpoint.url, rows=30, concurrency=1)
        ended = folder.call()
        lines = ended.stderr.splitlines()
        assert ended.returncode == 5, ended.stderr
        assert any(
            line.startswith("promptmill: stopped early after ") and line.endswith(": house: You exceeded your current quota")
            for line in lines
        )
        assert "  rows       30 = 10 ok + 0 failed + 20 not attempted" in lines
        assert lines[-2:] == ["  next       when the cause is mended, the same command continues:", "             promptmill run test.toml"]
        (variant,) = status_json(folder)
        assert (variant["total"], variant["ok"], variant["failed"], variant["not_attempted"]) == (30, 10, 0, 20)


def test_a_refused_key_is_found_before_a_row_is_sent(tmp_path: Path) -> None:
    """Fault 4: a 401 for the list of models ends the run with 5 before anything is spent."""
    refuse = error(401, coded("Incorrect API key provided", "invalid_api_key"))
    with ScriptedEndpoint(lambda _: [refuse]) as endpoint:
        folder = JobFolder(tmp_path, endpoint.url, rows=20)
        session = run_here(folder)
        assert (session.exit_code, rows_sent(endpoint)) == (5, 0)
    assert session.reason == "refused before a row was sent: Incorrect API key provided"


def test_a_refused_key_without_a_list_of_models(tmp_path: Path) -> None:
    """Fault 4: where there is no list, the first row finds out; what is in flight is all that is sent."""
    refuse = error(401, coded("Incorrect API key provided", "invalid_api_key"))
    with ScriptedEndpoint(lambda received: [refuse if received.body else NO_LIST]) as endpoint:
        session = run_here(JobFolder(tmp_path, endpoint.url, rows=100, concurrency=WORKERS))
        assert rows_sent(endpoint) <= WORKERS
    assert (session.exit_code, session.tally.not_attempted) == (5, 100)


def test_one_forbidden_row_fails_alone(tmp_path: Path) -> None:
    """Fault 5: a 403 on one row fails that row with its code, without a retry; the run goes on."""

    def handler(received: Received) -> Iterable[Action]:
        return [error(403, "not for you")] if row_number(received) == 7 else answer(received)

    with ScriptedEndpoint(for_rows(handler)) as endpoint:
        folder = JobFolder(tmp_path, endpoint.url, rows=20, concurrency=WORKERS)
        session = run_here(folder)
    assert (session.exit_code, session.tally.ok, session.tally.retries) == (1, 19, 0)
    (failed,) = folder.errors()
    assert (failed["id"], failed["error"]["code"], failed["error"]["http_status"]) == ("r7", "permission", 403)


@pytest.mark.parametrize("forbidden", [range(4), range(16, 20), range(20)], ids=["at the start", "at the end", "all but none served"])
def test_forbidden_rows_are_failed_or_kept_by_what_the_others_get(tmp_path: Path, forbidden: range) -> None:
    """Fault 5: fewer than five in a row are about the rows; five with none served between are about the key, and no row fails for it."""

    def handler(received: Received) -> Iterable[Action]:
        return [error(403, "no rights")] if row_number(received) in forbidden else answer(received)

    with ScriptedEndpoint(for_rows(handler)) as endpoint:
        folder = JobFolder(tmp_path, endpoint.url, rows=20, concurrency=1)
        session = run_here(folder)
        if len(forbidden) < 5:
            assert (session.exit_code, session.tally.ok, session.tally.failed) == (1, 16, 4)
            return
        assert session.exit_code == 5
        assert session.reason == "house forbids every request: no rights"
        assert (session.tally.failed, session.tally.not_attempted, rows_sent(endpoint)) == (0, 20, 5)
        endpoint.handler = answer
        assert run_here(folder).exit_code == 0
    assert len(folder.completions()) == 20


def test_a_key_that_may_not_list_models_is_believed(tmp_path: Path) -> None:
    """Fault 5: keys with narrow rights get a 403 for the list of models and are good for rows all the same."""
    with ScriptedEndpoint(lambda r: answer(r) if r.body else [error(403, "Missing scopes: api.model.read")]) as endpoint:
        assert run_here(JobFolder(tmp_path, endpoint.url)).exit_code == 0


def test_a_wrong_model_is_found_before_anything_is_spent(tmp_path: Path) -> None:
    """Fault 6: exit code 2 and "did you mean"; nothing is sent, and with the right name the same command goes on."""
    with ScriptedEndpoint() as endpoint:
        folder = JobFolder(tmp_path, endpoint.url, rows=5)
        folder.write(model="house/tset-model")
        ended = folder.call()
        assert ended.returncode == 2, ended.stderr
        assert "did you mean test-model?" in ended.stderr
        assert rows_sent(endpoint) == 0
        folder.write()
        assert folder.call().returncode == 0
    check_accounts(folder)


@pytest.mark.parametrize(
    "body",
    [
        coded("This model's maximum context length is 4096 tokens", "context_length_exceeded"),
        {"object": "error", "message": "This model's maximum context length is 4096 tokens.", "type": "BadRequestError", "code": 400},
    ],
    ids=["openai", "vllm, bare"],
)
def test_too_long_rows_fail_without_a_retry(tmp_path: Path, body: dict[str, Any]) -> None:
    """Fault 7: context length in both envelopes: the row failed, one request for it, exit code 1; --retry-failed sends only it again."""

    def handler(received: Received) -> Iterable[Action]:
        return [error(400, body)] if row_number(received) % 5 == 0 else answer(received)

    with ScriptedEndpoint(for_rows(handler)) as endpoint:
        folder = JobFolder(tmp_path, endpoint.url, rows=20, concurrency=WORKERS)
        session = run_here(folder)
        assert (session.exit_code, session.tally.ok, session.tally.failed, rows_sent(endpoint)) == (1, 16, 4, 20)
        assert {line["error"]["code"] for line in folder.errors()} == {"context_length"}
        endpoint.handler = answer
        again = run_here(folder, retry_failed=True)
    assert (again.exit_code, again.tally.requests, folder.errors()) == (0, 4, [])


def test_an_error_inside_a_200_counts_by_its_code(tmp_path: Path) -> None:
    """Fault 8: inside a 200, a rate limit is retried and cannot have been billed, a bad request fails the row; none is a success."""
    inner = {3: {"code": 429, "message": "upstream is busy"}, 6: {"code": 400, "message": "bad parameter"}}
    seen: set[int] = set()

    def handler(received: Received) -> Iterable[Action]:
        number = row_number(received)
        if number not in inner or (number == 3 and number in seen):
            return answer(received)
        seen.add(number)
        return [http(200, str(inner[number]).replace("'", '"').join(['{"error":', "}"]).encode())]

    with ScriptedEndpoint(for_rows(handler)) as endpoint:
        folder = JobFolder(tmp_path, endpoint.url, rows=10)
        session = run_here(folder)
    assert (session.exit_code, session.tally.ok, session.tally.retries, session.tally.doubled) == (1, 9, 1, 0)
    (failed,) = folder.errors()
    assert (failed["id"], failed["error"]["code"]) == ("r6", "bad_request")


BAD = error(400, coded("Unsupported parameter: 'max_tokens'", "unsupported_parameter"))


def test_a_run_whose_first_rows_all_fail_alike_stops(tmp_path: Path) -> None:
    """Fault 7: 20 bad requests and no answer: the job is wrong. Exit code 5, the reason with an example; the mended job goes on."""
    with ScriptedEndpoint(for_rows(lambda _: [BAD])) as endpoint:
        folder = JobFolder(tmp_path, endpoint.url, rows=500, concurrency=WORKERS)
        session = run_here(folder)
        assert rows_sent(endpoint) <= 20 + WORKERS
        assert session.exit_code == 5
        assert session.reason.startswith("the first 20 rows all failed with bad_request")
        assert "for example row " in session.reason
        assert "Unsupported parameter: 'max_tokens'" in session.reason
        endpoint.handler = answer
        folder.write(user="Say: {{ text }}")
        again = run_here(folder)
    assert (again.exit_code, again.tally.ok) == (0, 500)


def test_a_column_that_no_row_has_is_refused_unsent(tmp_path: Path) -> None:
    """A template with a wrong column is refused before anything is sent, with the likely one (fault 70)."""
    with ScriptedEndpoint() as endpoint:
        folder = JobFolder(tmp_path, endpoint.url, rows=500)
        folder.write(user="{{ txet }}")
        with pytest.raises(JobError, match=r"prompt\.user: the input has no column 'txet' \(did you mean text\?\)"):
            run_here(folder)
        assert rows_sent(endpoint) == 0
        folder.write()
        assert run_here(folder).tally.ok == 500


@pytest.mark.parametrize("limit", ["100%", "25"])
def test_a_small_run_that_fails_wholly_is_finished(tmp_path: Path, limit: str) -> None:
    """`max_failures` that is not exceeded, or "100%", lets every row fail: exit code 1, nothing left."""
    with ScriptedEndpoint(for_rows(lambda _: [BAD])) as endpoint:
        session = run_here(JobFolder(tmp_path, endpoint.url, rows=25, concurrency=1), f"run.max_failures={limit}")
    assert (session.exit_code, session.tally.failed) == (1, 25)


def test_a_stop_that_comes_when_all_is_done_is_none(tmp_path: Path) -> None:
    """The limit is met by the very last row: every row has its outcome, so the run is finished (1), not stopped (5)."""
    with ScriptedEndpoint(for_rows(lambda _: [BAD])) as endpoint:
        session = run_here(JobFolder(tmp_path, endpoint.url, rows=20, concurrency=1))
    assert (session.exit_code, session.reason, session.tally.failed) == (1, "", 20)


def every_fourth_is_bad(received: Received) -> Iterable[Action]:
    """Rows 0, 4, 8, … are bad requests."""
    return [BAD] if row_number(received) % 4 == 0 else answer(received)


@pytest.mark.parametrize(("limit", "failed"), [("5", 6), ("0", 1), ("20%", 20), ("100", 100), ("25%", 20), ("26.5%", 100)])
def test_max_failures_is_a_number_or_a_share(tmp_path: Path, limit: str, failed: int) -> None:
    """More failed rows than the number, or than the share of the outcomes as soon as 20 failed, stop the run with 5; fewer do not."""
    with ScriptedEndpoint(for_rows(every_fourth_is_bad)) as endpoint:
        session = run_here(JobFolder(tmp_path, endpoint.url, rows=400, concurrency=1), f"run.max_failures={limit}")
    assert session.tally.failed == failed
    assert session.exit_code == (1 if failed == 100 else 5)
    assert ("rows failed" in session.reason) == (failed != 100)


def test_max_failures_on_the_command_line(tmp_path: Path) -> None:
    """--max-failures stops the run with 5, and the command that goes on has it again."""
    with ScriptedEndpoint(for_rows(every_fourth_is_bad)) as endpoint:
        folder = JobFolder(tmp_path, endpoint.url, rows=40, concurrency=1)
        ended = folder.call("run", "test.toml", "--max-failures", "3")
    assert ended.returncode == 5, ended.stderr
    assert "more than 3 rows failed (run.max_failures); for example row 12, id r12: Unsupported parameter" in ended.stderr
    assert ended.stderr.splitlines()[-1].strip() == "promptmill run test.toml --max-failures 3"
    check_accounts(folder)
