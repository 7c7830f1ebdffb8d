"""JSON that is not one object per line."""

from __future__ import annotations

import gzip
import json
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch.readers import jsonl, lines
from batch.readers.documents import documents, is_one_document
from batch.records import BadRow, Row
from tests.support.files import dataset, rows_of, write

OBJECTS = [{"id": 0, "t": 'a"]},\\ü'}, {"id": 1, "n": {"x": [1, {"y": []}]}}, {"id": 2}]


@pytest.mark.parametrize("name", ["rows.json", "rows.jsonl", "rows.json.gz"])
@pytest.mark.parametrize(
    "text",
    [
        json.dumps(OBJECTS),
        json.dumps(OBJECTS, indent=2),
        json.dumps(OBJECTS, indent=2).replace("\n", "\r\n"),
        "\n\n" + json.dumps(OBJECTS, indent=1) + "\n\n",
        "[\n" + ",\n".join(map(json.dumps, OBJECTS)) + "\n]\n",
        "\n".join(json.dumps(item, indent=2) for item in OBJECTS),
        "\ufeff" + json.dumps(OBJECTS),
        "\n".join(map(json.dumps, OBJECTS)),
    ],
)
def test_arrays_and_pretty_printed_objects_are_rows(tmp_path: Path, name: str, text: str) -> None:
    """One array, with or without line breaks, and objects over several lines are read as the lines of JSONL are (fault 72)."""
    raw = text.encode()
    read = dataset(write(tmp_path / name, gzip.compress(raw) if name.endswith(".gz") else raw))
    assert [row.columns for row in rows_of(read) if isinstance(row, Row)] == OBJECTS
    assert read.count() == 3
    assert read.marks(1)[0] == 3


@pytest.mark.parametrize(
    ("text", "good", "bad"),
    [
        ('[{"a": 1}, 7, {"a": 2}, "x,y", [1, 2], null]', 2, 4),
        ('[{"a": 1}, {"a": oops}, {"a": 2}]', 2, 1),
        ('[{"a": 1}, {"a": 2', 1, 1),
        ('{"a": 1,\n{"a": 2}\n{"a": 3}\n', 2, 1),
        ("[1, 2]\n" + '{"a": 1}\n', 1, 1),
        ('{"a": 1}\n[\n{"a": 2}\n', 2, 1),
        ("[]", 0, 0),
        ("[\n]\n", 0, 0),
        ('[{"a": 1}]]}{"a": 2}', 2, 1),
    ],
)
def test_what_is_no_object_is_a_bad_row(tmp_path: Path, text: str, good: int, bad: int) -> None:
    """All of a file is accounted for: values that are no objects, and what is not closed, are rows that cannot be read (fault 72)."""
    rows = rows_of(read := dataset(write(tmp_path / "rows.json", text.encode())))
    assert sum(isinstance(row, Row) for row in rows) == good
    assert sum(isinstance(row, BadRow) for row in rows) >= bad
    assert read.count() == len(rows)


@given(
    st.lists(st.dictionaries(st.text(), st.recursive(st.none() | st.integers(-9, 9) | st.text(), st.lists))),
    st.none() | st.integers(0, 3),
)
def test_any_array_is_read_whatever_the_blocks(objects: list[dict[str, Any]], indent: int | None) -> None:
    """Where blocks and lines end makes no difference (fault 72)."""
    raw = json.dumps(objects, indent=indent, ensure_ascii=False).encode()
    is_document, groups = is_one_document(iter([[line] for line in raw.split(b"\n")]))
    if not objects or is_document:
        assert [json.loads(text) for _, text in documents(groups) if isinstance(text, bytes)] == objects
    else:
        assert objects == []


def test_an_array_is_read_in_bounded_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Objects come one by one: memory depends on the largest, not on the file (promise 8)."""
    monkeypatch.setattr(lines, "BLOCK_BYTES", 1 << 14)
    item = {"id": 1, "t": "x" * 1000}
    path = write(tmp_path / "rows.json", json.dumps([item] * 5000, indent=1).encode())
    tracemalloc.start()
    assert sum(1 for _ in jsonl.read(str(path))) == 5000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1_000_000
