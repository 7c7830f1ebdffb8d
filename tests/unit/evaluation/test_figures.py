"""Figures of all answers of a variant: classification as scikit-learn has it, means, confidences, corpus values, a user's own."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from batch.errors import InputError
from batch.evaluation.answers import Answer
from batch.evaluation.figures.collect import FigureCollector, read_figures
from batch.evaluation.figures.confidence import confidence
from batch.evaluation.figures.figure import Figure, VariantFigures
from batch.evaluation.row_scorer import RowScorer
from batch.evaluation.scorers import scorer_version
from batch.records import Row
from batch.settings import ScoreSettings

# 60 right and given labels and weights; "-" is an answer without a label. The figures of them are scikit-learn 1.7's
# (precision_recall_fscore_support with labels=sorted(set(y_true)), matthews_corrcoef, balanced_accuracy_score).
RIGHT = "dddccdcddcccccccoddoccdccccodcccccdcccdccdcdddcccdccccccdcoc"
GIVEN = "ddddd-doddcoccccdd-cccdccocodcc-dddcccoccdcd-doccocdccccc-cc"
WEIGHTS = [
    *(1.8, 1.2, 1.0, 2.9, 1.4, 2.9, 1.6, 1.7, 2.7, 2.3, 1.8, 1.4, 2.7, 1.4, 2.8, 0.4, 1.4, 1.7, 2.9, 0.9, 2.5, 2.1, 2.2, 2.0, 2.9, 1.1),
    *(1.3, 0.8, 0.3, 0.8, 2.8, 2.6, 0.5, 1.9, 1.5, 1.9, 2.0, 1.1, 2.9, 1.5, 2.0, 2.0, 0.7, 0.4, 1.4, 2.3, 2.5, 2.2, 0.5, 2.8, 2.4, 2.7),
    *(1.7, 2.8, 0.3, 0.3, 0.3, 0.9, 0.9, 0.7),
]
PLAIN = {
    "accuracy": 0.633333,
    "balanced accuracy": 0.515107,
    "macro precision": 0.539452,
    "macro recall": 0.515107,
    "macro F1": 0.517511,
    "micro F1": 0.66087,
    "weighted precision": 0.751024,
    "weighted recall": 0.633333,
    "weighted F1": 0.682042,
    "MCC": 0.39331,
}
WEIGHTED = {
    "accuracy": 0.606509,
    "balanced accuracy": 0.467014,
    "macro precision": 0.517463,
    "macro recall": 0.467014,
    "macro F1": 0.471317,
    "micro F1": 0.640292,
    "weighted precision": 0.787423,
    "weighted recall": 0.606509,
    "weighted F1": 0.679061,
    "MCC": 0.37211,
}
OF_LABELS = {"c": (0.896552, 0.684211, 0.776119), "d": (0.578947, 0.611111, 0.594595), "o": (0.142857, 0.25, 0.181818)}
NAMES = {"c": "cat", "d": "dog", "o": "owl", "-": "I cannot say."}


def figures(rows: Sequence[Mapping[str, Any]], answers: Sequence[Mapping[str, Any]], **settings: Any) -> VariantFigures:
    """The figures of one variant's answers to rows, by way of their JSON form."""
    score = ScoreSettings(**{"name": "s", "expected": "right", **settings})
    collector, scorer = FigureCollector(score), RowScorer(score)
    for at, (columns, said) in enumerate(zip(rows, answers, strict=True)):
        row = Row(at, f"r{at}", dict(columns), "", at + 1)
        answer = Answer(row, "v", **said)
        collector.add_row(row, [answer], [scorer.cell(answer, scorer.expected(row))])
    (found,) = read_figures(collector.document(), ["v"]) or [VariantFigures("v", ())]
    return found


def labelled(**settings: Any) -> VariantFigures:
    """The figures of the 60 labels above."""
    rows = [{"right": NAMES[right], "weight": weight} for right, weight in zip(RIGHT, WEIGHTS, strict=True)]
    options = {"labels": ["cat", "dog", "owl"], **settings.pop("options", {})}
    return figures(rows, [{"text": NAMES[given]} for given in GIVEN], kind="label", options=options, **settings)


def by_name(found: VariantFigures, of: str | None = None) -> dict[str, Figure]:
    """The figures of a label, or those of all answers."""
    return {figure.name: figure for figure in found.figures if figure.of == of}


