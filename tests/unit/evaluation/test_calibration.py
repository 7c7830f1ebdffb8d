"""Samples for a person to label, the labels' file, and the agreement with a judge."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from batch.evaluation.answers import Answer
from batch.evaluation.grading.calibration import Label, LabelledItems, Labels, as_judged, calibrate, draw, labels_of
from batch.evaluation.grading.judge_grader import Call, Item
from batch.evaluation.grading.judge_replies import Preference
from batch.evaluation.grading.judge_scores import JudgedItem
from batch.evaluation.grading.pairs import Judgement
from batch.evaluation.table import ScoreValue
from batch.records import Row
from batch.settings import JudgeSettings, ScoreSettings
from tests.support.runs import variant

RATED = ScoreSettings(name="rated", kind="judge", judge=JudgeSettings(variant=variant("judge"), rubric="r"))
PAIRS = replace(RATED, kind="pairwise")


def rated(row: int, text: str, value: float | None, model: str = "a") -> JudgedItem:
    """An answer with its mark."""
    answer = Answer(Row(row, str(row), {}, "f", row), model)
    cell = ScoreValue(value, "unscored" if value is None else "scored", None, "")
    return JudgedItem(Item((answer,), (text,), "q", None, (Call("c", ()),)), cell, None, "")


def paired(row: int, preference: Preference | None, *, asked: bool = True) -> JudgedItem:
    """A pair with its judgement."""
    answers = tuple(Answer(Row(row, str(row), {}, "f", row), name) for name in "ab")
    calls = (Call("c", ()), Call("d", ())) if asked else ()
    return JudgedItem(Item(answers, (f"first {row}", f"second {row}"), "q", None, calls), None, Judgement(preference), "")


def test_labelled_items_are_found_among_all_that_was_judged(tmp_path: Path) -> None:
    """Each once, in the judge's order of the pair; what is judged otherwise by now counts as it is judged now; none, no agreement."""
    labels = Labels(tmp_path / "labels.jsonl")
    gathered = LabelledItems(PAIRS, labels)
    judged = [paired(row, "first" if row % 2 else "second") for row in range(40)]
    for one in judged:
        gathered.add(one)
    assert gathered.stats is None
    before = labels.digest
    for item in draw(judged, PAIRS, 10):
        labels.add(item, item.judged)
    assert labels.digest != before == ""
    for one in [*judged, *judged]:
        gathered.add(one)
    facts = gathered.stats
    assert facts is not None
    assert (facts.labels, facts.kappa, facts.agreed, facts.weights) == (10, pytest.approx(1.0), 1.0, "none")
    other = LabelledItems(PAIRS, labels)
    for row in range(40):
        other.add(paired(row, "first"))
    assert other.stats is not None
    assert other.stats.agreed < 1
    assert "Cohen's kappa" in other.stats.sentence


def test_the_sample_is_by_chance_and_always_the_same() -> None:
    """Drawn by a hash: the order of the rows is not that of the sample, a larger one begins with the smaller one, and none stands twice."""
    judged = [rated(row, f"answer {row}", 0.5) for row in range(100)]
    sample = draw(judged, RATED, 20)
    assert [item.row_id for item in sample] == [item.row_id for item in draw(judged, RATED, 20)]
    assert [item.row_id for item in draw(judged, RATED, 40)][:20] == [item.row_id for item in sample]
    assert sorted(sample, key=lambda item: int(item.row_id)) != sample
    assert len({item.key for item in draw(judged, RATED, 1000)}) == 100


def test_what_has_no_verdict_or_stands_twice_is_not_asked_about() -> None:
    """Unscored answers and pairs that nobody judged are left out; equal answers to a row are one."""
    judged = [rated(0, "x", 1), rated(0, "x", 1, "b"), rated(1, "x", None), rated(2, "y", 0)]
    assert sorted(item.row_id for item in draw(judged, RATED, 10)) == ["0", "2"]
    pairs = [paired(0, "first"), paired(1, None), paired(2, "tie", asked=False)]
    assert [item.row_id for item in draw(pairs, PAIRS, 10)] == ["0"]


