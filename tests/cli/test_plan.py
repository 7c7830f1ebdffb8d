"""promptmill plan: what a job would send and cost, without a request and without a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from batch.app.estimate import estimate
from batch.cli.plan import plan_text
from batch.job import load
from batch.policy.estimates import AnswerSample
from batch.providers.presets import PRESETS
from tests.support.jobs import JobFolder, run_here
from tests.support.scripted import Received, ScriptedEndpoint, chat_reply
from tests.support.scripts import for_rows

PRICE = "price = {input = 1.0, output = 10.0}"
ENVIRON = {
    "ANYSCALE_BASE_URL": "https://service.anyscale.example",
    "AZURE_OPENAI_ENDPOINT": "https://house.openai.azure.com",
}


def planned(folder: JobFolder, *overrides: str) -> Any:
    """The plan of the folder's job, as its JSON has it."""
    shown = folder.call("plan", folder.job.name, "--json", *(word for each in overrides for word in ("--set", each)))
    assert shown.returncode == 0, shown.stderr
    return json.loads(shown.stdout)


def billed(received: Received) -> list[bytes]:
    """An answer of 20 tokens to a prompt of one token for each 3 bytes."""
    prompt = len(received.body) // 3
    return [chat_reply("ok", usage={"prompt_tokens": prompt, "completion_tokens": 20, "total_tokens": prompt + 20})]


@pytest.mark.parametrize("preset", PRESETS)
def test_each_preset_names_its_price_list_and_date(tmp_path: Path, preset: str) -> None:
    """For each preset plan says what its model costs or that this is unknown, never 0, and by which list of which date."""
    model = {"openai": "gpt-5-mini", "anthropic": "claude-sonnet-4-5", "gemini": "gemini-2.5-flash"}.get(preset, "some-model-of-ours")
    (tmp_path / "rows.jsonl").write_text('{"text": "hello"}\n' * 3)
    job = tmp_path / "job.toml"
    job.write_text(f'[input]\npath = "rows.jsonl"\n[prompt]\nuser = "{{{{ text }}}}"\n[[model]]\nid = "{preset}/{model}"\nmax_tokens = 9\n')
    found = estimate(load(job, [f"output.dir={tmp_path / 'run'}"], ENVIRON))
    text = plan_text(found, 200)
    assert f"{preset}/{model}: " in text
    assert found.price_list in text
    (variant,) = found.variants
    assert (variant.price is None) == (variant.cost_usd is None) == (model == "some-model-of-ours")
    assert "$0 " not in text
    assert not (tmp_path / "run").exists()


def test_what_is_done_is_subtracted_and_tells_what_is_to_come(tmp_path: Path) -> None:
    """After 20 rows plan goes by their answers: the other 180 cost what it said, and it sent nothing."""
    with ScriptedEndpoint(for_rows(billed)) as endpoint:
        folder = JobFolder(tmp_path, endpoint.url, rows=200, parameters=f"max_tokens = 400\n{PRICE}")
        (before,) = planned(folder)["variants"]
        assert (before["requests"], before["answers"], before["answer_limit"]) == (200, 0, 400)
        assert not folder.directory.exists()
        assert not endpoint.requests
        assert folder.call("run", folder.job.name, "--limit", "20").returncode == 0
        plan = planned(folder)
        (after,) = plan["variants"]
        assert (after["requests"], after["kept"], after["answers"]) == (180, 20, 20)
        sent = len(endpoint.requests)
        rest = run_here(folder)
        assert len(endpoint.requests) == sent + 181  # the preflight too
    low, high = after["cost_usd"]["low"], after["cost_usd"]["high"]
    assert low <= rest.tally.cost_usd <= high
    assert high < 1.15 * low
    assert before["cost_usd"]["low"] < low < high < before["cost_usd"]["high"]
    assert plan["spent_usd"] == pytest.approx(sum(line["cost_usd"] for line in folder.completions()[:20]))
    assert after["expected_s"] is not None
    shown = folder.call("plan", folder.job.name, "--set", "run.max_cost_usd=0.001").stdout
    assert "0 requests to send" in shown
    assert not any(word in shown for word in ("suffice", "time "))