@pytest.mark.parametrize(("options", "expected"), [({}, PLAIN), ({"weights": "weight"}, WEIGHTED)])
def test_classification_agrees_with_scikit_learn(options: dict[str, Any], expected: dict[str, float]) -> None:
    """Averages and MCC are scikit-learn's, with and without weights of rows; an answer without a label is a wrong one."""
    found = by_name(labelled(options=options))
    assert {name: pytest.approx(found[name].value, abs=1e-6) for name in expected} == expected
    assert all(figure.low is not None and figure.low <= (figure.value or 0) <= (figure.high or 0) for figure in found.values())


def test_the_figures_of_each_label_agree_with_scikit_learn() -> None:
    """Precision, recall and F1 by label, with the number of its rows."""
    found = labelled()
    for sign, values in OF_LABELS.items():
        own = by_name(found, NAMES[sign])
        assert tuple(own[name].value for name in ("precision", "recall", "F1")) == pytest.approx(values, abs=1e-6)
        assert own["recall"].rows == RIGHT.count(sign)


def test_the_confusion_matrix_names_the_samples_behind_each_cell() -> None:
    """Each cell counts its rows and has their ids; answers without a label have cells of their own."""
    cells = {(cell.expected, cell.given): cell for cell in labelled().confusion}
    assert sum(cell.count for cell in cells.values()) == 60
    wanted = [f"r{at}" for at, (right, given) in enumerate(zip(RIGHT, GIVEN, strict=True)) if (right, given) == ("d", "c")]
    assert (cells["dog", "cat"].count, list(cells["dog", "cat"].ids)) == (len(wanted), wanted)
    assert cells["cat", None].count == sum(pair == ("c", "-") for pair in zip(RIGHT, GIVEN, strict=True))


def test_failed_calls_lower_recall_and_no_precision() -> None:
    """A variant gains nothing by failing on hard rows (strict)."""
    rows = [{"right": "cat"}, {"right": "cat"}, {"right": "dog"}]
    found = figures(rows, [{"text": "cat"}, {"failure": "timeout"}, {"text": "dog"}], kind="label")
    cat = by_name(found, "cat")
    assert (cat["precision"].value, cat["recall"].value) == (1, 0.5)
    assert by_name(found)["accuracy"].value == pytest.approx(2 / 3)


def test_intervals_resample_whole_clusters() -> None:
    """Twenty copies of each row in one cluster tell no more than the row: the interval stays as wide as without the copies."""
    one = [{"right": "x" if at % 3 else "y", "doc": str(at)} for at in range(12)]
    said = [{"text": "x"} for _ in one]
    alone = by_name(figures(one, said, kind="label", cluster="doc"))["accuracy"]
    copied = by_name(figures(one * 20, said * 20, kind="label", cluster="doc"))["accuracy"]
    free = by_name(figures(one * 20, said * 20, kind="label"))["accuracy"]
    assert (copied.low, copied.high) == (pytest.approx(alone.low), pytest.approx(alone.high))
    assert (free.high or 1) - (free.low or 0) < 0.5 * ((copied.high or 1) - (copied.low or 0))


def test_macro_means_and_weights() -> None:
    """Each group of a column counts alike, whatever its size; weights are a column's, and a bad one names its row."""
    rows = [{"right": "a", "subject": subject, "w": w} for subject, w in (("big", 1), ("big", 1), ("big", 1), ("small", 3))]
    said = [{"text": text} for text in ("a", "a", "a", "b")]
    found = by_name(figures(rows, said, kind="exact", options={"macro": ["subject"], "weights": "w"}), "subject")
    assert found["macro mean"].value == 0.5
    assert by_name(figures(rows, said, kind="exact", options={"weights": "w"}))["weighted score"].value == 0.5
    with pytest.raises(InputError, match="row r0: its weight, the column w"):
        figures([{"right": "a", "w": "many"}], [{"text": "a"}], kind="exact", options={"weights": "w"})


def tokens(*pairs: tuple[str, float]) -> list[dict[str, Any]]:
    """Tokens with their probabilities, as log probabilities."""
    return [{"token": token, "logprob": math.log(probability)} for token, probability in pairs]


def test_confidence_is_the_probability_of_the_answers_own_tokens() -> None:
    """The tokens that hold the answer where it stands last; none for a text in which it does not stand as a word."""
    said = tokens(("A", 0.9), (" or", 0.5), (" B", 0.5), (":", 0.1), (" ne", 0.8), ("utral", 0.5))
    assert confidence(said, "neutral") == pytest.approx(0.4)
    assert confidence(said, "Neutral") == pytest.approx(0.4)
    assert confidence(said, "A") == pytest.approx(0.9)
    assert confidence(said, "ne") is None
    assert confidence(None, "A") is None


