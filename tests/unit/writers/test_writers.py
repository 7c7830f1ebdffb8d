"""Derived files: JSON lines, CSV and Parquet, whole or absent."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batch.readers.nanoseconds import NanosecondTimestamp
from batch.settings import OutputFormat
from batch.storage import replace_atomically
from batch.writers import Layout, open_writer, writing
from batch.writers import parquet as parquet_module
from batch.writers.values import json_bytes

FORMATS: tuple[OutputFormat, ...] = ("jsonl", "csv", "parquet")
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(st.characters()), inner, max_size=3),
    max_leaves=8,
)


def write(path: Path, layout: Layout, lines: Sequence[dict[str, Any]], *, at_once: int = 2) -> Path:
    format_: OutputFormat = path.suffix[1:]  # type: ignore[assignment]
    with open_writer(format_, path, layout) as writer:
        for start in range(0, len(lines), at_once):
            writer.write(lines[start : start + at_once])
    return path


def carried(folder: Path, values: Sequence[Any], types: pa.Schema | None = None) -> pa.Table:
    """One carried-over column `c` with these values, as it is in a Parquet file."""
    lines = [{"id": str(number), "c": value} for number, value in enumerate(values)]
    return pq.read_table(write(folder / "x.parquet", Layout(("id",), ("c",), types), lines))


class BrokenLines(list[dict[str, Any]]):
    """Lines that fail when they have been given once."""

    def __iter__(self) -> Iterator[dict[str, Any]]:
        yield from super().__iter__()
        raise KeyError("c")


@pytest.mark.parametrize("format_", FORMATS)
def test_a_failed_derivation_leaves_the_old_file(tmp_path: Path, format_: OutputFormat) -> None:
    """When anything goes wrong the old file stays, and nothing else is left behind (promise 11, fault 44)."""
    path = write(tmp_path / f"x.{format_}", Layout(("id",), ("c",)), [{"id": "1", "c": 1}])
    before = path.read_bytes()

    with pytest.raises(KeyError, match="c"), open_writer(format_, path, Layout(("id",), ("c",))) as writer:
        writer.write(BrokenLines([{"id": "2", "c": 2}]))

    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("format_", FORMATS)
def test_no_lines(tmp_path: Path, format_: OutputFormat) -> None:
    """A file without lines is a whole file."""
    path = write(tmp_path / f"x.{format_}", Layout(("id", "error"), ("c",)), [])

    if format_ == "parquet":
        assert pq.read_table(path).num_rows == 0
    else:
        assert path.read_text() == ("" if format_ == "jsonl" else "id,error,c\n")


@pytest.mark.parametrize("format_", FORMATS)
def test_first_difference(tmp_path: Path, format_: OutputFormat) -> None:
    """Files that say the same are told from those that do not."""
    layout = Layout(("id",), ("c",))
    lines = [{"id": str(number), "c": number} for number in range(5)]
    one = write(tmp_path / f"one.{format_}", layout, lines)
    same = write(tmp_path / f"same.{format_}", layout, lines, at_once=5)
    other = write(tmp_path / f"other.{format_}", layout, [*lines[:3], {"id": "3", "c": 30}, lines[4]])
    longer = write(tmp_path / f"longer.{format_}", layout, [*lines, {"id": "5", "c": 5}])

    compare = writing(format_).first_difference
    assert compare(one, same) is None
    assert compare(one, other) == {"jsonl": 4, "csv": 5, "parquet": 4}[format_]
    assert compare(one, longer) is not None
    assert compare(longer, one) is not None


@given(json_values)
def test_json_of_any_value(value: Any) -> None:
    """Any JSON value, lone surrogates, NaN and huge integers included, becomes valid JSON on one line (fault 51)."""

    def refuse(constant: str) -> object:
        raise AssertionError(constant)

    text = json_bytes(value)
    parsed = json.loads(text.decode(), parse_constant=refuse)

    assert b"\n" not in text
    plain = json.loads(json.dumps(value), parse_constant=lambda _: None)
    assert parsed == plain


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Decimal("12.3400"), "12.3400"),
        (Decimal("NaN"), "null"),
        (2**200, str(2**200)),
        ({"deep": [2**200, "\ud800", Decimal(1), None, True, float("nan")]}, f'{{"deep":[{2**200},"\\ud800",1,null,true,null]}}'),
        (datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=UTC), '"2026-01-02T03:04:05.678000+00:00"'),
        (NanosecondTimestamp.of(datetime(2026, 1, 2, tzinfo=UTC), 7), '"2026-01-02T00:00:00.000000007+00:00"'),
        (
            {"deep": [NanosecondTimestamp.of(datetime(2026, 1, 2, tzinfo=UTC), 7), 2**70]},
            f'{{"deep":["2026-01-02T00:00:00.000000007+00:00",{2**70}]}}',
        ),
        (date(2026, 1, 2), '"2026-01-02"'),
        (time(3, 4), '"03:04:00"'),
        (timedelta(seconds=90), '"0:01:30"'),
        (b"\x00\xff", '"AP8="'),
        (UUID(int=7), '"00000000-0000-0000-0000-000000000007"'),
        ({1: "x"}, '{"1":"x"}'),
        ((1, "a"), '[1,"a"]'),
    ],
)
def test_json_of_values_that_json_lacks(value: Any, text: str) -> None:
    """What other formats hold is carried over exactly, where JSON can (promise 11, fault 53)."""
    assert json_bytes(value).decode() == text


@pytest.mark.parametrize("start", ["=cmd()", "+A1", "-A1", "- milk", "-2+cmd", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "\uff1dcmd()"])
def test_csv_formulas_are_disarmed(tmp_path: Path, start: str) -> None:
    """Text that a spreadsheet would run begins with a ' instead (fault 55)."""
    path = write(tmp_path / "x.csv", Layout(("id", "completion"), (start,)), [{"id": "1", "completion": start, start: "plain"}])

    with path.open(newline="") as file:
        header, row = csv.reader(file)
    assert header == ["id", "completion", f"'{start}"]
    assert row == ["1", f"'{start}", "plain"]


