"""Samples for a person to label, the labels' file, and the agreement with a judge."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from batch.errors import InputError
from batch.evaluation.answers import Answer
from batch.evaluation.grading.calibration import LabelledItems, as_judged, calibrate, draw, labels_of
from batch.evaluation.grading.judge_grader import Call, Item
from batch.evaluation.grading.judge_replies import Preference
from batch.evaluation.grading.judge_scores import JudgedItem
from batch.evaluation.grading.label_files import read_labels, write_labels
from batch.evaluation.grading.labels import Label, Labels
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


def rows_of(path: Path) -> list[dict[str, str]]:
    """The lines of a CSV file."""
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("settings", [RATED, PAIRS])
def test_labels_go_out_and_in_as_csv(tmp_path: Path, settings: ScoreSettings) -> None:
    """What is written, filled in by two people and read back is labelled by both, in the judge's order; reading twice adds nothing."""
    judged = [rated(row, f'=say "{row}"\n', 0.5) if settings is RATED else paired(row, "first") for row in range(6)]
    sample, labels = draw(judged, settings, 6), Labels(tmp_path / "labels.jsonl")
    assert write_labels(tmp_path / "out.csv", sample, labels) == 6
    out = rows_of(tmp_path / "out.csv")
    assert [line["label"] for line in out] == [""] * 6
    assert out[0]["answer"] == ("'" if settings is RATED else "") + sample[0].texts[0], "a spreadsheet must not run an answer"
    filled = [{"key": line["key"], "label": "4.0" if settings is RATED else "A", "rater": who} for line in out for who in ("ann", "bo")]
    with (tmp_path / "in.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ["label", "key", "rater"])
        writer.writeheader()
        writer.writerows(filled)
    assert read_labels(tmp_path / "in.csv", settings, sample, labels, "") == 12
    size = (tmp_path / "labels.jsonl").stat().st_size
    assert read_labels(tmp_path / "in.csv", settings, sample, labels, "") == 12
    assert (tmp_path / "labels.jsonl").stat().st_size == size
    assert labels.raters == ["ann", "bo"]
    assert [labels.get(item.key) for item in sample] == [
        4 if settings is RATED else "second" if item.turned else "first" for item in sample
    ]
    assert write_labels(tmp_path / "again.csv", sample, labels) == 12
    assert {(line["label"], line["rater"]) for line in rows_of(tmp_path / "again.csv")} == {
        ("4" if settings is RATED else "A", who) for who in ("ann", "bo")
    }


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("key,mark\nx,4\n", "has no columns key and label; it has: key, mark"),
        ("", "has no columns key and label; it has: none"),
        ("key,label\nx,4\n", "in.csv:2: the key 'x' is not in the sample"),
        ("key,label\nKEY,6\n", "in.csv:2: '6' is no label; it must be 1, 2, 3, 4, 5"),
        ("key,label\nKEY,good\n", "'good' is no label"),
    ],
)
def test_a_wrong_label_file_is_refused_whole(tmp_path: Path, text: str, said: str) -> None:
    """The line and what it must be are named, and no label of the file is kept."""
    sample, labels = draw([rated(0, "x", 1)], RATED, 1), Labels(tmp_path / "labels.jsonl")
    (tmp_path / "in.csv").write_text(text.replace("KEY", sample[0].key))
    with pytest.raises(InputError, match=said):
        read_labels(tmp_path / "in.csv", RATED, sample, labels, "")
    with pytest.raises(InputError, match="cannot be read"):
        read_labels(tmp_path / "none.csv", RATED, sample, labels, "")
    assert len(labels) == 0


def test_several_raters(tmp_path: Path) -> None:
    """The middle label counts, of pairs the most frequent one, and the raters' agreement is Krippendorff's alpha."""
    judged = [rated(row, f"answer {row}", 0.5) for row in range(4)]
    sample, labels = draw(judged, RATED, 4), Labels(tmp_path / "labels.jsonl")
    for at, item in enumerate(sample):
        for rater, label in (("a", at + 1), ("b", at + 1), ("c", at + 2)):
            labels.add(item, label, rater)
    result = calibrate(RATED, sample, labels)
    assert (result.raters, [labels.get(item.key) for item in sample]) == (("a", "b", "c"), [1, 2, 3, 4])
    assert result.alpha == pytest.approx(0.817, abs=0.05)
    assert labels.value(sample[0].key, 1.0, 5.0) == pytest.approx((4 / 3 - 1) / 4)
    pair = draw([paired(0, "first")], PAIRS, 1)[0]
    votes = Labels(tmp_path / "pairs.jsonl")
    for rater, label in (("a", "first"), ("b", "second"), ("c", "first")):
        votes.add(pair, label, rater)
    assert votes.get(pair.key) == "first"
    votes.add(pair, "second", "c")
    votes.add(pair, "tie", "d")
    assert Labels(tmp_path / "pairs.jsonl").get(pair.key) == "second"
    votes.add(pair, "first", "d")
    assert votes.get(pair.key) == "tie"


def test_labels_correct_the_judges_mean(tmp_path: Path) -> None:
    """A judge that gives every answer a step too much: with 40 labels of 200 answers the mean is put right, and self-preference is seen."""
    labels = Labels(tmp_path / "labels.jsonl")
    judged = [rated(row, f"answer {row}", 0.25 * (1 + row % 4), "own") for row in range(200)]
    judged += [rated(row, f"other {row}", 0.25 * (row % 4), "other") for row in range(200)]
    for item in draw(judged, RATED, 80):
        labels.add(item, 1 + int(item.row_id) % 4)
    gathered = LabelledItems(RATED, labels)
    for one in judged:
        gathered.add(one)
    own, other = gathered.corrected
    assert (own.variant, other.variant, own.labels + other.labels) == ("own", "other", 80)
    assert own.judged == pytest.approx(0.625)
    assert own.low < 0.375 < own.high < 0.5
    assert own.estimate == pytest.approx(0.375, abs=0.01)
    assert other.estimate == pytest.approx(0.375, abs=0.01)
    assert set(gathered.generosity) == {"own", "other"}
    assert np.mean(gathered.generosity["own"]) == pytest.approx(0.25)
    assert "as people would have scored it, by" in own.sentence
