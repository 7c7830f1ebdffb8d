"""Input files are told apart in errors by as much of their paths as that takes."""

from __future__ import annotations

import pickle
from pathlib import Path

import orjson

from batch.readers import Dataset
from batch.readers.labels import labelled
from batch.records import BadRow, place
from batch.settings import InputSettings


def test_files_of_one_name_have_different_labels() -> None:
    """The name alone where it is the only one; else the shortest end of the path that tells (D29)."""
    files = ["/d/a/x/part.jsonl", "/d/b/x/part.jsonl", "/d/b/y/part.jsonl", "/d/other.jsonl", "s3://b/k/other.jsonl?endpoint=http://h/x"]

    found = labelled(files)

    assert found == files
    assert [place(file, 3) for file in found] == [
        "a/x/part.jsonl:3", "b/x/part.jsonl:3", "y/part.jsonl:3", "d/other.jsonl:3", "k/other.jsonl:3"
    ]  # fmt: skip
    assert {place(file, 3) for file in labelled(["/d/one.jsonl", "/d/one.jsonl"])} == {"//d/one.jsonl:3"}


def test_errors_of_files_of_one_name_are_told_apart(tmp_path: Path) -> None:
    """A bad line of each of two files of one name is found by its message (D29)."""
    for folder in ("monday", "tuesday"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "rows.jsonl").write_text("{bad\n")

    rows = [row for batch in Dataset(InputSettings(paths=(f"{tmp_path}/*/rows.jsonl",))).batches() for row in batch]

    assert [isinstance(row, BadRow) and row.message.split(": ")[0] for row in rows] == ["monday/rows.jsonl:1", "tuesday/rows.jsonl:1"]


def test_a_labelled_path_is_a_path() -> None:
    """It goes into JSON and to other processes as any text does."""
    (file,) = labelled(["/d/a.jsonl"])

    assert orjson.loads(orjson.dumps({"path": file})) == {"path": "/d/a.jsonl"}
    copied = pickle.loads(pickle.dumps(file))
    assert (copied, place(copied, 1)) == ("/d/a.jsonl", "a.jsonl:1")
