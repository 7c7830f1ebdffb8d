"""Parquet with the types that real files have."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import feather

from batch.errors import InputError
from batch.readers import Dataset, parquet, values
from batch.records import Row
from batch.settings import InputSettings
from tests.support.files import dataset, rows_of, write


def save(path: Path, columns: Any, **options: Any) -> Path:
    """`path`, now a Parquet file of `columns`."""
    pq.write_table(pa.table(columns), path, **options)
    return path


def test_values_keep_their_python_types_and_schemas_their_exact_ones(tmp_path: Path) -> None:
    """Nested, dictionary, large_string, decimal and timestamp columns are read, and known exactly for carrying over (fault 53)."""
    chat = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "ho"}]
    moment = dt.datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=dt.UTC)
    kinds: dict[str, tuple[pa.DataType, Any]] = {
        "text": (pa.large_string(), "x"),
        "word": (pa.dictionary(pa.int32(), pa.string()), "y"),
        "price": (pa.decimal128(20, 4), Decimal("1.2300")),
        "when": (pa.timestamp("us", "UTC"), moment),
        "nanos": (pa.timestamp("ns"), moment.replace(tzinfo=None)),
        "day": (pa.date32(), dt.date(2026, 1, 2)),
        "chat": (pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())])), chat),
        "big": (pa.uint64(), 2**64 - 1),
        "raw": (pa.binary(), b"\x00\xff"),
        "none": (pa.int64(), None),
    }
    schema = pa.schema([(name, kind) for name, (kind, _) in kinds.items()])
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.Table.from_pylist([{name: value for name, (_, value) in kinds.items()}], schema), path)
    read = dataset(path)
    (row,) = rows_of(read)
    assert isinstance(row, Row)
    assert row.columns == {name: value for name, (_, value) in kinds.items()}
    assert row.padded
    # A dictionary's codes are the file's own: its values are what is carried over (fault 71).
    assert read.column_types() == schema.set(1, pa.field("word", pa.string()))
    assert read.columns() == list(kinds)


def test_many_row_groups_keep_their_order(tmp_path: Path) -> None:
    """Rows come in file order over row groups; `line` is the number in the file from 1; the count is free (fault 53)."""
    path = save(tmp_path / "rows.parquet", {"n": list(range(5000))}, row_group_size=37)
    read = dataset(path)
    assert [(row.line, row.columns["n"]) for row in rows_of(read) if isinstance(row, Row)] == [(n + 1, n) for n in range(5000)]
    assert read.count() == 5000


def test_wide_rows_come_few_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory depends on the width of the rows, not on the size of a row group (promise 8)."""
    monkeypatch.setattr(parquet, "BATCH_BYTES", 100_000)
    path = save(tmp_path / "rows.parquet", {"t": [f"{n:040000d}" for n in range(50)]})
    file = pq.ParquetFile(path)
    assert [batch.num_rows for batch in parquet._record_batches(str(path), file, ["t"])] == [2] * 25
    assert len(rows_of(dataset(path))) == 50


def test_times_finer_than_a_microsecond_stay_exact(tmp_path: Path) -> None:
    """Nanoseconds beyond Python's own limit are kept and shown, also within structs and lists (fault 53)."""
    kind = pa.timestamp("ns")
    columns = {
        "t": pa.array([1_001, 2_000], kind),
        "s": pa.array([[{"t": 1_001}], [{"t": None}]], pa.list_(pa.struct([("t", kind)]))),
        "d": pa.array([1_999, 1_000], pa.duration("ns")),
        "c": pa.array([1_001, 1_000], pa.time64("ns")),
    }
    one, two = rows_of(dataset(save(tmp_path / "rows.parquet", columns)))
    assert isinstance(one, Row)
    assert isinstance(two, Row)
    moment = dt.datetime(1970, 1, 1, 0, 0, 0, 1)  # noqa: DTZ001 - a column without time zone
    assert one.columns == {"t": moment, "s": [{"t": moment}], "d": dt.timedelta(microseconds=1), "c": dt.time(0, 0, 0, 1)}
    assert str(one.columns["t"]) == str(one.columns["s"][0]["t"]) == "1970-01-01 00:00:00.000001001"
    assert one.columns["t"].isoformat() == "1970-01-01T00:00:00.000001001"
    assert str(one.columns["d"]) == "0:00:00.000001999"
    assert str(one.columns["c"]) == "00:00:00.000001001"
    assert [type(two.columns[name]) for name in "tdc"] == [dt.datetime, dt.timedelta, dt.time]


def test_a_value_that_python_cannot_hold_fails_no_row(tmp_path: Path) -> None:
    """A date beyond the year 9999 is text, text that is not UTF-8 is bytes: the prompt may not need them (faults 51, 73)."""
    columns = {
        "t": pa.array([0, 10**15, 0], pa.int64()).view(pa.timestamp("s")),
        "s": pa.array([b"a", b"b", b"\xff"], pa.binary()).view(pa.string()),
    }
    rows = [row.columns for row in rows_of(dataset(save(tmp_path / "rows.parquet", columns))) if isinstance(row, Row)]
    assert [row["s"] for row in rows] == ["a", "b", b"\xff"]
    assert [row["t"] for row in rows][1].startswith("1000000000000000")
    assert str(rows[0]["t"]) == "1970-01-01 00:00:00"


