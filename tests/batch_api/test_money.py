"""What batches cost: reserved before, settled after, counted once; answers held to a schema as they are collected."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.batch_api.test_batches import check_done, job
from tests.support.batch_server import BatchServer, Plan
from tests.support.jobs import JobFolder, run_here
from tests.support.scripted import chat_body

# 7 tokens in and 3 out an answer, as the server counts them: $0.01 each by this price, $0.005 by a batch of OpenAI's.
PRICE = "price = {input = 1000, output = 1000}\nmax_tokens = 3"
OPENAI = 'preset = "openai"\nauth = "none"'


def spent(folder: JobFolder) -> float:
    """The dollars of all records."""
    return sum(record["cost_usd"] or 0.0 for record in folder.journal())


def test_batches_cost_half_and_the_rest_its_live_price(tmp_path: Path) -> None:
    """OpenAI's batches cost half: 6 of 10 rows at half a cent, the 4 that expired at a whole one."""
    with BatchServer(Plan(done=0.6, status="expired")) as server:
        folder = job(tmp_path, server, rows=10, provider=OPENAI, parameters=PRICE)
        session = run_here(folder)
        assert session.exit_code == 0
        costs = [round(line["cost_usd"], 6) for line in folder.completions()]
        assert sorted(costs) == [0.005] * 6 + [0.01] * 4
        assert session.tally.cost_usd == pytest.approx(0.07)
        assert session.report.unrecorded_usd == 0


def test_a_budget_holds_for_batches(tmp_path: Path) -> None:
    """What the budget does not cover is not submitted: the session ends with 4, and a higher bound continues it."""
    with BatchServer() as server:
        folder = job(tmp_path, server, rows=30, provider=OPENAI, parameters=PRICE, max_cost_usd=0.1)
        session = run_here(folder)
        assert session.exit_code == 4, session.reason
        assert 0 < session.tally.ok < 30
        assert spent(folder) <= 0.1
        folder.job.write_text(folder.job.read_text().replace("max_cost_usd = 0.1", "max_cost_usd = 1000.0"))
        assert run_here(folder).exit_code == 0
        assert [line["completion"] for line in folder.completions()] == [f"answer to {row['text']}" for row in folder.rows]
        assert spent(folder) == pytest.approx(0.005 * 30)


def test_an_interrupted_collection_counts_each_answer_once(tmp_path: Path) -> None:
    """A ledger without its last step: the batch is collected again, and its answers are recorded and paid once."""
    with BatchServer() as server:
        folder = job(tmp_path, server, rows=10, provider=OPENAI, parameters=PRICE)
        assert run_here(folder).exit_code == 0
        ledger = folder.directory / "submissions.jsonl"
        lines = ledger.read_bytes().splitlines(keepends=True)
        assert b'"collected"' in lines[-1]
        for tail in (b"", lines[-1][: len(lines[-1]) // 2]):
            ledger.write_bytes(b"".join(lines[:-1]) + tail)
            assert run_here(folder).exit_code == 0
        check_done(folder, server)
        assert (len(folder.journal()), server.creates) == (10, 1)
        assert spent(folder) == pytest.approx(0.05)


def test_damage_in_the_ledger_is_refused(tmp_path: Path) -> None:
    """A changed byte before the last line ends the run before anything is submitted, with the file named."""
    with BatchServer(Plan(looks=1000)) as server:
        folder = job(tmp_path, server, rows=10)
        assert folder.call("run", folder.job.name, "--detach").returncode == 5
        ledger = folder.directory / "submissions.jsonl"
        ledger.write_bytes(ledger.read_bytes().replace(b'"shard":1', b'"shard":2', 1))
        ended = folder.call()
        assert ended.returncode == 2
        assert "submissions.jsonl" in ended.stderr
        assert server.creates == 1


def test_plan_shows_both_prices(tmp_path: Path) -> None:
    """Prices and times of both ways: the price of a job's own is halved where the provider says so. Nothing is sent."""
    with BatchServer() as server:
        folder = job(tmp_path, server, rows=10, provider=OPENAI, parameters=PRICE)
        shown = folder.call("plan", folder.job.name, "--json")
        assert shown.returncode == 0, shown.stderr
        variant = json.loads(shown.stdout)["variants"][0]
        assert variant["batch_cost_usd"]["high"] == pytest.approx(variant["cost_usd"]["high"] / 2)
        assert (variant["batches"], variant["batch_window_s"], variant["batch_longest_s"]) == (1, 86_400, 172_800)
        text = " ".join(folder.call("plan", folder.job.name).stdout.split())
        assert "Batch API: 1 batch, up to 1 d 0 h by the provider's window; cancelled after 2 d 0 h (batch.max_wait)" in text
        assert not server.endpoint.requests


SCHEMA = {"type": "object", "properties": {"label": {"type": "string"}}, "required": ["label"]}


def test_answers_are_held_to_the_schema_and_mended_live(tmp_path: Path) -> None:
    """An answer that does not fit is asked for again with its mistake, live; both answers are paid, in one outcome."""

    def answer(body: dict[str, Any]) -> Any:
        mended = len(body["messages"]) > 1
        text = json.dumps({"label": "x"}) if mended or "question 1" in body["messages"][0]["content"] else "no JSON"
        return json.loads(chat_body(text))

    with BatchServer(answer=answer) as server:
        folder = job(tmp_path, server, rows=10, provider=OPENAI, parameters=PRICE, repair=1)
        folder.job.write_text(folder.job.read_text().replace("[prompt]\n", f"[prompt]\nschema = {_toml(SCHEMA)}\n"))
        session = run_here(folder)
        assert session.exit_code == 0, session.notices
        assert len(server.live) == 9
        assert session.tally.repairs == 9
        assert {line["completion"] for line in folder.completions()} == {'{"label": "x"}'}
        costs = {line["id"]: round(line["cost_usd"], 6) for line in folder.completions()}
        assert costs.pop("r1") == 0.005
        assert set(costs.values()) == {0.015}


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {_toml(item)}" for key, item in value.items()) + "}"
    return json.dumps(value)