@pytest.mark.parametrize("text", ["-5", "+49 170 1234567", "-1.50", "-1e-3", "+1 (555) 010-99", "-.5", "-12,5 %"])
def test_csv_numbers_are_left_alone(tmp_path: Path, text: str) -> None:
    """Text that is a number or a phone number is written as it came: a program that reads it must not meet a '."""
    path = write(tmp_path / "x.csv", Layout(("id", "completion")), [{"id": "1", "completion": text}])

    with path.open(newline="") as file:
        assert list(csv.reader(file))[1] == ["1", text]


def test_csv_ids_are_left_alone(tmp_path: Path) -> None:
    """An id joins the file with others, so it never gets a '; nor does anything where the job turns the guard off."""
    line = {"id": "-abc", "completion": "=1+A1", "ticket": "@x"}
    guarded = write(tmp_path / "a.csv", Layout(("id", "completion"), ("ticket",), unguarded=frozenset(("id", "ticket"))), [line])
    plain = write(tmp_path / "b.csv", Layout(("id", "completion"), ("ticket",), csv_guard=False), [line])

    with guarded.open(newline="") as first, plain.open(newline="") as second:
        assert list(csv.reader(first))[1] == ["-abc", "'=1+A1", "@x"]
        assert list(csv.reader(second))[1] == ["-abc", "=1+A1", "@x"]


def test_csv_cells(tmp_path: Path) -> None:
    """Numbers stay numbers, nested values are JSON text, None is empty, quotes and breaks survive, lone surrogates do not."""
    values = [-5, 1.5, True, None, {"a": [1, "é"]}, [], 'say "hi",\nplease', "\ud800x", Decimal("-1.50"), date(2026, 1, 2), 2**80]
    names = tuple(f"c{number}" for number in range(len(values)))
    path = write(tmp_path / "x.csv", Layout(("id",), names), [{"id": "1", **dict(zip(names, values, strict=True))}])

    with path.open(encoding="utf-8", newline="") as file:
        row = list(csv.reader(file))[1][1:]
    assert row == ["-5", "1.5", "true", "", '{"a":[1,"é"]}', "[]", 'say "hi",\nplease', "\ufffdx", "-1.50", "2026-01-02", str(2**80)]


