"""The scorer label: which class an answer names."""

from __future__ import annotations

from typing import Any

import pytest

from batch.errors import SetupError
from batch.evaluation.scorers.labels import label
from batch.evaluation.scorers.sample import ExpectedError, Sample

SENTIMENT = ["positive", "negative", "neutral"]
SPAM = {"spam": ["junk", "unwanted"], "not spam": ["ham"]}

READ: list[tuple[str, Any, str | None]] = [
    ("positive", SENTIMENT, "positive"),
    ("**Positive.**", SENTIMENT, "positive"),
    ("Sentiment: Negative\nThe customer is not positive about it.", SENTIMENT, "negative"),
    ("The label is neutral, neither positive nor negative.", SENTIMENT, "neutral"),
    ("I would call this negative.", SENTIMENT, "negative"),
    ("It is not positive.", SENTIMENT, None),
    ("It is not positive but negative.", SENTIMENT, "negative"),
    ("It could be positive or negative.", SENTIMENT, None),
    ("First I thought: label: positive. But no. Label: negative", SENTIMENT, "negative"),
    ("Die Kategorie lautet: neutral", SENTIMENT, "neutral"),
    ("positively", SENTIMENT, None),
    ("", SENTIMENT, None),
    ("<think>positive</think>negative", SENTIMENT, "negative"),
    ("This is not spam.", SPAM, "not spam"),
    ("This is junk.", SPAM, "spam"),
    ("Ham", SPAM, "not spam"),
    ("答案是体育。", ["体育", "财经"], "体育"),
    ("这是一篇财经新闻", ["体育", "财经"], "财经"),
    ("C++", ["C", "C++", "C#"], "C++"),
    ("Positive", [], "positive"),
    ("Category: Billing issue", [], "billing issue"),
    ("A long explanation of why this is about billing and about nothing else, which goes on for more than a line does.", [], None),
]


@pytest.mark.parametrize(("text", "labels", "found"), READ)
def test_labels_are_read(text: str, labels: Any, found: str | None) -> None:
    """A label stands alone, is stated, or is the only one that is named and not denied; all else is unscored."""
    cell = label(labels=labels)(Sample(text, found or (next(iter(labels)) if labels else "x")))
    assert (cell.extracted, cell.state) == ((found, "scored") if found is not None else (None, "unscored"))
    assert cell.value == (None if found is None else 1)


def test_a_label_in_json_or_by_a_pattern() -> None:
    """With `field` and `pattern` only what they name is read, and must be one of the labels."""
    field = label(labels=SENTIMENT, field="result.label")
    assert field(Sample('Here: {"result": {"label": "Negative", "why": "positive"}}', "negative")).value == 1
    assert field(Sample('{"result": {}}', "negative")).state == "unscored"
    assert field(Sample('{"result": {"label": "angry"}}', "negative")).state == "unscored"
    pattern = label(labels=SENTIMENT, pattern=r"<c>(\w+)</c>")
    assert pattern(Sample("positive <c>negative</c>", "negative")).value == 1
    assert pattern(Sample("negative", "negative")).state == "unscored"


def test_right_values_are_read_as_labels_are() -> None:
    """Other names and case do not matter, several right ones are allowed, one that is not listed is a fault of the data."""
    scorer = label(labels=SPAM)
    assert scorer(Sample("spam", "JUNK")).value == 1
    assert scorer(Sample("spam", ["ham", "spam"])).value == 1
    assert scorer(Sample("spam", "ham")).value == 0
    with pytest.raises(ExpectedError):
        scorer(Sample("spam", "phishing"))
    with pytest.raises(SetupError):
        label(labels={"a": ["x"], "b": ["X"]})
