"""The budget of a run against an endpoint that bills: what it charges never passes the cap, over all sessions together."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest

from batch.errors import JobError
from tests.support.jobs import JobFolder, rows_sent, run_here, whole_records
from tests.support.scripted import HANG, RESET, Action, Received, ScriptedEndpoint, chat_reply, error
from tests.support.scripts import for_rows, row_number, until
from tests.support.streams import delta, sse

INPUT_USD, OUTPUT_USD = 1.0, 10.0
PARAMETERS = f"max_tokens = 8\nprice = {{input = {INPUT_USD}, output = {OUTPUT_USD}}}"


class Biller:
    """Answers each row, and keeps what it charges for it in US dollars. A row of `lost` is charged, but the first reply is lost."""

    def __init__(self, lost: Iterable[int] = ()) -> None:
        self.charged = 0.0
        self._lost = set(lost)

    def __call__(self, received: Received) -> Iterable[Action]:
        row = row_number(received)
        prompt, answer = len(received.prompt) // 2, 1 + row % 8
        self.charged += (prompt * INPUT_USD + answer * OUTPUT_USD) / 1e6
        if row in self._lost:
            self._lost.remove(row)
            return [RESET]
        return [chat_reply("ok", usage={"prompt_tokens": prompt, "completion_tokens": answer, "total_tokens": prompt + answer})]


def test_a_cap_is_kept_and_a_higher_one_goes_on(tmp_path: Path) -> None:
    """Promise 4: max_cost_usd = 0.01 ends the run with 4 before a cent is passed; the same again sends nothing; a higher cap ends it."""
    biller = Biller()
    with ScriptedEndpoint(for_rows(biller)) as endpoint:
        folder = JobFolder(tmp_path, endpoint.url, rows=400, concurrency=16, max_cost_usd=0.01, parameters=PARAMETERS)
        first = run_here(folder)
        assert first.exit_code == 4
        assert "max_cost_usd = 0.01" in first.reason
        assert 0.009 < biller.charged <= 0.01
        assert first.tally.cost_usd == pytest.approx(biller.charged)
        assert len(folder.completions()) == first.tally.ok == rows_sent(endpoint)
        again = run_here(folder)
        assert (again.exit_code, again.tally.requests) == (4, 0)
        last = run_here(folder, "run.max_cost_usd=1.0")
    assert (last.exit_code, last.tally.requests) == (0, 400 - first.tally.ok)
    assert sum(record.cost_usd or 0 for record in whole_records(folder.directory)) == pytest.approx(biller.charged)


def test_lost_replies_count_as_billed(tmp_path: Path) -> None:
    """Promise 4: a tenth of the replies is lost after they were billed: with them the endpoint has charged no more than the cap either."""
    biller = Biller(lost=range(0, 400, 10))
    with ScriptedEndpoint(for_rows(biller)) as endpoint:
        folder = JobFolder(tmp_path, endpoint.url, rows=400, concurrency=16, max_cost_usd=0.006, parameters=PARAMETERS)
        for cap in (0.006, 0.008, 0.010):
            session = run_here(folder, f"run.max_cost_usd={cap}")
            assert session.exit_code == 4
            assert biller.charged <= cap
        assert session.tally.doubled
        assert run_here(folder, "run.max_cost_usd=1.0").exit_code == 0
    assert any(record.extra_usd for record in whole_records(folder.directory))


def test_answers_without_usage_count_for_the_most_that_they_may_cost(tmp_path: Path) -> None:
    """An endpoint that tells no usage: the cost of its answers is unknown, never 0, and the budget takes them for the worst case."""
    with ScriptedEndpoint(for_rows(lambda _: [chat_reply("ok", usage={"nothing": 0})])) as endpoint:
        folder = JobFolder(tmp_path, endpoint.url, rows=100, concurrency=4, max_cost_usd=0.002, parameters=PARAMETERS)
        session = run_here(folder)
        assert run_here(folder).tally.requests == 0
    assert (session.exit_code, session.tally.priced) == (4, 0)
    assert 2 <= session.tally.ok <= 0.002 / (8 * OUTPUT_USD / 1e6)
    assert all(line["cost_usd"] is None for line in folder.completions())


@pytest.mark.parametrize("stream", [False, True])
def test_an_absurd_usage_spends_no_budget(tmp_path: Path, stream: bool) -> None:
    """One answer that claims 10^12 tokens, and one that claims a cost of 10^9 dollars: both are told, and all rows get their answers."""
    absurd = {"prompt_tokens": 10**12, "completion_tokens": 10**12, "total_tokens": 2 * 10**12}
    dear = {"prompt_tokens": 9, "completion_tokens": 1, "total_tokens": 10, "cost": 1e9}
    usages = {3: absurd, 5: dear}

    def reply(received: Received) -> Iterable[Action]:
        usage = usages.get(row_number(received), {"prompt_tokens": 9, "completion_tokens": 1, "total_tokens": 10})
        chunks = delta("stop", content="ok"), {"choices": [], "usage": usage}
        return [sse(*chunks) if stream else chat_reply("ok", usage=usage)]

    with ScriptedEndpoint(for_rows(reply)) as endpoint:
        folder = JobFolder(tmp_path, endpoint.url, rows=20, max_cost_usd=1.0, stream=stream, parameters=PARAMETERS)
        session = run_here(folder)
    assert (session.exit_code, session.tally.ok, session.tally.priced) == (0, 20, 19)
    told = [text for text in session.notices if "reports" in text]
    assert len(told) == 2
    assert any("row 3 (id r3): the endpoint reports 2,000,000,000,000 tokens, where its request can use" in text for text in told)
    assert any("row 5 (id r5): the endpoint reports a cost of $1,000,000,000.00, which its request cannot have" in text for text in told)
    lines = {line["row"]: line for line in folder.completions()}
    assert (lines[3]["usage"], lines[3]["cost_usd"]) == (None, None)
    assert sum(line["cost_usd"] for line in lines.values() if line["row"] != 3) == pytest.approx(19 * 19e-6)


def test_what_is_given_up_in_flight_counts(tmp_path: Path) -> None:
    """Requests that were in flight when the run was stopped at once may be billed: the next session counts them as spent."""
    biller = Biller()
    held: list[int] = []

    def handler(received: Received) -> Iterable[Action]:
        row = row_number(received)
        if row >= 8 or len(held) >= 8:
            yield from biller(received)
            return
        held.append(row)
        if row:
            biller(received)
            yield HANG
        else:
            yield from until(lambda: len(held) == 8)
            yield error(401, "revoked")

    with ScriptedEndpoint(for_rows(handler)) as endpoint:
        folder = JobFolder(tmp_path, endpoint.url, rows=400, concurrency=8, max_cost_usd=0.004, grace_s=0.2, parameters=PARAMETERS)
        assert run_here(folder).exit_code == 5
        session = run_here(folder)
    assert session.exit_code == 4
    assert biller.charged <= 0.004


def test_a_budget_needs_prices(tmp_path: Path) -> None:
    """A job with max_cost_usd, whose model has no price, is refused with its line and the setting that gives one."""
    folder = JobFolder(tmp_path, "http://127.0.0.1:9", max_cost_usd=1.0)
    with pytest.raises(JobError, match=r"test\.toml:\d+: model\[0\]\.id: has no known price.*price = \{input = "):
        run_here(folder)