def test_equal_requests_are_counted_once(tmp_path: Path) -> None:
    """With 10 questions in 200 rows plan counts 10 requests, as many as run sends, and says what the others would have cost."""
    with ScriptedEndpoint(for_rows(billed)) as endpoint:
        rows = [{"id": f"r{number}", "text": f"question {number % 10}"} for number in range(200)]
        folder = JobFolder(tmp_path, endpoint.url, rows=rows, parameters=f"max_tokens = 4\n{PRICE}")
        (variant,) = planned(folder)["variants"]
        assert (variant["requests"], variant["copies"], variant["tasks"]) == (10, 190, 200)
        assert variant["saved_usd"]["low"] > 15 * variant["cost_usd"]["low"]
        (all_sent,) = planned(folder, "run.dedupe=false")["variants"]
        assert (all_sent["requests"], all_sent["copies"]) == (200, 0)
        assert run_here(folder).tally.requests == 10


def test_unknown_is_said_and_not_counted_as_nothing(tmp_path: Path) -> None:
    """Without a price all costs are null in JSON and "unknown" in the text; without max_tokens there is no upper bound."""
    folder = JobFolder(tmp_path, "http://127.0.0.1:9", rows=20)
    plan = planned(folder)
    (variant,) = plan["variants"]
    assert (plan["cost_usd"], variant["cost_usd"], variant["saved_usd"], variant["answer_tokens"]["high"]) == (None,) * 4
    shown = folder.call("plan", folder.job.name).stdout
    assert "unknown" in shown
    assert "nothing bounds the answers" in shown


def test_a_budget_is_held_against_the_plan(tmp_path: Path) -> None:
    """Plan says whether max_cost_usd will do: surely, surely not, or perhaps."""
    folder = JobFolder(tmp_path, "http://127.0.0.1:9", rows=100, parameters=f"max_tokens = 50\n{PRICE}", max_cost_usd=1.0)
    for cap, said in ((1.0, "it suffices"), (0.01, "it may not suffice"), (0.0001, "it does not suffice")):
        shown = folder.call("plan", folder.job.name, "--set", f"run.max_cost_usd={cap}").stdout
        assert said in " ".join(shown.split())


def test_rows_that_cannot_be_sent_are_told(tmp_path: Path) -> None:
    """A row without the column that the prompt wants is counted apart, with its message."""
    folder = JobFolder(tmp_path, "http://127.0.0.1:9", rows=[{"id": "a", "text": "x"}, {"id": "b"}])
    plan = planned(folder)
    assert (plan["variants"][0]["requests"], plan["variants"][0]["refused"]) == (1, 1)
    assert "rows.jsonl:2" in plan["variants"][0]["example"]


@pytest.mark.parametrize("width", [80, 200])
def test_it_fits_its_terminal(tmp_path: Path, width: int) -> None:
    """At 80 and at 200 columns no line is longer, and all figures and notes are there."""
    models = "".join(
        f'[[model]]\nid = "{name}"\ntemperature = 0\n'
        for name in ("openai/gpt-5-mini", "anthropic/claude-sonnet-4-5", "vllm/organisation/A-Model-With-A-Long-Name-70B-Instruct-v0.3")
    )
    (tmp_path / "rows.jsonl").write_text('{"text": "hello", "answer": "x"}\n' * 300)
    job = tmp_path / "job.toml"
    job.write_text(
        f'[input]\npath = "rows.jsonl"\n[prompt]\nuser = "{{{{ text }}}}"\n{models}[run]\nrequests_per_minute = 60\n'
        '[[score]]\nname = "s"\nkind = "exact"\nexpected = "answer"\n'
    )
    text = plan_text(estimate(load(job, [f"output.dir={tmp_path / 'run'}"], {})), width)
    assert max(map(len, text.split("\n"))) <= width
    for part in ("3 models", "900 tasks", "3 requests", "genai-prices", "dedupe", "at least 1 s", "points and more"):
        assert part in " ".join(text.split())


def test_a_sample_needs_some_answers() -> None:
    """Fewer than five answers, or answers without usage, say less than the characters do."""
    sample = AnswerSample()
    for _ in range(4):
        sample.add(400, {"prompt_tokens": 100, "completion_tokens": 10}, 1.0, 1.5)
    sample.add(400, None, 1.0, 1.5)
    assert not sample.is_enough
    assert sample.answer_tokens(10, 50).high == 500
    sample.add(400, {"prompt_tokens": 100, "completion_tokens": 10}, 1.0, 1.5)
    assert sample.is_enough
    assert sample.prompt_tokens(4000).low <= 1000 <= (sample.prompt_tokens(4000).high or 0)
    assert sample.answer_tokens(10, 5).high == 50
    assert sample.latency_s == 0.5
