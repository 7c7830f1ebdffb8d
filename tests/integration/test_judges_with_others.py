"""Models that judge or embed beside what else a run may have: several processes, a kill of the run or of the judging."""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from tests.support.evaluation import EmbeddedJob, JudgedJob, embedding, embedding_reply, judging
from tests.support.processes import wait_until_gone, workers_of
from tests.support.scripted import Action, Sleep, chat_reply
from tests.support.scripts import wait_for

ROWS = 60
CONCURRENCY = 4
USAGE = {"prompt_tokens": 100, "completion_tokens": 10, "cost": 0.001}


def own_words(model: str, question: str) -> str:
    """An answer that is like no other one."""
    return f"{model}: {question}"


def slow(_: str) -> Iterable[Action]:
    """A judge's answer that takes a little while."""
    return [Sleep(0.02), chat_reply('{"reasons": "fine", "rating": 5}', usage=USAGE)]


def killed_after(job: JudgedJob | EmbeddedJob, done: Callable[[], int], count: int, *command: str) -> None:
    """Start a command, kill it when so much is done, and wait until its workers are gone."""
    process = job.folder.start(*command, measured=False)
    wait_for(lambda: done() >= count, process)
    workers = workers_of(process.pid)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    wait_until_gone(workers)


def all_scored(job: JudgedJob | EmbeddedJob) -> bool:
    """Whether every answer of both models has a mark."""
    return job.counts() == {f"house/{name}": {"scored": ROWS, "unscored": 0, "failed": 0, "missing": 0} for name in "ab"}


def test_a_judge_of_several_processes(tmp_path: Path) -> None:
    """The judge's run is shared out as the judged one is: each answer is judged once, costs add up, a second scoring sends nothing."""
    with judging(own_words, slow) as endpoint:
        job = JudgedJob(tmp_path, endpoint, "", rows=ROWS, concurrency=CONCURRENCY, processes=2)
        job.run()
        done = job.score()
        assert done.exit_code == 0, done.stderr
        assert Counter(job.judged()) == dict.fromkeys(job.judged(), 1)
        assert len(job.judged()) == 2 * ROWS
        assert job.compared()["judge"]["cost_usd"] == pytest.approx(0.001 * 2 * ROWS)
        sent = len(endpoint.requests)
        assert job.score().exit_code == 0
        assert len(endpoint.requests) == sent
    assert all_scored(job)


@pytest.mark.parametrize("processes", [1, 2])
def test_judging_in_several_processes_is_killed(tmp_path: Path, processes: int) -> None:
    """Promises 1 and 4: `score` is killed with its workers; the same command, with any number of them, makes the rest."""
    with judging(own_words, slow) as endpoint:
        job = JudgedJob(tmp_path, endpoint, "", rows=ROWS, concurrency=CONCURRENCY, processes=2)
        job.run()
        killed_after(job, lambda: len(job.judged()), ROWS // 2, "score", "runs/test")
        half = job.counts()
        assert all(counts["missing"] > 0 for counts in half.values()), "what is not judged yet is in no figure"
        ended = job.score("--set", f"run.processes={processes}")
        assert ended.exit_code == 0, ended.stderr
        sent = Counter(job.judged())
    assert len(sent) == 2 * ROWS
    assert sum(sent.values()) - 2 * ROWS <= CONCURRENCY
    assert all_scored(job)


@pytest.mark.parametrize("kind", ["judge", "pairwise"])
@pytest.mark.parametrize("processes", [1, 2])
def test_a_run_that_is_killed_is_judged_so_far_and_then_on(tmp_path: Path, processes: int, kind: str) -> None:
    """What a killed run has is judged; when it has gone on, only what is new is, and nothing that was judged is asked again."""
    verdict = '{"reasons": "x", "verdict": "tie"}' if kind == "pairwise" else '{"reasons": "x", "rating": 3}'
    with judging(own_words, lambda _: verdict) as endpoint:
        job = JudgedJob(
            tmp_path, endpoint, f'kind = "{kind}"', rows=ROWS, concurrency=CONCURRENCY, processes=processes, requests_per_minute=3000
        )
        killed_after(job, lambda: len(endpoint.requests), ROWS + ROWS // 2, "run", "test.toml")
        assert job.score("--set", "run.requests_per_minute=600000").exit_code == 0
        first = Counter(job.judged())
        assert 0 < len(first) < 2 * ROWS
        assert job.call("run", "test.toml", "--set", "run.requests_per_minute=600000").exit_code == 0
        assert job.score("--set", "run.requests_per_minute=600000").exit_code == 0
        sent = Counter(job.judged())
    assert len(sent) == 2 * ROWS
    assert max(sent.values()) == 1
    assert all_scored(job)


def test_embedding_in_several_processes_is_killed(tmp_path: Path) -> None:
    """Promises 1 and 4, for texts: over several processes equal ones of different rows may be sent by each, but a row's own once."""

    def vectors(text: str) -> Iterable[Action]:
        return [Sleep(0.02), embedding_reply([float(len(text)), 1.0])]

    rows: list[dict[str, Any]] = [{"id": f"r{at}", "text": f"question {at}", "right": f"right {at}"} for at in range(ROWS)]
    with embedding(own_words, vectors) as endpoint:
        job = EmbeddedJob(tmp_path, endpoint, rows, concurrency=CONCURRENCY, processes=2)
        job.run()
        killed_after(job, lambda: len(job.embedded()), ROWS, "score", "runs/test")
        ended = job.score()
        assert ended.exit_code == 0, ended.stderr
        sent = Counter(job.embedded())
    assert len(sent) == 3 * ROWS
    assert sum(sent.values()) - 3 * ROWS <= CONCURRENCY
    assert all_scored(job)
