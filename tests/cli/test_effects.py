"""Main effects of a sweep: shown by every command that evaluates, in JSON, in the report and in Python."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import batch
from tests.support.jobs import JobFolder, called
from tests.support.scripted import Action, Received, ScriptedEndpoint, chat_reply, error

ROWS = [{"id": f"r{number}", "text": f"question {number}", "right": number} for number in range(40)]
SWEEP = "sweep = { temperature = [0, 1] }"
MORE = f"""
[[model]]
id = "house/large"
max_tokens = 50
{SWEEP}

[[score]]
kind = "number"
expected = "right"
"""


def reply(received: Received) -> list[Action]:
    """The small model errs from question 10 on and the large one from 30 on, whatever the temperature."""
    if not received.body:
        return [error(404)]
    asked, number = received.json(), int(received.prompt.split()[-1])
    return [chat_reply(str(number if number < (10 if asked["model"] == "small" else 30) else 99))]


@pytest.fixture
def swept(tmp_path: Path) -> Iterator[JobFolder]:
    """A finished run of two models, one with a parameter of its own, at two temperatures."""
    with ScriptedEndpoint(reply) as endpoint:
        job = JobFolder(tmp_path, endpoint.url, rows=ROWS, model="house/small", parameters=SWEEP)
        job.job.write_text(job.job.read_text().replace("temperature = 0\n", "") + MORE)
        assert called(job, "run", "test.toml").exit_code == 0
        yield job


def test_commands_show_what_each_setting_changes(swept: JobFolder) -> None:
    """The model matters, with the parameter that only one has, over two matched pairs; the temperature does not, and both are said."""
    for command in ("score", "compare"):
        shown = called(swept, command, "runs/test").stdout
        # A name that is too long for its column has a line of its own.
        words = " ".join(shown.split())
        assert re.search(r"model \(with max_tokens\): house/large vs house/small \+50\.0 \[.*?\] < 0\.001 yes", words)
        assert re.search(r"temperature: 0 vs 1 \+0\.0 \[.*?\] 1\.000 no", words)
    assert "No effect of temperature is shown" not in shown


def test_effects_in_json_markdown_report_and_python(swept: JobFolder) -> None:
    """The same effects reach the JSON, the Markdown summary, the report and Arrow tables."""
    found = json.loads(called(swept, "compare", "runs/test", "--json", "--markdown", "summary.md").stdout)["scores"][0]
    (model, temperature) = found["effects"]
    assert (model["factor"], model["also"], model["matched"], model["pair"]["first"]) == ("model", ["max_tokens"], 2, "house/large")
    assert model["pair"]["difference"]["estimate"] == pytest.approx(0.5)
    assert (temperature["factor"], temperature["pair"]["separable"]) == ("temperature", False)
    said = "model (with max_tokens) house/large against house/small: +50.0 pt"
    assert any(text.startswith(said) for text in found["verdict"])
    assert said in (swept.path / "summary.md").read_text().replace("\\", "")
    assert called(swept, "report", "runs/test").exit_code == 0
    page = (swept.directory / "report.html").read_text()
    assert "What each setting changes" in page
    assert "model (with max_tokens)" in page
    table = batch.score(swept.directory).effects()
    assert table.select(["factor", "first", "second", "matched", "rows"]).to_pylist() == [
        {"factor": "model", "first": "house/large", "second": "house/small", "matched": 2, "rows": 40},
        {"factor": "temperature", "first": "0", "second": "1", "matched": 2, "rows": 40},
    ]


def test_a_run_without_a_sweep_has_no_effects(tmp_path: Path) -> None:
    """Two models without a sweep are one pair: neither table nor heading of effects."""
    with ScriptedEndpoint(reply) as endpoint:
        job = JobFolder(tmp_path, endpoint.url, rows=ROWS, model="house/small")
        job.job.write_text(job.job.read_text() + '\n[[model]]\nid = "house/large"\n[[score]]\nkind = "number"\nexpected = "right"\n')
        called(job, "run", "test.toml")
        shown = called(job, "compare", "runs/test").stdout
        assert "effect, all else equal" not in shown
        called(job, "report", "runs/test")
        assert "What each setting changes" not in (job.directory / "report.html").read_text()