def test_pairs_are_shown_in_either_order() -> None:
    """About half of the pairs are turned, so that a person's liking for a place is not the judge's; labels are turned back."""
    sample = draw([paired(row, "first") for row in range(100)], PAIRS, 100)
    assert 25 < sum(item.turned for item in sample) < 75
    for item in sample:
        shown = item.texts.index(f"first {item.row_id}")
        assert as_judged(item, ("first", "second")[shown]) == "first"
        assert as_judged(item, "tie") == "tie"


def test_labels_are_kept(tmp_path: Path) -> None:
    """A label is read back, the newest one counts, and a line that a crash cut short takes no other one with it (promise 3)."""
    path = tmp_path / "calibration/rated.jsonl"
    first, second = draw([rated(0, "x", 1), rated(1, "y", 0)], RATED, 2)
    labels = Labels(path)
    labels.add(first, 5)
    labels.add(first, 4)
    path.write_bytes(path.read_bytes() + b'{"key": "torn')
    again = Labels(path)
    again.add(second, 1)
    assert [Labels(path).get(item.key) for item in (first, second)] == [4, 1]


def agreement(judged: Sequence[JudgedItem], settings: ScoreSettings, labels: dict[str, Label], path: Path):
    """The calibration with these labels by row."""
    kept = Labels(path / "labels.jsonl")
    sample = draw(judged, settings, 100)
    for item in sample:
        if item.row_id in labels:
            kept.add(item, labels[item.row_id])
    return calibrate(settings, sample, kept)


def test_agreement_on_a_scale(tmp_path: Path) -> None:
    """Kappa is weighted by squares on a scale: 1 for a judge that says the same, and a near miss costs less than a far one."""
    judged = [rated(row, str(row), row % 5 / 4) for row in range(20)]
    same = agreement(judged, RATED, {str(row): row % 5 + 1 for row in range(20)}, tmp_path)
    assert same.agreement is not None
    assert (same.weights, same.labelled, same.agreement.kappa, same.agreement.agreed) == ("quadratic", 20, 1, 1)
    assert labels_of(RATED) == (1, 2, 3, 4, 5)
    near = agreement(judged, RATED, {str(row): min(5, row % 5 + 2) for row in range(20)}, tmp_path)
    far = agreement(judged, RATED, {str(row): 5 - row % 5 for row in range(20)}, tmp_path)
    assert near.agreement is not None
    assert far.agreement is not None
    assert near.agreement.kappa == pytest.approx(0.8)
    assert (far.agreement.kappa or 0) < 0
    assert near.table[5, 4] == 4


def test_agreement_on_pairs(tmp_path: Path) -> None:
    """Preferences are not weighted; what is not labelled is not counted."""
    judged = [paired(row, "first" if row % 2 else "second") for row in range(10)]
    result = agreement(judged, PAIRS, {str(row): "first" if row % 2 else "second" for row in range(6)}, tmp_path)
    assert result.agreement is not None
    assert (result.weights, result.sampled, result.labelled, result.agreement.kappa) == ("none", 10, 6, 1)
    assert agreement(judged, PAIRS, {}, tmp_path / "other").agreement is None


@pytest.mark.parametrize("scale", [{0: "no", 1: "yes"}, {0: "a", 10: "b"}])
def test_two_steps_are_not_weighted(tmp_path: Path, scale: dict[int, str]) -> None:
    """Right or wrong is plain kappa."""
    settings = replace(RATED, judge=JudgeSettings(variant=variant("judge"), rubric="r", scale=scale))
    judged = [rated(row, str(row), row % 2) for row in range(10)]
    high = max(scale)
    result = agreement(judged, settings, {str(row): high * (row % 2) for row in range(10)}, tmp_path)
    assert result.agreement is not None
    assert (result.weights, result.agreement.kappa) == ("none", 1)
