"""promptmill plan on scores that ask a model: how many calls, what they would cost, and what bounds that."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.evaluation import EmbeddedJob, JudgedJob, embedding, judging

PRICE = "price = { input = 1000.0, output = 1000.0 }"
LIMITED = f"{PRICE}\nparameters = {{ max_tokens = 10 }}"


def asked_of(job: JudgedJob | EmbeddedJob, *options: str) -> dict[str, Any]:
    """What plan says of the one score, as JSON."""
    done = job.call("plan", "test.toml", "--json", *options)
    assert done.exit_code == 0, done.stderr
    (asked,) = json.loads(done.stdout)["asked"]
    found: dict[str, Any] = asked
    return found


def own_words(model: str, question: str) -> str:
    """An answer that is like no other one."""
    return f"{model} says {question}"


def test_a_judge_is_counted_in_a_line_of_its_own(tmp_path: Path) -> None:
    """Before the run as many calls as there will be answers, then those that are not made yet; the cost is within what was said."""
    with judging(own_words, lambda _: '{"reasons": "x", "rating": 5}') as endpoint:
        job = JudgedJob(tmp_path, endpoint, LIMITED, rows=10)
        before = asked_of(job)
        assert not endpoint.requests
        assert (before["score"], before["model"], before["does"]) == ("s", "house/judge", "judges")
        assert (before["calls"]["requests"], before["calls"]["kept"], before["calls"]["answer_limit"]) == (20, 0, 10)
        assert job.call("run", "test.toml", "--limit", "4").exit_code == 0
        assert asked_of(job)["calls"]["requests"] == 20
        done = job.score()
        assert "8 answered now" in done.stderr
        after = asked_of(job)
        assert (after["calls"]["requests"], after["calls"]["kept"], after["calls"]["answers"]) == (12, 8, 8)
        shown = job.call("plan", "test.toml").stdout
        assert "s: house/judge judges, 12 calls to make at most, 8 are made:" in shown
        assert "max_cost_usd" not in shown
        job.run()
        answered = asked_of(job)["calls"]
        sent = len(job.judged())
        job.score()
        assert len(job.judged()) - sent == answered["requests"] == 12
        assert asked_of(job)["calls"]["requests"] == 0
        assert "s: house/judge judges, 0 calls to make, 20 are made" in job.call("plan", "test.toml").stdout
    assert answered["answer_tokens"]["low"] <= 12 * 10 <= answered["answer_tokens"]["high"]
    assert answered["prompt_tokens"]["low"] <= 12 * 100 <= answered["prompt_tokens"]["high"]


def test_pairs_are_counted_in_both_orders(tmp_path: Path) -> None:
    """Two calls for each pair of answers to come; with a baseline, of the pairs with it alone."""
    with judging(own_words, lambda _: "Verdict: A") as endpoint:
        job = JudgedJob(tmp_path, endpoint, 'kind = "pairwise"', rows=5, models=["a", "b", "c"])
        assert asked_of(job)["calls"]["requests"] == 5 * 3 * 2
        job.write('kind = "pairwise"\nbaseline = "house/a"')
        asked = asked_of(job)["calls"]
        assert asked["requests"] == 5 * 2 * 2
        assert (asked["answer_limit"], asked["cost_usd"]) == (None, None)
        job.run()
        job.score()
        assert len(job.judged()) == 20


def test_texts_to_embed_are_counted(tmp_path: Path) -> None:
    """Answers to come and right values, equal ones once; rows without a right value are told."""
    rows = [{"id": f"r{number}", "text": f"question {number}", "right": "Paris" if number < 5 else None} for number in range(6)]
    with embedding(own_words, lambda text: [float(len(text)), 1.0]) as endpoint:
        job = EmbeddedJob(tmp_path, endpoint, rows, "price = { input = 1000.0 }")
        asked = asked_of(job)
        assert (asked["does"], asked["calls"]["requests"], asked["calls"]["copies"], asked["left_out"]) == ("embeds", 11, 4, 1)
        assert "near: 1 row has no right value to grade with; for example the row has no right" in " ".join(
            job.call("plan", "test.toml").stdout.split()
        )
        job.run()
        job.score()
        assert len(job.embedded()) == 11
        assert asked_of(job)["calls"]["requests"] == 0


def test_the_budget_is_that_of_the_run_and_of_each_score(tmp_path: Path) -> None:
    """run.max_cost_usd bounds the run, and by itself the calls of each score, as plan says; --set gives these another bound."""
    with judging(own_words, lambda _: "Rating: 5") as endpoint:
        parameters = f"max_tokens = 5\n{PRICE.replace('1000.0', '0.001')}"
        score = "price = { input = 0.0, output = 100.0 }\nparameters = { max_tokens = 10 }"
        job = JudgedJob(tmp_path, endpoint, score, rows=20, models=["a"], parameters=parameters, max_cost_usd=0.0065, concurrency=1)
        job.run()
        shown = " ".join(job.call("plan", "test.toml").stdout.split())
        assert "run.max_cost_usd bounds the run only, this score may cost as much again" in shown
        stopped = job.score()
        assert stopped.exit_code == 4, stopped.stderr
        assert len(job.judged()) == 6, "each costs $0.001"
        assert job.compared()["judge"]["cost_usd"] == pytest.approx(0.006)
        assert job.score("--set", "run.max_cost_usd=1").exit_code == 0
        assert len(job.judged()) == 20