@pytest.mark.parametrize(
    ("values", "kind", "stored"),
    [
        (["a", None, "b"], pa.string(), ["a", None, "b"]),
        ([1, None, -(2**63) + 1], pa.int64(), [1, None, -(2**63) + 1]),
        ([1, 2.5, None], pa.float64(), [1.0, 2.5, None]),
        ([True, None, False], pa.bool_(), [True, None, False]),
        ([None, None], pa.string(), [None, None]),
        (["\ud800x"], pa.string(), ["\ufffdx"]),
        ([date(2026, 1, 2), "x"], pa.string(), ["2026-01-02", "x"]),
    ],
)
def test_parquet_types_are_inferred(tmp_path: Path, values: list[Any], kind: pa.DataType, stored: list[Any]) -> None:
    """A column whose values are of one kind has that type (promise 11)."""
    table = carried(tmp_path, values)

    assert table.schema.field("c").type == kind
    assert table.schema.field("c").metadata is None
    assert table["c"].to_pylist() == stored


@pytest.mark.parametrize(
    "values",
    [
        [1, "1", None],
        [True, 1],
        [{"a": 1}, {"b": [1]}],
        [[1, 2], "x"],
        [2**63],
        [2**53 + 1, 0.5],
        ["\ud800", 1],
        ["late", *[None] * 300, 7],
    ],
)
def test_parquet_columns_of_several_kinds_are_json(tmp_path: Path, values: list[Any]) -> None:
    """Where the kinds differ, also far apart, all values are JSON text, and the field says so (promise 11)."""
    table = carried(tmp_path, values)

    assert table.schema.field("c").type == pa.string()
    assert table.schema.field("c").metadata == {b"promptmill": b"json"}
    assert [None if text is None else json.loads(text) for text in table["c"].to_pylist()] == values


def test_parquet_decimals_without_types_keep_their_digits(tmp_path: Path) -> None:
    """A decimal that no schema describes is JSON text, digit for digit (promise 11)."""
    assert carried(tmp_path, [Decimal("1.10"), None])["c"].to_pylist() == ["1.10", None]


@settings(deadline=None, max_examples=60)
@given(st.lists(json_values, max_size=12))
def test_parquet_takes_any_column(tmp_path_factory: pytest.TempPathFactory, values: list[Any]) -> None:
    """No mixture of JSON values makes the writer fail (fault 51)."""
    assert carried(tmp_path_factory.mktemp("parquet"), values).num_rows == len(values)


def test_parquet_keeps_the_types_of_the_input(tmp_path: Path) -> None:
    """Columns of a Parquet input come back with the type and the values they had (promise 11, fault 53)."""
    source = pa.table(
        {
            "decimal": pa.array([Decimal("1.10"), None], pa.decimal128(10, 2)),
            "large": pa.array(["a", "b"], pa.large_string()),
            "dictionary": pa.array(["x", "x"]).dictionary_encode(),
            "stamp": pa.array([datetime(2026, 1, 2, tzinfo=UTC), None], pa.timestamp("us", "UTC")),
            "day": pa.array([date(2026, 1, 2), None]),
            "clock": pa.array([time(1, 2), None], pa.time64("us")),
            "messages": pa.array([[{"role": "user", "content": "hi"}], None]),
            "map": pa.array([[("k", 1)], []], pa.map_(pa.string(), pa.int64())),
            "bytes": pa.array([b"\0", None]),
            "small": pa.array([1, None], pa.int8()),
            "list": pa.array([[1.5], []], pa.list_(pa.float32())),
            "uuid": pa.array([UUID(int=1).bytes, None], pa.uuid()),
            "null": pa.array([None, None], pa.null()),
        }
    )
    pq.write_table(source, tmp_path / "in.parquet")
    source = pq.read_table(tmp_path / "in.parquet")
    names = tuple(source.column_names)
    values = [column.to_pylist() for column in source.columns]
    values[names.index("uuid")] = [item and item.bytes for item in values[names.index("uuid")]]
    lines = [{"id": str(number), **{name: values[place][number] for place, name in enumerate(names)}} for number in range(2)]
    # A row that could not be read has no values.
    lines.append({"id": "2", **dict.fromkeys(names)})

    table = pq.read_table(write(tmp_path / "out.parquet", Layout(("id",), names, source.schema), lines))

    # A dictionary becomes its value type: with another dictionary in each row group no reader opened the file.
    plain = [kind.value_type if pa.types.is_dictionary(kind) else kind for kind in source.schema.types]
    assert table.drop_columns(["id"]).schema.types == plain
    assert table.drop_columns(["id"]).slice(0, 2).to_pylist() == source.to_pylist()
    assert set(table.slice(2).drop_columns(["id"]).to_pylist()[0].values()) == {None}


