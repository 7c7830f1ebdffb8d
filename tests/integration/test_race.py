"""`run.race`: variants that can no longer win are sent nothing more, and every command says so."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.jobs import JobFolder, called
from tests.support.scripted import Action, Received, ScriptedEndpoint, Sleep, chat_reply, error

ROWS = 400
HELD_FROM = 150
CONCURRENCY = 8
MODELS = ("good", "bad")


def job_of(path: Path, url: str, **run: Any) -> JobFolder:
    """A job that two models race in, scored by the input's right answers."""
    rows = [{"id": f"r{number}", "text": f"question {number}", "right": f"answer {number}"} for number in range(ROWS)]
    folder = JobFolder(path, url, rows=rows, model="house/good", concurrency=CONCURRENCY, **{"race": True, **run})
    folder.job.write_text(folder.job.read_text() + '\n[[model]]\nid = "house/bad"\n[[score]]\nkind = "exact"\nexpected = "right"\n')
    return folder


def racing(path: Path, right: Callable[[str, int], bool], decided: list[bool] | None = None) -> ScriptedEndpoint:
    """Answers rightly where `right(model, number)`.

    From row HELD_FROM on the bad model's answers wait until the race has `decided`: what is seen does not depend on how fast anything is.
    """
    decided = [] if decided is None else decided

    def handler(received: Received) -> Iterator[Action]:
        if not received.body:
            yield error(404)
            return
        model, number = received.json()["model"], int(received.prompt.rpartition(" ")[2])
        if model == "bad" and number >= HELD_FROM and right is not alike:
            manifest = path / "runs" / "test" / "run.json"
            for _ in range(1000):
                if decided or '"beaten_by"' in manifest.read_text():
                    decided.append(True)
                    break
                yield Sleep(0.03)
        yield chat_reply(f"answer {number}" if right(model, number) else "no idea")

    return ScriptedEndpoint(handler)


def alike(_: str, number: int) -> bool:
    """Both models know the same half of the answers."""
    return number % 2 == 0


def half(model: str, number: int) -> bool:
    """The good one knows all, the bad one a half."""
    return model == "good" or number % 2 == 0


def sent(endpoint: ScriptedEndpoint, model: str) -> int:
    """How many rows a model got."""
    return sum(1 for received in endpoint.requests if received.body and received.json()["model"] == model)


def test_a_bad_variant_is_stopped_early_and_stays_stopped(tmp_path: Path) -> None:
    """Promise 1: its other rows are not attempted, as run, status, compare and report say; resume sends them only without a race."""
    decided: list[bool] = []
    with racing(tmp_path, half, decided) as endpoint:
        folder = job_of(tmp_path, endpoint.url)
        done = called(folder, "run", "test.toml")
        assert done.exit_code == 0, done.stderr
        decided.append(True)  # the endpoint may not have had to wait for it
        assert sent(endpoint, "good") == ROWS
        stopped_at = sent(endpoint, "bad")
        assert stopped_at <= HELD_FROM + CONCURRENCY
        left = ROWS - stopped_at
        assert f"= {ROWS + stopped_at} ok + 0 failed + {left} not attempted" in done.stderr
        assert "house/bad was stopped early: house/good beats it" in done.stderr
        assert "all tasks done" not in done.stderr
        told = {each["name"]: each for each in json.loads(called(folder, "status", "runs/test", "--json").stdout)["variants"]}
        assert {name: (each["ok"], each["failed"], each["not_attempted"], each["beaten_by"]) for name, each in told.items()} == {
            "house/good": (ROWS, 0, 0, None),
            "house/bad": (stopped_at, 0, left, "house/good"),
        }

        assert called(folder, "resume", "runs/test").exit_code == 0
        assert sent(endpoint, "bad") == stopped_at
        status = called(folder, "status", "runs/test").stdout
        assert "house/bad: stopped by the race: house/good beats it" in status
        compared = json.loads(called(folder, "compare", "runs/test", "--json").stdout)["scores"][0]
        assert any(text.startswith("house/bad was stopped by the race after") for text in compared["verdict"])
        standing = compared["findings"]["standings"][1]
        assert (standing["stop"]["beaten_by"], standing["rank_best"]) == ("house/good", None)
        assert compared["findings"]["pairs"] == []
        assert called(folder, "report", "runs/test").exit_code == 0
        assert "was stopped by the race" in (folder.directory / "report.html").read_text()

        again = called(folder, "resume", "runs/test", "--set", "run.race=false")
        assert again.exit_code == 0, again.stderr
        assert sent(endpoint, "bad") == ROWS
        compared = json.loads(called(folder, "compare", "runs/test", "--json").stdout)["scores"][0]
        assert compared["winner"] == "house/good"


def test_equal_variants_run_to_their_end(tmp_path: Path) -> None:
    """Nobody is stopped, all rows are sent, and nothing is said of a race."""
    with racing(tmp_path, alike) as endpoint:
        folder = job_of(tmp_path, endpoint.url)
        done = called(folder, "run", "test.toml")
    assert (done.exit_code, [sent(endpoint, model) for model in MODELS]) == (0, [ROWS, ROWS]), done.stderr
    assert "race" not in done.stderr
    assert "race" not in json.loads((folder.directory / "run.json").read_text())


@pytest.mark.parametrize(
    ("run", "complaint"),
    [
        ({"race": True, "processes": 2}, "run.race: cannot be combined with run.processes"),
        ({"race": "exakt"}, "did you mean exact?"),
        ({"race": 3}, "run.race"),
    ],
)
def test_races_that_cannot_be(tmp_path: Path, run: dict[str, Any], complaint: str) -> None:
    """Nothing is sent, and the message has the line and what to write."""
    folder = job_of(tmp_path, "http://127.0.0.1:1/v1", **run)
    done = called(folder, "run", "test.toml")
    assert done.exit_code == 2
    assert complaint in done.stderr


def test_a_race_needs_a_score_without_a_judge(tmp_path: Path) -> None:
    """Without any score there is nothing to race by."""
    folder = job_of(tmp_path, "http://127.0.0.1:1/v1")
    folder.job.write_text(folder.job.read_text().partition("[[score]]")[0])
    done = called(folder, "run", "test.toml")
    assert (done.exit_code, "needs a [[score]] that calls no model" in done.stderr) == (2, True)


def test_a_race_is_not_run_on_ray(tmp_path: Path) -> None:
    """It is refused before anything is sent, not left out in silence."""
    done = called(job_of(tmp_path, "http://127.0.0.1:1/v1"), "run", "test.toml", "--engine", "ray")
    assert (done.exit_code, "run.race: a race is run by one process, not on Ray" in done.stderr) == (2, True)
