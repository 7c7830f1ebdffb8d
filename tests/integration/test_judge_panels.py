"""Several judges of one score: each judges, their panel is the score."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from tests.support.evaluation import judged_parts
from tests.support.jobs import JobFolder, called
from tests.support.scripted import Action, Received, ScriptedEndpoint, chat_reply, error

JUDGES = ("strict", "mild")
ROWS = [{"id": f"r{at}", "text": f"question {at}", "topic": "law" if at < 20 else "art", "weight": 3 if at < 20 else 1} for at in range(60)]
SCORE = """
[[score]]
name = "good"
kind = "judge"
judge = ["house/strict", "house/mild"]
rubric = "Is it right?"
vote = "mean"
slices = ["topic"]
macro = ["topic"]
weights = "weight"
"""


def reply(received: Received) -> Iterable[Action]:
    """The mild judge always gives 5, the strict one 1 to the rows on law and else 5."""
    if not received.body:
        return [error(404)]
    model = received.json()["model"]
    if model not in JUDGES:
        return [chat_reply(received.prompt)]
    number = int(judged_parts(received.prompt)["QUESTION"].split()[-1])
    return [chat_reply("Rating: 1" if model == "strict" and number < 20 else "Rating: 5")]


@pytest.fixture
def judged(tmp_path: Path) -> Iterator[JobFolder]:
    """A finished run whose answers two judges have judged."""
    with ScriptedEndpoint(reply) as endpoint:
        job = JobFolder(tmp_path, endpoint.url, rows=ROWS)
        job.job.write_text(job.job.read_text() + SCORE)
        assert called(job, "run", "test.toml").exit_code == 0
        done = called(job, "score", "runs/test")
        assert done.exit_code == 0, done.stderr
        assert sum(received.json()["model"] in JUDGES for received in endpoint.requests if received.body) == 2 * len(ROWS)
        yield job


def test_several_judges_are_a_panel(judged: JobFolder) -> None:
    """Each judge has a score of its own, their mean is the entry's; agreement, slices, macro and weighted means are the panel's too."""
    scores = {each["name"]: each for each in json.loads(called(judged, "compare", "runs/test", "--json").stdout)["scores"]}
    means = {name: each["findings"]["standings"][0]["summary"]["strict"]["estimate"] for name, each in scores.items()}
    assert means == {"good-strict": pytest.approx(2 / 3), "good-mild": 1.0, "good": pytest.approx(5 / 6)}
    panel = scores["good"]["panel"]
    assert panel["members"] == ["good-strict", "good-mild"]
    assert panel["alike"] == pytest.approx(2 / 3)
    assert {(each["value"], each["score"]) for each in scores["good"]["findings"]["slices"]} == {("law", 0.5), ("art", 1.0)}
    figures = {each["name"]: each["value"] for each in scores["good"]["figures"][0]["figures"]}
    assert figures == {"weighted score": pytest.approx(0.7), "macro mean": pytest.approx(0.75)}
    assert "nothing had changed" in called(judged, "score", "runs/test", "--no-judges").stderr


def test_the_panel_is_in_the_report_and_can_be_changed(judged: JobFolder) -> None:
    """The report names the agreement; another vote recomputes the panel and asks nobody."""
    assert called(judged, "report", "runs/test").exit_code == 0
    assert "agree by Krippendorff" in (judged.directory / "report.html").read_text()
    judged.job.write_text(judged.job.read_text().replace('vote = "mean"', 'vote = "majority"'))
    done = called(judged, "score", "runs/test", "--job", "test.toml", "--no-judges")
    assert "scored again: good;" in done.stderr


def test_what_people_label_is_each_judges(judged: JobFolder) -> None:
    """Labels belong to one judge, so calibrate asks which."""
    done = called(judged, "calibrate", "runs/test", "--score", "good", "--rows", "3", "--write-labels", "x.csv")
    assert done.exit_code == 2
    assert "good is no judged score; there are: good-strict, good-mild" in done.stderr
    assert called(judged, "calibrate", "runs/test", "--score", "good-mild", "--rows", "3", "--write-labels", "x.csv").exit_code == 0
