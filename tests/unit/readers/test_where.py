"""The conditions of [input] where."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from batch.readers.where import Condition

ROW: dict[str, Any] = {
    "label": "x",
    "score": 4,
    "text": "007",
    "price": Decimal("1.50"),
    "flag": True,
    "said": "True",
    "nothing": None,
    "tags": ["a", "b"],
    "meta": {"lang": "en", "size": {"mb": 7}},
    "chat": [{"role": "system"}, {"role": "user"}],
    "odd name": 1,
    "when": dt.datetime(2026, 1, 2, 3, tzinfo=dt.UTC),
    "day": dt.date(2026, 1, 2),
    "ref": UUID(int=2),
    "raw": "grün".encode(),
    "took": dt.timedelta(seconds=90),
}

HOLDS = [
    'label == "x" and score > 3',
    'ref == "00000000-0000-0000-0000-000000000002" and ref != "00000000-0000-0000-0000-000000000003"',
    'ref in ["00000000-0000-0000-0000-000000000002"] and not (ref == "x")',
    'raw == "grün" and "rü" in raw and raw in ["a", "grün"]',
    "took > 60 or took > '60'",
    'when > "2026-01-02" and day <= "2026-01-02" and when >= "2026-01-02T03:00:00Z"',
    "label == 'x' and not score <= 3 or false",
    "2 < score <= 4",
    "score in (1, 4)",
    "label not in ['y', 'z']",
    "text == '007' and text == 7 and text < 8.5",
    "price == 1.5 and price == '1.50'",
    "flag and flag == true and said == true",
    "nothing == null and absent == null and label != null",
    "not (nothing > 1 or nothing < 1 or nothing == 0)",
    "'a' in tags and 'c' not in tags and len(tags) == 2",
    "'00' in text and len(text) > 2",
    "meta.lang == 'en' and meta['lang'] == 'en' and meta.size.mb == 7 and meta.none.deeper == null",
    "chat[0].role == 'system' and chat[-1]['role'] == 'user' and chat[9] == null",
    'row["odd name"] == 1',
    "when > '2026-01-01' and when < '2026-01-02T04:00:00+00:00' and day == '2026-01-02'",
    "score > -1",
    "score == score and label == 'x'",
]


@pytest.mark.parametrize("source", HOLDS)
def test_what_holds(source: str) -> None:
    """Each form of the grammar holds where it should, and its negation does not."""
    assert Condition(source).holds(ROW)
    assert not Condition(f"not ({source})").holds(ROW)


@pytest.mark.parametrize(
    "source", ["label > 3", "label < 3", "label == 3", "tags > 'a'", "when > 'soon'", "flag == 'maybe'", "len(score) > 0", "1 in score"]
)
def test_what_cannot_be_compared_does_not_hold(source: str) -> None:
    """Values of other kinds are no error of the row: they are not equal, and neither is the greater."""
    assert not Condition(source).holds(ROW)


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("label = 'x'", "cannot be read at character .*; write == for ="),
        ("a == 1 && b == 2", "write and for &&"),
        ("a == 1 AND b == 2", "write and for AND"),
        ("a is null", "write == null"),
        ("(" * 300 + "a" + ")" * 300, "cannot be read"),
        ("a == 'x", "cannot be read at character"),
        ("", "cannot be read"),
        ("'x'", "is no condition"),
        ("open('x') == 1", "cannot stand in a condition"),
        ("a.__class__() == 1", "cannot stand"),
        ("(lambda: 1)() == 1", "cannot stand"),
        ("[x for x in y] == 1", "cannot stand"),
        ("a + 1 == 2", "'a [+] 1' cannot stand in a condition; it is made of"),
        ("len(a, b) == 1", "cannot stand"),
        ("a" * 10_001, "longer than 10,000"),
    ],
)
def test_what_is_no_condition_is_told(source: str, says: str) -> None:
    """Nothing outside the grammar is reached, and SQL's ways are answered with ours."""
    with pytest.raises(ValueError, match=says):
        Condition(source)


def test_an_attribute_of_python_is_not_reached() -> None:
    """A dot goes into data only: `__class__` of a value is null."""
    assert Condition("label.__class__ == null and meta.__len__ == null").holds(ROW)


def test_the_columns_that_are_named() -> None:
    """Top-level columns only, whatever way they are written."""
    assert Condition('a > 1 and row["b c"] == d.e or len(f) in [g]').columns == {"a", "b c", "d", "f", "g"}
