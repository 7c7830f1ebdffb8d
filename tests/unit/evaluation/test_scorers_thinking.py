"""Thinking is no part of an answer, and an answer that was cut off is none that is right."""

from __future__ import annotations

from typing import Any

import pytest

from batch.evaluation.answers import Answer
from batch.evaluation.row_scorer import RowScorer
from batch.evaluation.scorers import scorer_version
from batch.evaluation.scorers.thinking import UnendedThinkingError, without_thinking
from batch.records import Row
from batch.settings import ScoreSettings


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("no thinking at all", "no thinking at all"),
        ("<think>It is 5.</think>6", "6"),
        ("<THINK>\nIt is 5.\n</THINK>\n6", "\n6"),
        ("[THINK]The answer is 5? no.[/THINK]It is 6.", "It is 6."),
        ("<reasoning>The answer is 5</reasoning>6", "6"),
        ("<think>a</think> hmm <think>The answer is 7</think> 6", " 6"),
        ("It is 5, so</think>6", "6"),
        ("<seed:think>5</seed:think>6", "6"),
        ("◁think▷5◁/think▷6", "6"),
        ("<|START_THINKING|>5<|END_THINKING|>6", "6"),
        ("<thought>\n5</thought>\n\n6", "\n\n6"),
        ("<scratchpad>5</scratchpad><answer>6</answer>", "<answer>6</answer>"),
        ("6\n<reasoning>since 5 + 1 is 6, not 7</reasoning>", "6"),
        ("<|channel|>analysis<|message|>It is 5<|end|><|start|>assistant<|channel|>final<|message|>6<|return|>", "6"),
        ("<|channel|>final <|constrain|>json<|message|>{}", "{}"),
        ("analysisWe need 5.assistantfinalIt is 6.", "It is 6."),
        ("analysis of 5 shows 6", "analysis of 5 shows 6"),
        ("The tag <think> begins thinking; 6", "The tag <think> begins thinking; 6"),
        ("<think>all of it is 5</think>", ""),
    ],
)
def test_the_answer_is_what_follows_thinking(text: str, answer: str) -> None:
    """Whatever tag a model thinks in, its answer is what follows the last end of it."""
    assert without_thinking(text) == answer


@pytest.mark.parametrize(
    "text", ["<think>5", "[THINK] 5", "<reasoning>5", "<think>a</think><think>5", "<|channel|>analysis<|message|>5", "◁think▷5"]
)
def test_thinking_that_does_not_end_is_no_answer(text: str) -> None:
    """A number within thinking that was cut off is no answer."""
    with pytest.raises(UnendedThinkingError):
        without_thinking(text)


@pytest.mark.parametrize(("tag", "text"), [("PLAN", "<plan>5</plan>6"), ("[PLAN]", "[PLAN]5[/PLAN]6"), ("<my.tag>", "<my.tag>5</my.tag>6")])
def test_a_tag_of_ones_own(tag: str, text: str) -> None:
    """A score may name a further tag; without that it is text as any other."""
    assert without_thinking(text, tag) == "6"
    assert without_thinking(text) == text
    scorer = RowScorer(ScoreSettings(name="n", kind="number", expected="gold", options={"thinking": tag, "which": "first"}))
    row = Row(0, "0", {"gold": 6}, "", 1)
    assert scorer.cell(Answer(row, "v", text=text), 6).value == 1


@pytest.mark.parametrize("kind", ["exact", "contains", "regex", "choice", "number", "json", "token_f1"])
@pytest.mark.parametrize(
    ("cut_off", "expected"), [(None, ("unscored", None)), ("unscored", ("unscored", None)), ("wrong", ("scored", 0.0))]
)
def test_an_answer_that_was_cut_off_is_not_right(kind: str, cut_off: str | None, expected: tuple[str, float | None]) -> None:
    """Promise of docs/comparison.md: of no kind of score is it counted as a good one; a score may call it wrong."""
    cell = score(kind, cut_off, truncated=True)
    assert (cell.state, cell.value) == expected
    assert cell.reason == "cut off by the token limit"
    assert score(kind, cut_off, truncated=False).value == 1


def test_a_score_may_take_answers_that_were_cut_off() -> None:
    """With cut_off = "score" they are read as all others; it is part of what decides the scores."""
    assert score("contains", "score", truncated=True).value == 1
    assert score("number", "score", truncated=True).reason == "the answer was cut off at its number"
    versions = {scorer_version(settings("exact", each)) for each in (None, "score", "wrong")}
    assert len(versions) == 3


def settings(kind: str, cut_off: str | None) -> ScoreSettings:
    options: dict[str, Any] = {} if cut_off is None else {"cut_off": cut_off}
    return ScoreSettings(name="s", kind=kind, expected="gold", options={**options, **({"pattern": "5"} if kind == "regex" else {})})


def score(kind: str, cut_off: str | None, *, truncated: bool) -> Any:
    text, gold = ("B", "B") if kind == "choice" else ("5", "5")
    row = Row(0, "0", {"gold": gold}, "", 1)
    return RowScorer(settings(kind, cut_off)).cell(Answer(row, "v", text=text, truncated=truncated), gold)
