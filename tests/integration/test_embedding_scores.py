"""Scores by embeddings: the model is asked by a run of its own, as judges are; what cannot be compared is unscored, never 0."""

from __future__ import annotations

import json
import signal
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from tests.support.evaluation import EmbeddedJob, embedding, embedding_reply
from tests.support.jobs import JobFolder, called
from tests.support.scripted import Action, Sleep, error
from tests.support.scripts import wait_for

VECTORS = {
    "Paris": [1.0, 0.0],
    "It is Paris": [0.8, 0.6],
    "a river": [0.0, 2.0],
    "never": [-3.0, 0.0],
    "Lutetia": [0.6, 0.8],
}


def row(number: int, said: str, right: Any = "Paris") -> dict[str, Any]:
    """A row to which model a says `said`, and b always `Paris`."""
    return {"id": f"r{number}", "text": said, "right": right}


def told(model: str, question: str) -> str:
    """The answers of the two models."""
    return question if model == "a" else "Paris"


def marks(job: EmbeddedJob) -> dict[tuple[str, str], tuple[str, float | None]]:
    """State and value of each (row, model) in the scores' own file."""
    lines = pq.read_table(job.folder.directory / "scores" / "near.parquet").to_pylist()
    return {(one["id"], one["variant"].partition("/")[2]): (one["state"], one["value"]) for one in lines}


def test_the_cosine_is_the_mark(tmp_path: Path) -> None:
    """Each text of a row is embedded once, equal ones of all rows are sent once; below 0 counts as 0; score, compare and report show it."""
    rows = [row(0, "It is Paris"), row(1, "a river"), row(2, "never"), row(3, "It is Paris", ["a river", "Lutetia"]), row(4, "Paris")]
    with embedding(told, VECTORS.__getitem__) as endpoint:
        job = EmbeddedJob(tmp_path, endpoint, rows, "price = { input = 1000.0 }")
        job.run()
        done = job.score()
        assert done.exit_code == 0, done.stderr
        assert Counter(job.embedded()) == dict.fromkeys(VECTORS, 1)
        assert "near: house/embedder embedded: 11 calls, 11 answered now, 0 before; 20 + 0 tokens; cost $0.0200" in done.stderr
        sent = len(endpoint.requests)
        assert "near (embedding by house/embedder against right; 5 rows)" in done.stdout
        again = job.score()
        assert (again.exit_code, again.stdout, len(endpoint.requests)) == (0, done.stdout, sent)
        compared = job.compared()
        assert job.call("report", "runs/test", "--job", "test.toml").exit_code == 0
        assert len(endpoint.requests) == sent
    assert {key: value for key, (state, value) in marks(job).items() if state == "scored"} == pytest.approx(
        {
            ("r0", "a"): 0.8,
            ("r1", "a"): 0.0,
            ("r2", "a"): 0.0,
            ("r3", "a"): 0.96,
            ("r4", "a"): 1.0,
            ("r3", "b"): 0.6,
            **{(f"r{number}", "b"): 1.0 for number in (0, 1, 2, 4)},
        }
    )
    assert compared["judge"] is None
    assert (compared["embedder"]["calls"], compared["embedder"]["open"], compared["embedder"]["cost_usd"]) == (11, 0, pytest.approx(0.02))
    assert "house/embedder embedded 11 texts for 20 tokens; the cost of that is $0.020." in compared["verdict"]
    assert not compared["findings"]["binary"]
    assert "The embeddings" in (job.folder.directory / "report.html").read_text()


def test_a_threshold_makes_right_and_wrong_of_it(tmp_path: Path) -> None:
    """From the threshold on an answer is right; another threshold sends nothing anew."""
    with embedding(told, VECTORS.__getitem__) as endpoint:
        job = EmbeddedJob(tmp_path, endpoint, [row(0, "It is Paris"), row(1, "Lutetia"), row(2, "a river")], "threshold = 0.7")
        job.run()
        assert job.score().exit_code == 0
        assert [marks(job)[f"r{number}", "a"] for number in range(3)] == [("scored", 1.0), ("scored", 0.0), ("scored", 0.0)]
        assert job.compared()["findings"]["binary"]
        sent = len(endpoint.requests)
        job.write("threshold = 0.6")
        assert job.score().exit_code == 0
        assert len(endpoint.requests) == sent
    assert [marks(job)[f"r{number}", "a"][1] for number in range(3)] == [1.0, 1.0, 0.0]


