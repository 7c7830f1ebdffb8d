"""Any input gives rows, bad rows or an InputError: never another exception, and the same number of rows in each pass (issue 13)."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from batch.errors import InputError, RowError
from batch.prompts.templates import Template
from batch.readers.values import values
from batch.records import BadRow, Row
from tests.support.files import dataset, rows_of

LONG = settings(max_examples=3000, deadline=None, print_blob=True, suppress_health_check=list(HealthCheck))
SHORT = settings(max_examples=60, deadline=None, print_blob=True, suppress_health_check=list(HealthCheck))

_INT64 = st.integers(-(2**63), 2**63 - 1)
_ZONES = st.sampled_from([None, "UTC", "+05:30", "Europe/Berlin", "US/Pacific", "Mars/Olympus", "GMT+25", ""])
_UNITS = st.sampled_from(["s", "ms", "us", "ns"])


def _raw(kind: pa.DataType, storage: pa.DataType, numbers: st.SearchStrategy[int]) -> st.SearchStrategy[pa.Array]:
    return st.lists(st.none() | numbers, max_size=4).map(lambda items: pa.array(items, storage).view(kind))


def _leaves() -> st.SearchStrategy[pa.Array]:
    """Arrays of simple types, with any values that their bits can have."""
    plain: list[tuple[pa.DataType, st.SearchStrategy[Any]]] = [
        (pa.bool_(), st.booleans()),
        (pa.int8(), st.integers(-128, 127)),
        (pa.uint64(), st.integers(0, 2**64 - 1)),
        (pa.float16(), st.floats(width=16)),
        (pa.float64(), st.floats()),
        (pa.decimal128(38, 5), st.decimals(-(10**30), 10**30, places=5)),
        (pa.decimal256(60, 0), st.decimals(-(10**50), 10**50, places=0)),
        (pa.binary(), st.binary(max_size=4)),
        (pa.large_string(), st.text(st.characters(exclude_categories=["Cs"]), max_size=4)),
        (pa.string_view(), st.text(st.characters(exclude_categories=["Cs"]), max_size=4)),
        (pa.binary(2), st.binary(min_size=2, max_size=2)),
        (pa.null(), st.none()),
    ]
    made = [st.lists(st.none() | of, max_size=4).map(lambda items, kind=kind: pa.array(items, kind)) for kind, of in plain]  # type: ignore[misc]
    made += [
        st.tuples(_UNITS, _ZONES).flatmap(lambda at: _raw(pa.timestamp(*at), pa.int64(), _INT64)),
        _UNITS.flatmap(lambda unit: _raw(pa.duration(unit), pa.int64(), _INT64)),
        _raw(pa.date32(), pa.int32(), st.integers(-(2**31), 2**31 - 1)),
        _raw(pa.date64(), pa.int64(), _INT64),
        _raw(pa.time64("ns"), pa.int64(), _INT64),
        _raw(pa.time32("s"), pa.int32(), st.integers(-(2**31), 2**31 - 1)),
        st.lists(st.binary(max_size=3), max_size=4).map(lambda items: pa.array(items, pa.binary()).view(pa.string())),
        st.lists(st.none() | st.binary(min_size=16, max_size=16), max_size=4).map(lambda items: pa.array(items, pa.uuid())),
        st.lists(st.sampled_from(["a", "b", None]), max_size=4).map(lambda items: pa.array(items, pa.string()).dictionary_encode()),
    ]
    return st.one_of(made)


def _nested(inner: st.SearchStrategy[pa.Array]) -> st.SearchStrategy[pa.Array]:
    """Lists, structs and maps of other arrays: of each one row, or as many as there are."""

    def listed(items: pa.Array) -> pa.Array:
        return pa.ListArray.from_arrays(pa.array([0, len(items)], pa.int32()), items)

    def mapped(items: pa.Array) -> pa.Array:
        keys = pa.array([str(number // 2) for number in range(len(items))], pa.string())
        return pa.MapArray.from_arrays(pa.array([0, len(items)], pa.int32()), keys, items)

    def struct(items: pa.Array) -> pa.Array:
        return pa.StructArray.from_arrays([items, items], names=["a", "b.c"])

    return inner.map(listed) | inner.map(mapped) | inner.map(struct)


ARRAYS = st.recursive(_leaves(), _nested, max_leaves=4)


def check_array(array: pa.Array) -> None:
    """Each value is made, and printed or refused by name; so in files."""
    made = values(array)
    assert len(made) == len(array)
    assert [value is None for value in made] == [not scalar.is_valid for scalar in array]
    for source in ("{{ a }}", "{{ a | tojson }}", "{{ a ~ '' }}"):
        for value in made:
            try:
                Template(source).render(Row(0, "0", {"a": value}, "f", 1))
            except RowError:
                continue
    with tempfile.TemporaryDirectory() as folder:
        table = pa.table({"a": array})
        arrow = Path(folder) / "a.arrow"
        with pa.ipc.new_file(arrow, table.schema) as writer:
            writer.write_table(table)
        read = dataset(arrow)
        assert len(rows_of(read)) == len(array)
        read.column_types()
        read.unknown_zones()
        parquet = Path(folder) / "a.parquet"
        try:
            pq.write_table(table, parquet)
        except (pa.ArrowException, OSError):
            return  # a type that Parquet cannot hold
        assert all(isinstance(row, Row) for row in rows_of(dataset(parquet)))


def _pandas(table: pa.Table, path: Path) -> None:
    frame = table.to_pandas()
    frame.to_parquet(path) if path.suffix == ".parquet" else frame.to_feather(path)


def _polars(table: pa.Table, path: Path) -> None:
    frame = pl.from_arrow(table)
    assert isinstance(frame, pl.DataFrame)
    match path.suffix:
        case ".parquet":
            frame.write_parquet(path)
        case ".feather":
            frame.write_ipc(path, compression="zstd")
        case _:
            frame.write_ipc_stream(path)


def check_frames(array: pa.Array) -> None:
    """Files that pandas and polars make of a column are rows, as far as these libraries can hold its type and values."""
    table = pa.table({"a": array})
    with tempfile.TemporaryDirectory() as folder:
        for write, suffix in (
            (_pandas, ".parquet"),
            (_pandas, ".feather"),
            (_polars, ".parquet"),
            (_polars, ".feather"),
            (_polars, ".arrow"),
        ):
            path = Path(folder) / f"{write.__name__}{suffix}"
            try:
                write(table, path)
            except (Exception, pl.exceptions.PanicException):  # noqa: BLE001 - types and values that the library does not hold
                continue
            rows = rows_of(dataset(path))
            assert len(rows) == len(array)
            assert all(isinstance(row, Row) for row in rows)


def check_text(name: str, raw: bytes, **options: str) -> None:
    """Rows, bad rows or an InputError; counting and reading agree."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(raw)
        try:
            read = dataset(path, **options)
            rows = rows_of(read)
        except InputError:
            return
        assert all(isinstance(row, Row | BadRow) for row in rows)
        assert read.count() == len(rows)
        assert dataset(path, **options).marks(1)[0] == len(rows)