def test_calibration_error_and_brier_score() -> None:
    """ECE over ten bins and the Brier score by hand; answers without log probabilities are in neither."""
    said = [("B", 0.95), ("B", 0.85), ("A", 0.85), ("B", 0.65)]
    rows = [{"right": "B"}] * 5
    answers = [{"text": text, "logprobs": tokens((text, sure))} for text, sure in said] + [{"text": "B"}]
    found = by_name(figures(rows, answers, kind="choice"))
    # Bins: 0.65 alone (gap 0.35), the two of 0.85 (gap 0.35, twice), 0.95 alone (gap 0.05).
    assert found["ECE"].value == pytest.approx((0.35 + 2 * 0.35 + 0.05) / 4)
    assert found["Brier score"].value == pytest.approx((0.05**2 + 0.15**2 + 0.85**2 + 0.35**2) / 4)
    assert found["ECE"].rows == 4
    assert not figures(rows[:1], [{"text": "B"}], kind="choice").figures


def test_corpus_bleu_is_sacrebleus_with_all_references() -> None:
    """The corpus value is no mean of the sentences; all right values of a row are references, in whatever number."""
    sacrebleu = pytest.importorskip("sacrebleu")
    rows = [{"right": ["The cat sat on the mat today", "A cat was on the mat"]}, {"right": ["It is raining very hard outside"]}] * 3
    said = ["The cat sat on a mat today", "It is raining hard outside now"] * 3
    for kind, metric in (("bleu", sacrebleu.BLEU()), ("chrf", sacrebleu.CHRF())):
        streams = [[row["right"][0] for row in rows], [row["right"][1] if len(row["right"]) > 1 else None for row in rows]]
        found = by_name(figures(rows, [{"text": text} for text in said], kind=kind))[f"corpus {'BLEU' if kind == 'bleu' else 'chrF'}"]
        assert found.value == pytest.approx(metric.corpus_score(said, streams).score / 100)
        assert found.low is not None


USERS = """
from helper import half
def whole(rows):
    scores = [row["score"] or 0 for row in rows]
    return {"mean": sum(scores) / len(scores), "tokens": sum(row["usage"].get("completion_tokens", 0) for row in rows)}
async def alone(rows):
    return half(len(rows))
def broken(rows):
    return 1 / 0
"""


def test_figures_of_a_users_function(tmp_path: Path) -> None:
    """It gets all rows at once, gives one number or several by name, and each has an interval; what it raises is its note."""
    (tmp_path / "mine.py").write_text(USERS)
    (tmp_path / "helper.py").write_text("half = lambda n: n / 2\n")
    rows = [{"right": "a"}] * 40
    said = [{"text": "a" if at % 4 else "b", "usage": {"completion_tokens": 2}} for at in range(40)]
    settings = {"kind": "exact", "options": {"figures": f"{tmp_path}/mine.py:whole"}}
    found = by_name(figures(rows, said, **settings))
    assert found["mean"].value == 0.75
    assert 0.5 < (found["mean"].low or 0) < 0.75 < (found["mean"].high or 0) < 0.95
    assert (found["tokens"].value, found["tokens"].low, found["tokens"].high) == (80, 80, 80)
    assert by_name(figures(rows, said, kind="exact", options={"figures": f"{tmp_path}/mine.py:alone"}))["alone"].value == 20
    broken = by_name(figures(rows, said, kind="exact", options={"figures": f"{tmp_path}/mine.py:broken"}))["broken"]
    assert (broken.value, broken.note) == (None, "raised ZeroDivisionError: division by zero")


def test_what_decides_figures_makes_them_out_of_date(tmp_path: Path) -> None:
    """A changed file of the function, and another cluster, which intervals depend on, renew the score; elsewhere a cluster does not."""
    (tmp_path / "mine.py").write_text(USERS)

    def version(**settings: Any) -> str:
        return scorer_version(
            ScoreSettings(**{"name": "s", "kind": "exact", "options": {"figures": f"{tmp_path}/mine.py:whole"}, **settings})
        )

    before = version()
    assert version(cluster="doc") != before
    assert version(options={}) == version(options={}, cluster="doc")
    (tmp_path / "mine.py").write_text(USERS + "# changed\n")
    assert version() != before