def test_maps_are_objects(tmp_path: Path) -> None:
    """A map is looked up by its keys, also within others and in a condition; duplicate keys lose nothing (fault 70)."""
    inner = pa.map_(pa.int32(), pa.timestamp("ns"))
    columns = {
        "meta": pa.array([[("lang", "de"), ("x", None)], None, [("a", "1"), ("a", "2")]], pa.map_(pa.string(), pa.string())),
        "deep": pa.array([[[(1, 2_001)]], [], None], pa.list_(inner)),
    }
    path = save(tmp_path / "rows.parquet", columns)
    rows = [row.columns for row in rows_of(dataset(path)) if isinstance(row, Row)]
    assert [row["meta"] for row in rows] == [{"lang": "de", "x": None}, None, [["a", "1"], ["a", "2"]]]
    assert str(rows[0]["deep"][0]["1"]) == "1970-01-01 00:00:00.000002001"
    assert dataset(path, where='meta.lang == "de"').count() == 1


def test_an_unknown_time_zone_is_utc_and_named(tmp_path: Path) -> None:
    """A zone that is not installed changes no moment and fails no row; its name is there to be said once (fault 73)."""
    path = save(
        tmp_path / "rows.parquet", {"t": pa.array([0], pa.timestamp("us", "Mars/Olympus")), "u": pa.array([0], pa.timestamp("us", "UTC"))}
    )
    (row,) = rows_of(read := dataset(path))
    assert isinstance(row, Row)
    assert row.columns["t"] == dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
    assert read.unknown_zones() == {"Mars/Olympus"}
    assert Dataset(InputSettings(paths=(str(path),)), columns=frozenset({"u"})).unknown_zones() == set()


@pytest.mark.parametrize("kind", ["parquet", "arrow"])
def test_only_the_columns_that_are_needed_are_read(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each pass makes values of the columns it needs: a column that nobody uses costs and fails nothing (fault 73)."""
    table = pa.table({"id": ["a", "b"], "n": [1, 2], "odd.name": ["x", "y"], "big": [b"z", b"z"], "unused": [1, 2]})
    path = tmp_path / f"rows.{kind}"
    if kind == "parquet":
        pq.write_table(table, path)
    else:
        feather.write_feather(table, path, compression="uncompressed")
    made: list[pa.Array] = []
    read_values = values.values
    monkeypatch.setattr(parquet, "values", lambda column: made.append(column) or read_values(column))
    read = Dataset(InputSettings(paths=(str(path),), id="id", where="n > 1"), columns=frozenset({"id", "n", "odd.name", "absent"}))
    read.check_ids()
    assert read.count() == 1
    assert len(made) == 4
    (row,) = rows_of(read)
    assert isinstance(row, Row)
    assert row.columns == {"id": "b", "n": 2, "odd.name": "y"}
    assert len(made) == 7
    assert read.columns() == ["id", "n", "odd.name", "big", "unused"]
    limited = Dataset(InputSettings(paths=(str(path),), limit=1), columns=frozenset({"n"}))
    assert [row.columns for row in rows_of(limited.without_limit())] == [{"n": 1}, {"n": 2}]
    assert [row.columns.keys() for row in rows_of(limited.with_all_columns())] == [set(table.column_names)]
    none = Dataset(InputSettings(paths=(str(path),)), columns=frozenset())
    assert len(rows_of(none)) == 2
    with pytest.raises(InputError, match="did you mean unused"):
        Dataset(InputSettings(paths=(str(path),), where="unusd > 1"), columns=frozenset()).count()


@pytest.mark.parametrize("data", [b"", b"hello", b"PAR1" + b"x" * 100 + b"PAR1"])
def test_a_file_that_is_no_parquet_is_named(tmp_path: Path, data: bytes) -> None:
    """What is not Parquet is refused by name, whatever is asked of it."""
    read = dataset(write(tmp_path / "rows.parquet", data))
    for ask in (lambda: rows_of(read), read.count, read.column_types):
        with pytest.raises(InputError, match=r"rows\.parquet: (cannot be read as Parquet|is no Parquet but text)"):
            ask()


def test_a_damaged_page_is_told(tmp_path: Path) -> None:
    """Damage in the middle ends in an error that names the file, not in fewer rows (promise 1)."""
    path = save(tmp_path / "rows.parquet", {"t": [f"text {n}" for n in range(20_000)]}, compression="snappy", use_dictionary=False)
    raw = bytearray(path.read_bytes())
    raw[2000:6000] = b"\xff" * 4000
    path.write_bytes(raw)
    with pytest.raises(InputError, match=r"rows\.parquet: cannot be read to its end"):
        rows_of(dataset(path))


def test_a_column_that_stands_twice_is_refused(tmp_path: Path) -> None:
    """Two columns of one name cannot both be a row's."""
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["a", "a"]), path)
    with pytest.raises(InputError, match="names the column 'a' twice"):
        rows_of(dataset(path))


def test_schemas_of_several_files_are_joined_or_unknown(tmp_path: Path) -> None:
    """Types are known over all files where these agree; a file of another format or type makes them unknown."""
    one = save(tmp_path / "1.parquet", {"a": [1]})
    two = save(tmp_path / "2.parquet", {"b": ["x"]})
    other = save(tmp_path / "3.parquet", {"a": ["x"]})
    assert dataset(one, two).column_types() == pa.schema([("a", pa.int64()), ("b", pa.string())])
    assert dataset(one, other).column_types() is None
    assert dataset(one, write(tmp_path / "4.jsonl", b"{}")).column_types() is None


@pytest.mark.long
def test_columns_above_2_gb(tmp_path: Path) -> None:
    """A column of more text than a string array's 2 GB comes in pieces (fault 53)."""
    path = tmp_path / "rows.parquet"
    text = "x" * (1 << 20)
    with pq.ParquetWriter(path, pa.schema([("t", pa.large_string())]), use_dictionary=False) as writer:
        writer.write_table(pa.table({"t": pa.array([text] * 2200, pa.large_string())}), row_group_size=2200)
    assert sum(len(row.columns["t"]) for batch in dataset(path).batches() for row in batch if isinstance(row, Row)) == 2200 << 20