_PIECES = st.sampled_from(
    [b'{"a": 1}', b"{", b"}", b"[", b"]", b",", b'"', b"\n", b"\r\n", b" ", b"\\", b"NaN", b"1e999", b"\xff", b"a", b";"]
)
TEXTS = st.lists(_PIECES | st.binary(max_size=3), max_size=25).map(b"".join)
NAMES = st.sampled_from(["rows.jsonl", "rows.json", "rows.csv", "rows.tsv", "rows.parquet", "rows.arrow", "rows.csv.gz", "rows.jsonl.zst"])
OPTIONS = st.sampled_from([{}, {"encoding": "cp1252"}, {"encoding": "utf-16"}, {"encoding": "shift_jis"}, {"delimiter": ";"}, {"id": "a"}])


@SHORT
@given(ARRAYS)
def test_any_arrow_array_is_rows(array: pa.Array) -> None:
    """Whatever its type and bits, a column costs no row (faults 71, 73)."""
    check_array(array)


@settings(SHORT, max_examples=25)
@given(ARRAYS)
def test_any_column_of_pandas_and_polars_is_rows(array: pa.Array) -> None:
    """Views, categories, indexes and compression are as these libraries write them (faults 71, 73)."""
    check_frames(array)


@SHORT
@given(NAMES, TEXTS, OPTIONS)
def test_any_bytes_are_rows_or_refused(name: str, raw: bytes, options: dict[str, str]) -> None:
    """Any bytes under any name (fault 72)."""
    check_text(name, raw, **options)


@pytest.mark.long
@LONG
@given(ARRAYS)
def test_any_arrow_array_is_rows_long(array: pa.Array) -> None:
    """As the short one, with many more arrays (faults 71, 73)."""
    check_array(array)


@pytest.mark.long
@LONG
@given(ARRAYS)
def test_any_column_of_pandas_and_polars_is_rows_long(array: pa.Array) -> None:
    """As the short one, with many more columns (faults 71, 73)."""
    check_frames(array)


@pytest.mark.long
@LONG
@given(NAMES, TEXTS, OPTIONS)
def test_any_bytes_are_rows_or_refused_long(name: str, raw: bytes, options: dict[str, str]) -> None:
    """As the short one, with many more files (fault 72)."""
    check_text(name, raw, **options)
