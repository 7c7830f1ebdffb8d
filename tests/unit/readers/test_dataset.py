"""All input files as one sequence of rows."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from batch.errors import InputError
from batch.readers import rows as module
from batch.records import BadRow, Row
from tests.support.files import dataset, pack, rows_of, write


def mixed(folder: Path) -> list[Path]:
    """Eight rows over four files of four formats; the fourth row is bad."""
    pq.write_table(pa.table({"id": ["p1", "p2"]}), folder / "c.parquet")
    return [
        write(folder / "a.jsonl", b'{"id": "a1"}\n{"id": "a2"}'),
        write(folder / "b.csv", b"id,x\nb1,1\nb2\n"),
        folder / "c.parquet",
        write(folder / "d.ndjson.zst", pack(b'{"id": 1}\n\n{"id": 2}\n', ".zst")),
    ]


def test_ordinals_run_over_all_files_and_formats(tmp_path: Path) -> None:
    """The files are one input: ordinals go on from file to file, lines begin anew."""
    read = dataset(*mixed(tmp_path), id="id")
    rows = rows_of(read)
    assert [row.ordinal for row in rows] == list(range(8))
    assert [row.id for row in rows] == ["a1", "a2", "b1", "b.csv:3 (row 3)", "p1", "p2", "1", "2"]
    assert [row.line for row in rows] == [1, 2, 2, 3, 1, 2, 1, 3]
    assert isinstance(rows[3], BadRow)
    assert read.count() == 8
    assert read.column_types() is None
    assert read.columns() == ["id"]
    assert [Path(entry["path"]).name for entry in read.identity()] == ["a.jsonl", "b.csv", "c.parquet", "d.ndjson.zst"]
    assert all(entry["size"] == Path(entry["path"]).stat().st_size and entry["mtime_ns"] > 0 for entry in read.identity())


@pytest.mark.parametrize("limit", [0, 1, 3, 4, 5, 8, 9])
def test_the_limit_is_of_rows_over_all_files(tmp_path: Path, limit: int) -> None:
    """`limit` gives the first rows, bad ones included, and the count agrees with it."""
    read = dataset(*mixed(tmp_path), limit=limit)
    assert len(rows_of(read)) == min(limit, 8) == read.count()


@pytest.mark.parametrize("size", [1, 3, 8, 100])
def test_batches_are_of_the_size_asked_for(tmp_path: Path, size: int) -> None:
    """Batches are full but for the last, and never empty."""
    sizes = [len(batch) for batch in dataset(*mixed(tmp_path)).batches(size)]
    assert sizes == [size] * (8 // size) + [8 % size] * bool(8 % size)


def test_large_rows_make_small_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch of images takes no more memory than a batch of words (promise 8)."""
    monkeypatch.setattr(module, "_BATCH_BYTES", 1000)
    path = write(tmp_path / "a.jsonl", b'{"t": "%s"}\n' % (b"x" * 500) * 4 + b'{"t": "%s"}\n' % (b"x" * 5000) * 2)
    assert [len(batch) for batch in dataset(path).batches()] == [2, 2, 1, 1]


@pytest.mark.parametrize(
    ("line", "says"), [(b'{"ID": 1}', "missing; the row has: ID"), (b'{"id": null}', "empty"), (b'{"id": ""}', "empty")]
)
def test_a_row_without_id_is_named(tmp_path: Path, line: bytes, says: str) -> None:
    """A missing id is found by the scan with its line, and without the scan is a bad row of code bad_id (fault 49)."""
    read = dataset(write(tmp_path / "a.jsonl", b'{"id": "x"}\n{bad\n' + line), id="id")
    with pytest.raises(InputError, match=rf"a\.jsonl:3: the id column 'id' is {says}"):
        read.check_ids()
    bad = rows_of(read)[2]
    assert isinstance(bad, BadRow)
    assert (bad.id, bad.code) == ("a.jsonl:3 (row 2)", "bad_id")
    assert f"a.jsonl:3: the id column 'id' is {says}" in bad.message
    assert len(bad.digest) == 16