def test_parquet_own_columns(tmp_path: Path) -> None:
    """Promptmill's columns are typed: usage with its counts and the endpoint's own object, tool calls as JSON text."""
    own = ("id", "row", "completion", "tool_calls", "embedding", "usage", "cost_usd", "error")
    line = {
        "id": "\ud800",
        "row": 1,
        "completion": "\udfff",
        "tool_calls": [{"id": "x"}],
        "embedding": [1, 0.5],
        "usage": {"prompt_tokens": 3, "completion_tokens": "?", "total_tokens": 2**70, "more": {"cached": 1}},
        "cost_usd": 0,
        "error": {"kind": "api", "code": "quota", "message": "m", "http_status": None},
    }
    path = write(tmp_path / "x.parquet", Layout(own, vector_size=2), [line, dict.fromkeys(own)])

    first, second = pq.read_table(path).to_pylist()
    usage = first.pop("usage")
    assert json.loads(usage.pop("json"))["more"] == {"cached": 1}
    assert usage == {"prompt_tokens": 3, "completion_tokens": None, "total_tokens": None}
    del line["usage"]
    assert first == {**line, "id": "\ufffd", "completion": "\ufffd", "tool_calls": '[{"id":"x"}]'}
    assert set(second.values()) == {None}


def test_parquet_row_groups_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines leave memory row group by row group, by their number or their size (promise 8)."""
    monkeypatch.setattr(parquet_module, "_GROUP_ROWS", 10)
    monkeypatch.setattr(parquet_module, "_GROUP_BYTES", 5000)
    small = [{"id": str(number)} for number in range(35)]
    large = [{"id": "x" * 4000} for _ in range(6)]

    metadata = pq.read_metadata(write(tmp_path / "x.parquet", Layout(("id",)), [*small, *large]))

    assert [metadata.row_group(number).num_rows for number in range(metadata.num_row_groups)] == [10, 10, 10, 8, 2, 1]


def test_killed_while_a_parquet_file_is_written(tmp_path: Path) -> None:
    """SIGKILL in the middle leaves the old file whole, and the next derivation replaces it (promise 11, faults 44, 59)."""
    path = write(tmp_path / "x.parquet", Layout(("id",), ("c",)), [{"id": "old", "c": 1}])
    code = (
        "import os, signal, sys; from pathlib import Path; from batch.writers import Layout, open_writer\n"
        "with open_writer('parquet', Path(sys.argv[1]), Layout(('id',), ('c',))) as writer:\n"
        "    for number in range(1000): writer.write([{'id': str(number), 'c': number}])\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    killed = subprocess.run([sys.executable, "-c", code, str(path)], check=False)

    assert killed.returncode == -9
    assert pq.read_table(path)["id"].to_pylist() == ["old"]
    write(path, Layout(("id",), ("c",)), [{"id": "new", "c": 1}])
    assert pq.read_table(path)["id"].to_pylist() == ["new"]
    assert list(tmp_path.iterdir()) == [path]


def test_the_buffer_file_is_freed(tmp_path: Path) -> None:
    """A writer that is abandoned leaves no open file behind."""
    with replace_atomically(tmp_path / "x.parquet") as file:
        writer = parquet_module.open_lines(file, Layout(("id",), ("c",)), tmp_path)
        writer.abandon()
        assert isinstance(writer, parquet_module.InferredLines)
        assert writer._buffer.closed
