"""From a judge's journal to marks and facts: states, pairs, and what is asked at all."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from batch.errors import InputError
from batch.evaluation.answers import Answer, run_answers, run_state
from batch.evaluation.grading.grader_calls import CALLS_FILE, calls_directory, count_open, write_calls
from batch.evaluation.grading.judge_grader import JudgeGrader, judge_of
from batch.evaluation.grading.judge_stats import JudgeStats
from batch.evaluation.reading import ScoreResult, read_evaluation
from batch.evaluation.scorers import ExpectedError
from batch.evaluation.scoring import score_answers
from batch.evaluation.table import State
from batch.records import Outcome, Row
from batch.settings import JudgeSettings, PromptSettings, ScoreSettings
from tests.support.evaluation import judged_parts
from tests.support.jobs import lines_of
from tests.support.runs import FinishedRun, variant
from tests.support.stores import outcome, write_journal

ROWS: list[dict[str, Any] | str] = [{"text": f"q{number}", "right": number} for number in range(4)]
RATED = ScoreSettings(name="rated", kind="judge", judge=JudgeSettings(variant=variant("judge"), rubric="r"))
PAIRS = replace(RATED, name="pairs", kind="pairwise")


def said(*texts: str | None, **more: Any) -> list[Outcome]:
    """Outcomes of rows 0 to n; None is a failed call."""
    return [
        outcome(row, error="server_error") if text is None else replace(outcome(row, text=text), **more) for row, text in enumerate(texts)
    ]


class Judging:
    """A run, and a judge of it that says what `verdict` makes of the parts of its question (None: its call fails)."""

    def __init__(self, run: FinishedRun, score: ScoreSettings) -> None:
        self.run, self.score = run, score
        self.scores = run.directory.path / "scores"
        self.directory = calls_directory(run.directory, score)
        self.folder = self.directory.path

    def calls(self) -> list[dict[str, Any]]:
        """The calls, written down."""
        state = run_state(self.run.stored)
        write_calls(JudgeGrader(self.score, self.run.job), self._answers, state, self.directory)
        return lines_of(self.folder / CALLS_FILE)

    def answer(self, verdict: Any, limit: int | None = None) -> None:
        """Answer the first `limit` calls, and no others."""
        journal = self.directory.journal_dir(judge_of(self.score).variant.slug)
        shutil.rmtree(journal, ignore_errors=True)
        outcomes = []
        for row, call in enumerate(self.calls()[:limit]):
            text = verdict(judged_parts(call["messages"][1]["content"]))
            made = outcome(row, error="server_error") if text is None else outcome(row, text=text)
            outcomes.append(replace(made, id=call["id"]))
        write_journal(journal, *outcomes)

    def judged(self) -> ScoreResult:
        """The score as it is read back."""
        state = run_state(self.run.stored)
        score_answers(self._answers, state, [self.score], self.scores, self.run.stored)
        return read_evaluation(self.scores, [self.score], [each.name for each in self.run.job.variants]).scores[0]

    def stats(self) -> JudgeStats:
        """What is known of the judge."""
        facts = self.judged().asked
        assert isinstance(facts, JudgeStats)
        return facts

    def _answers(self) -> Any:
        return run_answers(self.run.stored)


def test_only_answers_are_judged(tmp_path: Path) -> None:
    """What failed, is missing or has no text is not sent to a judge; equal answers to a row once; the calls name whose they are."""
    run = FinishedRun(tmp_path, ROWS, {"a": said("x", "y", None), "b": said("x", "z", "w", "v")})
    calls = Judging(run, RATED).calls()
    assert [(call["judged_row"], call["judged"]) for call in calls] == [
        ("0", ["a", "b"]),
        ("1", ["a"]),
        ("1", ["b"]),
        ("2", ["b"]),
        ("3", ["b"]),
    ]
    assert [judged_parts(call["messages"][1]["content"]) for call in calls[:2]] == [
        {"QUESTION": "q0", "ANSWER": "x"},
        {"QUESTION": "q1", "ANSWER": "y"},
    ]


def test_states_of_rated_answers(tmp_path: Path) -> None:
    """Scored, failed (the model's call), missing (no answer of the judge, or none that can be read): each is told apart."""
    run = FinishedRun(tmp_path, ROWS, {"a": said("good", "odd", None), "b": said("good", "broken", "good", "open")})
    judging = Judging(run, RATED)
    judging.answer(lambda parts: {"good": "Rating: 5", "odd": "?", "broken": None}[parts["ANSWER"]], limit=4)
    judged = judging.judged()
    assert judged.table.states[:, :, 0].tolist() == [
        [State.SCORED, State.MISSING, State.FAILED, State.MISSING],
        [State.SCORED, State.MISSING, State.SCORED, State.MISSING],
    ]
    assert judged.table.values[:, 0, 0].tolist() == [1, 1]
    marks = pq.read_table(judging.scores / "rated.parquet").to_pylist()
    assert [mark["reason"] for mark in marks[2:]] == [
        "the judge gave no rating",
        "the judge's call failed: server_error",
        "server_error",
        "rated without reasons",
        "no outcome yet",
        "not judged yet",
    ]
    facts = judging.stats()
    assert (facts.calls, facts.failed, facts.open, facts.unread, facts.again, facts.prompt_tokens) == (3, 1, 2, 1, 1, 9)
    assert facts.cost_usd is None
    assert count_open(judging.directory, RATED, retry_failed=False) == 1
    assert count_open(judging.directory, RATED, retry_failed=True) == 2


def test_a_scale_of_two_steps_is_right_or_wrong(tmp_path: Path) -> None:
    """Two steps make proportions; a rating between them makes it a graded score, not an error."""
    scale = replace(RATED, judge=replace(judge_of(RATED), scale={0: "no", 1: "yes"}))
    run = FinishedRun(tmp_path, ROWS[:2], {"a": said("x", "y")})
    judging = Judging(run, scale)
    judging.answer(lambda parts: '{"rating": 1}')
    assert judging.judged().table.binary
    judging.answer(lambda parts: '{"rating": 0.5}' if parts["ANSWER"] == "x" else '{"rating": 1}')
    assert not judging.judged().table.binary


def longer(parts: dict[str, str]) -> str:
    """A fair judge that likes long answers."""
    a, b = len(parts["ANSWER A"]), len(parts["ANSWER B"])
    return f"Because of its length.\nVerdict: {'A' if a > b else 'B' if b > a else 'tie'}"


def test_pairs_of_three(tmp_path: Path) -> None:
    """A mark is the share of pairs won, a tie being half; equal answers tie without being asked about; the reasons are kept."""
    run = FinishedRun(tmp_path, ROWS[:2], {"a": said("x", "same"), "b": said("xxx", "same"), "c": said("yy", "longer")})
    judging = Judging(run, PAIRS)
    judging.answer(longer)
    judged = judging.judged()
    assert judged.table.values[:, :, 0].tolist() == [[0, 0.25], [1, 0.25], [0.5, 1]]
    assert not judged.table.binary
    assert len(judging.calls()) == 6 + 2, "a and b are the same in row 1, so that c is judged once against both"
    facts = {(pair.first, pair.second): (pair.won, pair.tied, pair.lost, pair.flips, pair.same) for pair in judging.stats().pairs}
    assert facts == {("a", "b"): (0, 1, 1, 0, 1), ("a", "c"): (0, 0, 2, 0, 0), ("b", "c"): (1, 0, 1, 0, 0)}
    marks = pq.read_table(judging.scores / "pairs.parquet").to_pylist()
    assert marks[0]["reason"] == "lost against b: Because of its length. (A is a); lost against c: Because of its length. (A is a)"
    assert judging.stats().flip_rate == 0


def test_pairs_with_what_failed_or_is_not_there(tmp_path: Path) -> None:
    """An answer wins against a failed call, and is not marked before the other one is there; a failed one stays failed."""
    run = FinishedRun(tmp_path, ROWS, {"a": said("x", "y", "z"), "b": said(None, "yy")})
    judging = Judging(run, PAIRS)
    judging.answer(longer)
    judged = judging.judged()
    assert judged.table.states[:, :, 0].tolist() == [
        [State.SCORED, State.SCORED, State.MISSING, State.MISSING],
        [State.FAILED, State.SCORED, State.MISSING, State.MISSING],
    ]
    assert judged.table.values[0, :2, 0].tolist() == [1, 0]


def test_half_a_pair_is_no_mark(tmp_path: Path) -> None:
    """When one order has no clear verdict, or no answer yet, neither answer has a score: that is not their failure."""
    run = FinishedRun(tmp_path, ROWS[:1], {"a": said("x"), "b": said("yy")})
    judging = Judging(run, PAIRS)
    judging.answer(lambda parts: "Verdict: A" if parts["ANSWER A"] == "x" else "hm")
    assert judging.judged().table.states.tolist() == [[[State.MISSING]], [[State.MISSING]]]
    assert judging.stats().pairs[0].unscored == 1
    judging.answer(longer, limit=1)
    assert judging.judged().table.states.tolist() == [[[State.MISSING]], [[State.MISSING]]]
    assert judging.stats().flip_rate is None


def test_the_baseline_is_the_middle(tmp_path: Path) -> None:
    """Against a baseline, whose mark is one half by itself, so that a difference to it is what was won beyond a tie."""
    score = replace(PAIRS, judge=replace(judge_of(PAIRS), baseline="a"))
    run = FinishedRun(tmp_path, ROWS[:2], {"a": said("xx", "xx"), "b": said("xxx", "x"), "c": said("xxx", "xxx")})
    judging = Judging(run, score)
    judging.answer(longer)
    judged = judging.judged()
    assert judged.table.values[:, :, 0].tolist() == [[0.5, 0.5], [1, 0], [1, 1]]
    assert [(pair.first, pair.second) for pair in judging.stats().pairs] == [("b", "a"), ("c", "a")]


def test_rows_without_a_right_value_are_left_out(tmp_path: Path) -> None:
    """What the judge should be shown and is not there leaves the row out; when no row has it, its name is wrong and nothing is asked."""
    run = FinishedRun(tmp_path, [{"text": "q", "right": 1}, {"text": "q", "right": None}], {"a": said("x", "y")})
    judging = Judging(run, replace(RATED, expected="right"))
    assert [judged_parts(call["messages"][1]["content"])["REFERENCE"] for call in judging.calls()] == ["1"]
    judging.answer(lambda parts: "5")
    assert judging.judged().left_out == 1
    with pytest.raises(InputError, match=r"no row can be judged: the row has no rigth.*did you mean 'right'"):
        Judging(run, replace(RATED, name="other", expected="rigth")).calls()
    assert not (judging.scores / "judge/other" / CALLS_FILE).exists()


def test_the_question_can_be_told(tmp_path: Path) -> None:
    """A column or a template says what was asked, where the last user message of the first model does not."""
    run = FinishedRun(tmp_path, ROWS[:1], {"a": said("x")})
    for question, asked in (("right", "0"), ("{{ text }}?", "q0?"), (None, "q0")):
        score = replace(RATED, name=f"s{asked}", judge=replace(judge_of(RATED), question=question))
        (call,) = Judging(run, score).calls()
        assert judged_parts(call["messages"][1]["content"])["QUESTION"] == asked


def test_the_question_of_a_stored_request(tmp_path: Path) -> None:
    """Where the rows are whole requests, it is the last user message of theirs; what has no chat is left out."""
    run = FinishedRun(tmp_path, ROWS[:1], {"a": said("x")})
    job = replace(run.job, variants=(replace(run.job.variants[0], prompt=PromptSettings(stored=True)),))
    grader = JudgeGrader(replace(RATED, expected=None), job)
    row = Row(0, "r0", {"body": {"messages": [{"role": "user", "content": "who?"}]}}, "f", 1)
    (item,) = grader.items(row, [Answer(row, "a", text="x")])
    assert item.question == "who?"
    with pytest.raises(ExpectedError, match="say in question what was asked"):
        grader.items(replace(row, columns={"body": {"input": "x"}}), [Answer(row, "a", text="x")])


def test_a_judge_that_was_cut_off(tmp_path: Path) -> None:
    """A verdict that the token limit cut off is missing, and the reason says what to do."""
    run = FinishedRun(tmp_path, ROWS[:1], {"a": said("x")})
    judging = Judging(run, RATED)
    (call,) = judging.calls()
    cut = replace(outcome(0, text="It is quite"), id=call["id"], finish_reason="length")
    write_journal(judging.directory.journal_dir("judge"), cut)
    assert np.isnan(judging.judged().table.values).all()
    (mark,) = pq.read_table(judging.scores / "rated.parquet").to_pylist()
    assert mark["reason"] == "the judge was cut off by its token limit; give it more in parameters"
