"""Scores whose models are called by batches: judges and embedders, each asked once, whatever is killed in between."""

from __future__ import annotations

import json
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.batch_api.test_batches import job
from tests.support.batch_server import BatchServer, Plan
from tests.support.jobs import JobFolder
from tests.support.processes import unmeasured
from tests.support.scripted import chat_body
from tests.support.scripts import wait_for

JUDGE = '[[score]]\nname = "s"\nkind = "judge"\njudge = "house/judge"\nrubric = "Is it right?"\n'
EMBED = '[[score]]\nname = "near"\nkind = "embedding"\nmodel = "house/embedder"\nexpected = "text"\n'


def answer(body: dict[str, Any]) -> Any:
    """What the models of the tests say."""
    if body["model"] == "embedder":
        item = {"object": "embedding", "index": 0, "embedding": [1.0, float(len(body["input"]))]}
        return {"object": "list", "model": "embedder", "data": [item], "usage": {"prompt_tokens": 4, "total_tokens": 4}}
    said = '{"reasons": "fine", "rating": 5}' if body["model"] == "judge" else f"answer to {body['messages'][-1]['content']}"
    return json.loads(chat_body(said))


def scored(path: Path, server: BatchServer, score: str, **settings: Any) -> JobFolder:
    """A job with one score."""
    folder = job(path, server, rows=20, **settings)
    folder.job.write_text(f"{folder.job.read_text()}\n{score}")
    return folder


def asked(server: BatchServer, model: str) -> list[dict[str, Any]]:
    """The requests to a model in all batches."""
    return [line["body"] for batch in server.batches.values() for line in batch.lines if line["body"]["model"] == model]


@pytest.mark.parametrize("engine", ["batch-api", "live"])
def test_judges_are_asked_by_batches(tmp_path: Path, engine: str) -> None:
    """As the job's rows are, or by --engine batch-api: each answer is judged once, none live; a second scoring sends nothing."""
    with BatchServer(answer=answer) as server:
        folder = scored(tmp_path, server, JUDGE, engine=engine)
        assert folder.call().returncode == 0
        live = len(server.live)
        words = ("score", "runs/test", "--job", "test.toml", *(() if engine == "batch-api" else ("--engine", "batch-api")))
        first = folder.call(*words)
        assert first.returncode == 0, first.stderr
        assert "s: house/judge judged: 20 calls, 20 answered now" in first.stderr
        assert len(asked(server, "judge")) == 20
        assert len(server.live) == live
        creates = server.creates
        again = folder.call(*words)
        assert (again.returncode, again.stdout) == (0, first.stdout)
        assert server.creates == creates
        assert not server.unused_uploads


def test_embeddings_are_made_by_batches(tmp_path: Path) -> None:
    """A score by embeddings: each text is embedded once, in batches of the embeddings API."""
    with BatchServer(answer=answer) as server:
        folder = scored(tmp_path, server, EMBED)
        assert folder.call().returncode == 0
        ended = folder.call("score", "runs/test", "--job", "test.toml")
        assert ended.returncode == 0, ended.stderr
        inputs = Counter(body["input"] for body in asked(server, "embedder"))
        assert inputs == Counter([row["text"] for row in folder.rows] + [f"answer to {row['text']}" for row in folder.rows])
        assert {batch.document["endpoint"] for batch in server.batches.values()} == {"/v1/chat/completions", "/v1/embeddings"}
        assert not server.live


@pytest.mark.parametrize("step", ["POST /v1/files", "POST /v1/batches", "GET /v1/files/"])
def test_a_scoring_that_is_killed_continues(tmp_path: Path, step: str) -> None:
    """Promises 1, 14: killed while judging by batches, at each step, the same command judges each answer once and leaves no upload."""
    with BatchServer(answer=answer) as server:
        folder = scored(tmp_path, server, JUDGE)
        folder.job.write_text(folder.job.read_text().replace("poll_s = 0.02", "poll_s = 0.1"))
        assert folder.call().returncode == 0
        server.stall, server.stalled = step, False
        process = folder.start("score", "runs/test", "--job", "test.toml", measured=False)
        wait_for(lambda: server.stalled, process)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        ended = folder.run("score", "runs/test", "--job", "test.toml", environ=unmeasured())
        assert ended.returncode == 0, ended.stderr
        judged = Counter(json.dumps(body) for body in asked(server, "judge"))
        assert (len(judged), judged.total()) == (20, 20)
        assert (server.live, server.unused_uploads) == ([], [])


def test_a_detached_scoring_is_collected_later(tmp_path: Path) -> None:
    """--detach submits the calls of all scores and ends with 5; the same command without it collects and scores."""
    with BatchServer(Plan(looks=3), answer=answer) as server:
        folder = scored(tmp_path, server, JUDGE + EMBED)
        assert folder.call().returncode == 0
        ended = folder.call("score", "runs/test", "--job", "test.toml", "--detach")
        assert ended.returncode == 5, ended.stderr
        assert (len(asked(server, "judge")), len(asked(server, "embedder"))) == (20, 40)
        creates = server.creates
        ended = folder.call("score", "runs/test", "--job", "test.toml")
        assert ended.returncode == 0, ended.stderr
        assert server.creates == creates
        assert folder.call("score", "runs/test", "--detach", "--engine", "live").returncode == 2


def test_a_judge_whose_provider_has_no_batches_is_asked_live(tmp_path: Path) -> None:
    """A job by batches whose judge is elsewhere: the judge is asked live there, and --engine batch-api says what is missing."""
    with BatchServer(answer=answer) as server:
        folder = scored(tmp_path, server, JUDGE.replace("house/judge", "other/judge"))
        provider = f'[provider.other]\nbase_url = "{server.url}"\n\n[run]'
        folder.job.write_text(folder.job.read_text().replace("[run]", provider))
        assert folder.call().returncode == 0
        refused = folder.call("score", "runs/test", "--job", "test.toml", "--engine", "batch-api")
        assert refused.returncode == 2
        assert "no Batch API" in refused.stderr
        ended = folder.call("score", "runs/test", "--job", "test.toml")
        assert ended.returncode == 0, ended.stderr
        assert len(server.live) == 20
        assert not asked(server, "judge")
