"""The flex tier against an endpoint that has no capacity for it now and then: rows wait, or are answered at the standard tier."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.support.jobs import GOOD, JobFolder, loaded, problem, run_here
from tests.support.scripted import Action, Received, ScriptedEndpoint, chat_body, error, http
from tests.support.scripts import for_rows, row_number

NAME = "resource_unavailable"
FULL = error(429, {"error": {"message": "Resource unavailable. Please retry later.", "type": NAME, "code": NAME}})
FLEX = 'service_tier = "flex"\nmax_tokens = 8\nprice = {input = 1.0, output = 1.0, standard = {input = 2.0, output = 2.0}}'


def answered(received: Received) -> Iterable[Action]:
    """An answer that names the tier that was asked for."""
    tier = received.json().get("service_tier", "default")
    return [http(200, json.dumps({**json.loads(chat_body("ok")), "service_tier": tier}).encode())]


def never_for_odd_rows(received: Received) -> Iterable[Action]:
    """An endpoint that never has capacity for the odd rows at the flex tier."""
    is_full = received.json().get("service_tier") == "flex" and row_number(received) % 2
    return [FULL] if is_full else answered(received)


def test_rows_without_capacity_fall_back_by_choice(tmp_path: Path) -> None:
    """After run.attempts refusals a row is sent at the standard tier; records say which tier answered, and cost its price."""
    with ScriptedEndpoint(for_rows(never_for_odd_rows)) as endpoint:
        folder = JobFolder(tmp_path, endpoint.url, rows=8, attempts=2, parameters=FLEX, concurrency=4, max_cost_usd=1.0)
        session = run_here(folder, "run.flex_fallback=true")
        again = run_here(folder, "run.flex_fallback=true")
    assert (session.exit_code, session.tally.ok, session.tally.fallbacks) == (0, 8, 4)
    assert (again.exit_code, again.tally.requests) == (0, 0)
    by_row = {record["row"]: record for record in folder.journal()}
    assert [by_row[row]["tier"] for row in range(8)] == ["flex", "default"] * 4
    assert [by_row[row]["attempts"] for row in range(8)] == [1, 3] * 4
    assert [by_row[row]["cost_usd"] for row in range(8)] == [pytest.approx(usd) for usd in (10e-6, 20e-6)] * 4
    sent = [received.json().get("service_tier") for received in endpoint.requests if received.body and row_number(received) == 1]
    assert sent == ["flex", "flex", None]
    assert any("flex tier has no capacity" in text for text in session.notices)
    # Nothing was slowed down for it: no pause, no outage.
    assert not any("paused" in text or "out of order" in text for text in session.notices)


def test_without_the_choice_rows_wait_and_other_tiers_are_served(tmp_path: Path) -> None:
    """Refusals cost no attempts: with one attempt each, rows that are refused twice are answered; nothing is failed or doubled."""
    refused: dict[int, int] = {}

    def twice(received: Received) -> Iterable[Action]:
        row = row_number(received)
        refused[row] = refused.get(row, 0) + 1
        return [FULL] if refused[row] < 3 else answered(received)

    with ScriptedEndpoint(for_rows(twice)) as endpoint:
        folder = JobFolder(tmp_path, endpoint.url, rows=6, attempts=1, parameters=FLEX, concurrency=4)
        session = run_here(folder)
    assert (session.exit_code, session.tally.ok, session.tally.doubled, session.tally.fallbacks) == (0, 6, 0, 0)
    assert {record["tier"] for record in folder.journal()} == {"flex"}


def test_an_endpoint_that_never_has_capacity_ends_the_run_and_fails_no_row(tmp_path: Path) -> None:
    """Promise 13: no row pays for it; after run.outage_timeout_s the run stops with what the endpoint said, and the same goes on."""
    with ScriptedEndpoint(for_rows(lambda _: [FULL])) as endpoint:
        folder = JobFolder(tmp_path, endpoint.url, rows=3, attempts=1, parameters=FLEX, concurrency=4)
        session = run_here(folder, "run.outage_timeout_s=1")
        endpoint.handler = for_rows(answered)
        again = run_here(folder)
    assert (session.exit_code, session.tally.failed, session.tally.ok) == (5, 0, 0)
    assert "Resource unavailable" in session.reason
    assert (again.exit_code, again.tally.ok) == (0, 3)


def test_time_outs_are_longer_by_default_only(tmp_path: Path) -> None:
    """A job with a flex model waits 900 s for an answer; what the user names stays, and other jobs keep their time-outs."""
    plain, flex = loaded(tmp_path, GOOD).job.run, loaded(tmp_path, GOOD + 'service_tier = "flex"\n').job.run
    assert (plain.first_byte_timeout_s, plain.attempt_timeout_s) == (300.0, 600.0)
    assert (flex.first_byte_timeout_s, flex.attempt_timeout_s) == (900.0, 900.0)
    own = loaded(tmp_path, GOOD + 'service_tier = "flex"\n', "run.attempt_timeout_s=60").job.run
    assert (own.first_byte_timeout_s, own.attempt_timeout_s) == (900.0, 60.0)


def test_a_budget_needs_the_price_of_the_tier_that_rows_fall_back_to(tmp_path: Path) -> None:
    """A price of the job's own for flex does not bound what the standard tier costs."""
    text = GOOD + 'service_tier = "flex"\nprice = {input = 1.0, output = 1.0}\n[run]\nmax_cost_usd = 1.0\nflex_fallback = true\n'
    found = problem(tmp_path, text)
    assert (found.key, found.hint and "standard =" in found.hint) == ("model[0].price", True)
    assert loaded(tmp_path, text, "run.flex_fallback=false")
