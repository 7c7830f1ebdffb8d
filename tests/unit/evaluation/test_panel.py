"""Panels: how votes become a score, and what keeps them from it."""

from __future__ import annotations

import pytest

from batch.errors import JobError
from batch.evaluation.grading.judge_replies import read_ratings
from batch.evaluation.panel import _together, _weighted
from batch.evaluation.table import ScoreValue
from batch.job import from_document

MEMBERS = ["x", "y", "z"]


def cells(*values: float | str | None) -> list[ScoreValue | None]:
    """Scores of the members: a value, a state, or nothing."""
    return [
        None if value is None else ScoreValue(None, value, None, "") if isinstance(value, str) else ScoreValue(value, "scored", None, "")
        for value in values
    ]


@pytest.mark.parametrize(
    ("vote", "values", "score"),
    [
        ("mean", (1, 0.5, 0), 0.5),
        ("median", (1, 0.75, 0), 0.75),
        ("majority", (1, 0.75, 0), 1),
        ("majority", (0.25, 0.75, 0), 0),
        ("majority", (1, 0, "missing"), 0.5),
        ("mean", (1, 0.5, "unscored"), 0.75),
        ("mean", (1, "missing", "missing"), None),
        ("mean", (None, None, 1), None),
    ],
)
def test_votes(vote: str, values: tuple[float | str | None, ...], score: float | None) -> None:
    """Mean, median or majority of the members that gave a score, where these are at least half; else there is none."""
    assert _together(cells(*values), MEMBERS, vote).value == score


def test_a_models_own_failure_is_not_the_panels() -> None:
    """A failed call stays failed, an answer without verdicts is missing."""
    assert _together(cells("failed", "failed", "failed"), MEMBERS, "mean").state == "failed"
    assert _together(cells("missing", "unscored", "unscored"), MEMBERS, "mean").state == "missing"


def test_a_weighted_mean_needs_all_of_its_scores() -> None:
    """Scores that measure different things are weighed; one that is missing leaves none, so that an unreadable answer gains nothing."""
    assert _weighted(cells(1, 0.5, 0), MEMBERS, [2, 1, 1]).value == 0.625
    assert _weighted(cells(1, "unscored", 1), MEMBERS, [2, 1, 1]).state == "unscored"
    assert _weighted(cells("failed", "missing", 1), MEMBERS, [2, 1, 1]).state == "failed"
    assert _weighted(cells(1, None, "unscored"), MEMBERS, [2, 1, 1]).state == "missing"


def test_members_must_be_other_scores() -> None:
    """A name that is no score, or that is a panel, is a mistake with its place."""
    score = {"kind": "exact", "expected": "right"}
    document = {
        "name": "j",
        "input": {"path": "rows.jsonl"},
        "prompt": {"user": "x"},
        "model": [{"id": "ollama/m"}],
        "score": [score, {"kind": "panel", "of": ["exact", "nothing"]}, {"kind": "panel", "name": "p", "of": ["panel", "exact"]}],
    }
    with pytest.raises(JobError) as refused:
        from_document(document, source="j")
    said = [str(problem) for problem in refused.value.problems]
    assert len(said) == 2
    assert "no other score 'nothing' that could vote (choose from exact)" in said[0]


def test_weights_are_above_zero_and_take_no_vote() -> None:
    """A table of weights names other scores, each with a weight above 0, and is a mean."""
    score = {"kind": "exact", "expected": "right"}
    base = {"name": "j", "input": {"path": "rows.jsonl"}, "prompt": {"user": "x"}, "model": [{"id": "ollama/m"}]}
    given = from_document({**base, "score": [score, {**score, "name": "b"}, {"kind": "panel", "of": {"exact": 3, "b": 1}}]}, source="j")
    assert given.job.scores[2].options["of"] == {"exact": 3, "b": 1}
    for of, vote in (({"exact": 3, "c": 1}, "mean"), ({"exact": 0, "b": 1}, "mean"), ({"exact": 3, "b": 1}, "median")):
        with pytest.raises(JobError):
            from_document({**base, "score": [score, {**score, "name": "b"}, {"kind": "panel", "of": of, "vote": vote}]}, source="j")


def test_ratings_of_criteria_are_read_together() -> None:
    """All criteria have a clear rating, or the verdict is unreadable: a mean over some of them would be another score."""
    value, each = read_ratings('{"reasons": "r", "ratings": {"a": 5, "b": "3"}}', ["a", "b"])
    assert (value.value, each, value.reason) == (0.75, {"a": 1.0, "b": 0.5}, "r")
    for text in ('{"ratings": {"a": 5}}', '{"ratings": 5}', "a: 5, b: 3", '{"ratings": {"a": 5, "b": 9}}', None):
        assert read_ratings(text, ["a", "b"])[0].value is None