def test_what_cannot_be_compared_is_unscored(tmp_path: Path) -> None:
    """A zero vector, one of another length: unscored, never 0; a refused text, or numbers that are none: no score, and retried."""
    broken = {"on": True}

    def vectors(text: str) -> Iterable[Action] | Any:
        if text == "too long" and broken["on"]:
            return [error(400, {"error": {"message": "no", "code": "context_length_exceeded"}})]
        if text == "no numbers" and broken["on"]:
            return ["one", "two"]
        return {"no direction": [0.0, 0.0], "too short": [1.0]}.get(text, [1.0, 0.0])

    said = ["Paris", "no direction", "too short", "no numbers", "too long", "   "]
    with embedding(told, vectors) as endpoint:
        job = EmbeddedJob(tmp_path, endpoint, [*(row(number, text) for number, text in enumerate(said)), row(6, "Paris", None)])
        job.run()
        done = job.score()
        assert done.exit_code == 1, done.stderr
        states = [marks(job)[f"r{number}", "a"] for number in range(6)]
        assert states == [("scored", 1.0), *[("unscored", None)] * 2, *[("missing", None)] * 2, ("scored", 0.0)]
        assert ("r6", "a") not in marks(job), "a row without a right value is a fault of the data, and in no figure"
        assert "   " not in job.embedded()
        broken["on"] = False
        assert job.score("--retry-failed").exit_code == 0
    assert marks(job)["r3", "a"] == marks(job)["r4", "a"] == ("scored", 1.0)
    assert job.compared()["left_out"] == 1


def test_a_right_value_that_is_unreadable_scores_nobody(tmp_path: Path) -> None:
    """What the right value's vector cannot be compared with is unscored for all models."""
    with embedding(told, lambda text: [0.0, 0.0] if text == "a river" else [1.0, 0.0]) as endpoint:
        job = EmbeddedJob(tmp_path, endpoint, [row(0, "Paris", "a river"), row(1, "Paris")])
        job.run()
        assert job.score().exit_code == 0
    assert {key: state for key, (state, _) in marks(job).items()} == {
        ("r0", "a"): "unscored",
        ("r0", "b"): "unscored",
        ("r1", "a"): "scored",
        ("r1", "b"): "scored",
    }


def test_embedding_that_is_killed_goes_on(tmp_path: Path) -> None:
    """Promises 1, 4: `score` is killed in the middle; the same command embeds the rest, nothing twice but what was in flight."""
    concurrency = 4

    def vectors(text: str) -> Iterable[Action]:
        return [Sleep(0.02), embedding_reply([float(len(text)), 1.0])]

    rows = [row(number, f"answer {number}", f"right {number}") for number in range(60)]
    with embedding(lambda model, question: f"{question} of {model}", vectors) as endpoint:
        job = EmbeddedJob(tmp_path, endpoint, rows, concurrency=concurrency)
        job.run()
        process = job.folder.start("score", "runs/test", measured=False)
        wait_for(lambda: len(job.embedded()) >= 60, process)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert all(counts["missing"] > 0 for counts in job.counts().values()), "what is not embedded yet is in no figure"
        ended = job.score()
        assert ended.exit_code == 0, ended.stderr
        sent = Counter(job.embedded())
    assert len(sent) == 180
    assert sum(sent.values()) - 180 <= concurrency
    assert job.counts() == {f"house/{name}": {"scored": 60, "unscored": 0, "failed": 0, "missing": 0} for name in "ab"}


@pytest.mark.local_model
def test_the_embedded_model_embeds(tmp_path: Path) -> None:
    """Two providers of the embedded model, one that answers and one that embeds: run, score and compare, with the right answer nearest."""
    rows = [{"id": "r0", "text": "Say: Paris", "right": "Paris"}, {"id": "r1", "text": "Say: Rome", "right": "Rome"}]
    folder = JobFolder(tmp_path, "http://127.0.0.1:1/v1", rows=rows, model="local/smollm2", parameters="max_tokens = 4")
    before, _, rest = folder.job.read_text().partition("[provider.house]")
    slots = "parallel = 1\ncontext = 256\n"
    providers = f'[provider.local]\n{slots}[provider.vectors]\npreset = "local"\nembedding = true\n{slots}'
    score = '[[score]]\nkind = "embedding"\nmodel = "vectors/smollm2"\nexpected = "right"\ncut_off = "score"\n'
    folder.job.write_text(f"{before}{providers}[[model]]{rest.partition('[[model]]')[2]}\n{score}")
    for command in (["run", "test.toml"], ["score", "runs/test"]):
        ended = called(folder, *command)
        assert ended.exit_code == 0, ended.stderr
    (score,) = json.loads(called(folder, "compare", "runs/test", "--json").stdout)["scores"]
    (standing,) = score["findings"]["standings"]
    assert standing["summary"]["counts"]["scored"] == 2
    assert 0 < standing["summary"]["strict"]["estimate"] <= 1
    assert (score["embedder"]["unread"], score["embedder"]["failed"]) == (0, 0)