def test_doubled_ids_over_files_are_named(tmp_path: Path) -> None:
    """A double over two files and types names both lines; within the limit only (fault 49)."""
    one, two = write(tmp_path / "a.jsonl", b'{"id": 7}\n'), write(tmp_path / "b.csv", b"id\n6\n7\n")
    with pytest.raises(InputError, match=r"duplicate id 7: .*a\.jsonl:1 and .*b\.csv:3"):
        dataset(one, two, id="id").check_ids()
    dataset(one, two, id="id", limit=2).check_ids()


def test_strange_ids_are_accepted(tmp_path: Path) -> None:
    """Ids that look like paths, long ones and numbers are text like any other (fault 49)."""
    path = write(tmp_path / "a.jsonl", b'{"id": "../../x"}\n{"id": "%s"}\n{"id": 5}\n{"id": "\\u0000"}' % (b"y" * 10_000))
    read = dataset(path, id="id")
    read.check_ids()
    assert [row.id for row in rows_of(read)] == ["../../x", "y" * 10_000, "5", "\0"]


def test_without_an_id_column_the_ordinal_is_the_id(tmp_path: Path) -> None:
    """Rows without a key of the user's are known by their place; there is nothing to check."""
    read = dataset(write(tmp_path / "a.jsonl", b'{"id": 7}\n{"id": 7}'))
    read.check_ids()
    assert [row.id for row in rows_of(read)] == ["0", "1"]


@pytest.mark.parametrize(
    ("name", "settings", "says"),
    [
        ("a.txt", {}, r"names end with \.jsonl, \.ndjson, \.json, \.csv, \.tsv, \.parquet"),
        ("a.prompts", {}, "set format in .input. to one of .jsonl."),
        ("a.xml", {}, "cannot be read as rows; write one JSON object a line"),
        ("a.gz", {}, "does not say the format"),
        ("a.parquet.gz", {}, "unpack the .gz first"),
    ],
)
def test_an_unknown_format_lists_the_formats(tmp_path: Path, name: str, settings: dict[str, str], says: str) -> None:
    """A name that tells no format is refused before anything is read."""
    with pytest.raises(InputError, match=says):
        dataset(write(tmp_path / name, b""), **settings)


@pytest.mark.parametrize(("name", "wanted"), [("a.txt", "jsonl"), ("A.JSONL", "auto"), ("a.csv", "jsonl")])
def test_the_format_can_be_set(tmp_path: Path, name: str, wanted: str) -> None:
    """`format` overrides the name, whose case does not matter."""
    (row,) = rows_of(dataset(write(tmp_path / name, b'{"a": 1}'), format=wanted))
    assert isinstance(row, Row)
    assert row.columns == {"a": 1}


def test_columns_are_those_of_the_first_row_that_can_be_read(tmp_path: Path) -> None:
    """Bad lines at the start do not hide the columns; an empty input has none."""
    assert dataset(write(tmp_path / "a.jsonl", b'{bad\n{"b": 1, "a": 2}')).columns() == ["b", "a"]
    assert dataset(write(tmp_path / "b.jsonl", b"")).columns() == []


def test_input_that_vanishes_is_told(tmp_path: Path) -> None:
    """A file that is gone in mid-run is a clear error (fault 60)."""
    read = dataset(write(tmp_path / "a.jsonl", b"{}"))
    (tmp_path / "a.jsonl").unlink()
    for ask in (read.identity, read.count, lambda: rows_of(read)):
        with pytest.raises(InputError, match=r"a\.jsonl: cannot be read"):
            ask()


def test_reading_jsonl_loads_no_pyarrow(tmp_path: Path) -> None:
    """Formats load what they need when they are used."""
    path = write(tmp_path / "a.jsonl.gz", pack(b"{}", ".gz"))
    code = (
        "import sys; from batch.readers import Dataset; from batch.settings import InputSettings\n"
        f"list(Dataset(InputSettings(paths=({str(path)!r},))).batches()); assert 'pyarrow' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[3])
