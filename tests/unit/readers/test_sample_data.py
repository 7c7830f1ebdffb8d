"""sample_data/ is what its README says; labels are there for every row."""

from __future__ import annotations

import runpy
from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from batch.readers.dataset import Dataset
from batch.records import BadRow, Row
from batch.settings import InputSettings

SAMPLES = Path(__file__).parents[3] / "sample_data"


def rows(name: str) -> list[Row]:
    """All rows of a sample file, which has unique ids and no bad row."""
    dataset = Dataset(InputSettings(paths=(str(SAMPLES / name),), id="id"))
    dataset.check_ids()
    found = [row for batch in dataset.batches() for row in batch]
    assert not [row for row in found if isinstance(row, BadRow)]
    return [row for row in found if isinstance(row, Row)]


@pytest.mark.parametrize(
    ("name", "count", "columns"),
    [
        ("capitals.jsonl", 195, {"id", "country", "capital", "continent"}),
        ("arithmetic.parquet", 200, {"id", "question", "answer", "kind"}),
        ("reviews.csv", 120, {"id", "review", "label"}),
        ("chats.jsonl", 40, {"id", "topic", "messages"}),
    ],
)
def test_samples_are_whole(name: str, count: int, columns: set[str]) -> None:
    """Each file has as many rows as its README says, all with all columns filled, and no text twice."""
    found = rows(name)
    assert len(found) == count
    for row in found:
        assert set(row.columns) == columns
        assert all(value not in (None, "") for value in row.columns.values())
    texts = [str([value for key, value in row.columns.items() if key != "id"]) for row in found]
    assert len(set(texts)) == count


def test_capitals_cover_the_world_once() -> None:
    """The countries are counted by continent as the United Nations do."""
    found = rows("capitals.jsonl")
    assert len({row.columns["country"] for row in found}) == 195
    by_continent = {"Africa": 54, "Asia": 48, "Europe": 44, "North America": 23, "Oceania": 14, "South America": 12}
    assert Counter(row.columns["continent"] for row in found) == by_continent


def test_arithmetic_is_as_its_script_makes_it() -> None:
    """make_arithmetic.py makes the same table each time, and its answers are right."""
    made = runpy.run_path(str(SAMPLES / "make_arithmetic.py"))["table"]()
    assert pq.read_table(SAMPLES / "arithmetic.parquet").equals(made)
    for row in made.to_pylist():
        if row["kind"] != "word problem":
            left, sign, right = row["question"].removeprefix("What is ").rstrip("?").split()
            a, b = int(left), int(right)
            assert row["answer"] == {"+": a + b, "-": a - b, "×": a * b, "÷": a // b}[sign]
            assert sign != "÷" or a % b == 0


def test_reviews_are_balanced() -> None:
    """Half of the reviews are positive, so that always saying the same scores 50 %."""
    assert Counter(row.columns["label"] for row in rows("reviews.csv")) == {"positive": 60, "negative": 60}


def test_chats_end_with_a_question() -> None:
    """Each chat has several turns that alternate, after an optional system message, and its last word is the user's."""
    for row in rows("chats.jsonl"):
        roles = [message["role"] for message in row.columns["messages"]]
        turns = roles[1:] if roles[0] == "system" else roles
        assert turns == ["user", "assistant"] * (len(turns) // 2) + ["user"]
        assert len(turns) >= 3
