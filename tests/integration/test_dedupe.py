"""Equal requests are sent once, and every row has its outcome: against a scripted endpoint, over sessions and failures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.support.jobs import JobFolder, rows_sent, run_here, status_json, whole_records
from tests.support.scripted import Action, Received, ScriptedEndpoint, answer, chat_reply, error
from tests.support.scripts import for_rows, row_number

PRICE = "price = {input = 1.0, output = 10.0}"


def rows(count: int, different: int) -> list[dict[str, str]]:
    """Rows with only so many different questions, one after the other and over again."""
    return [{"id": f"r{number}", "text": f"question {number % different}"} for number in range(count)]


def test_one_is_sent_all_are_answered(tmp_path: Path) -> None:
    """Promise 1: of 600 rows with 7 questions 7 are sent; each row has its own outcome, the copies at no cost, and all adds up."""
    with ScriptedEndpoint() as endpoint:
        folder = JobFolder(tmp_path, endpoint.url, rows=rows(600, 7), parameters=PRICE)
        session = run_here(folder)
        assert rows_sent(endpoint) == session.tally.requests == 7
        assert run_here(folder).tally.requests == 0
    assert (session.exit_code, session.tally.ok, session.tally.copies) == (0, 600, 593)
    completions = folder.completions()
    assert [line["completion"] for line in completions] == [f"answer to question {number % 7}" for number in range(600)]
    assert [line["attempts"] for line in completions] == [1] * 7 + [0] * 593
    assert {(line["cost_usd"], line["usage"]) for line in completions[7:]} == {(0.0, None)}
    assert sum(line["cost_usd"] for line in completions) == pytest.approx(session.tally.cost_usd)
    assert {record.copy_of for record in whole_records(folder.directory)[7:]} == set(range(7))
    (status,) = status_json(folder)
    assert (status["ok"], status["copies"], status["attempts"]) == (600, 593, 7)
    assert folder.call("verify", str(folder.directory)).returncode == 0


@pytest.mark.parametrize(("setting", "value", "sent"), [("dedupe", False, 12), ("repeats", 2, 24), ("temperature", 0.5, 12)])
def test_what_may_differ_is_asked_for_each_time(tmp_path: Path, setting: str, value: object, sent: int) -> None:
    """Without dedupe, with repeats, or at a temperature above 0, equal requests are all sent."""
    with ScriptedEndpoint() as endpoint:
        folder = JobFolder(tmp_path, endpoint.url, rows=rows(12, 2), **({} if setting == "temperature" else {setting: value}))
        if setting == "temperature":
            folder.job.write_text(folder.job.read_text().replace("temperature = 0", f"temperature = {value}"))
        assert folder.call().returncode == 0
        assert rows_sent(endpoint) == sent


@pytest.mark.parametrize("parameters", ["temperature = 0\n", ""], ids=["both share answers", "one does"])
def test_models_are_sent_in_the_order_of_the_job_whatever_is_shared(tmp_path: Path, parameters: str) -> None:
    """A model whose answers are not shared does not go before the others."""
    with ScriptedEndpoint() as endpoint:
        second = f'\n[[model]]\nid = "house/second"\n{parameters}'
        folder = JobFolder(tmp_path, endpoint.url, rows=rows(20, 20), parameters=second, concurrency=1, preflight=False)
        assert folder.call().returncode == 0
        sent = [received.json()["model"] for received in endpoint.requests if received.body]
    assert sent == ["test-model"] * 20 + ["second"] * 20


def test_a_refusal_is_shared(tmp_path: Path) -> None:
    """A request that the endpoint calls bad is not sent again for its equals: each has its own error, and counts as a failed row."""
    with ScriptedEndpoint(for_rows(lambda r: [error(400, "no")] if row_number(r) == 1 else answer(r))) as endpoint:
        folder = JobFolder(tmp_path, endpoint.url, rows=rows(30, 3))
        session = run_here(folder)
        assert sum(1 for received in endpoint.requests if received.body and row_number(received) == 1) == 1
    assert (session.exit_code, session.tally.ok, session.tally.failed) == (1, 20, 10)
    assert {line["error"]["code"] for line in folder.errors()} == {"bad_request"}


def test_the_next_takes_the_place_of_one_that_failed_for_no_fault_of_its_own(tmp_path: Path) -> None:
    """Promise 1: the first of equal rows fails by server errors: the next is sent in its place, and the others take its answer."""
    counts: Counter[int] = Counter()

    def handler(received: Received) -> Iterable[Action]:
        counts[row_number(received)] += 1
        return [error(500, "boom")] if row_number(received) == 1 and counts[1] <= 2 else answer(received)

    with ScriptedEndpoint(for_rows(handler)) as endpoint:
        folder = JobFolder(tmp_path, endpoint.url, rows=rows(30, 3), attempts=2)
        session = run_here(folder)
    assert counts[1] == 3
    assert (session.tally.ok, session.tally.failed, session.tally.copies) == (29, 1, 26)
    assert [line["id"] for line in folder.errors()] == ["r1"]


def test_a_key_that_always_fails_ends_all_the_same(tmp_path: Path) -> None:
    """Promise 7: equal rows that fail whenever they are sent end in a third round, in which each is sent by itself."""
    with ScriptedEndpoint(for_rows(lambda r: [error(500, "boom")] if row_number(r) == 1 else answer(r))) as endpoint:
        folder = JobFolder(tmp_path, endpoint.url, rows=rows(30, 3), attempts=1, outage_timeout_s=20)  # probes are a tenth of that apart
        session = run_here(folder)
        # So many failures are an outage for a while: rows are asked again after it, as many as were under way at most.
        assert 2 + 10 <= rows_sent(endpoint) <= 2 + 10 + 64
    assert (session.tally.ok, session.tally.failed, session.tally.not_attempted) == (20, 10, 0)


def test_answers_of_earlier_sessions_are_taken(tmp_path: Path) -> None:
    """Rows that are appended to the input, and rows that a stop left over, take answers that the run has; failed ones are tried again."""
    with ScriptedEndpoint() as endpoint:
        folder = JobFolder(tmp_path, endpoint.url, rows=rows(20, 10))
        first = run_here(folder)
        folder.rows += [{"id": f"n{number}", "text": f"question {number}"} for number in range(5, 15)]
        JobFolder(tmp_path, endpoint.url, rows=folder.rows)
        second = run_here(folder)
    assert (first.tally.requests, first.tally.copies) == (10, 10)
    assert (second.tally.requests, second.tally.copies, second.tally.ok) == (5, 5, 10)
    assert len(folder.completions()) == 30


def test_a_budget_pays_only_for_what_is_sent(tmp_path: Path) -> None:
    """Promise 4: with a cap for ten requests at most, 500 rows with five questions are all answered; copies cost nothing."""
    usage = {"prompt_tokens": 10, "completion_tokens": 10, "total_tokens": 20}
    with ScriptedEndpoint(for_rows(lambda _: [chat_reply("ok", usage=usage)])) as endpoint:
        parameters = f"max_tokens = 10\n{PRICE}"
        folder = JobFolder(tmp_path, endpoint.url, rows=rows(500, 5), max_cost_usd=0.0022, parameters=parameters)
        session = run_here(folder)
    assert (session.exit_code, session.tally.requests) == (0, 5)
    assert session.tally.cost_usd == pytest.approx(5 * 110e-6)
