"""Columns of every Arrow type, as pyarrow, pandas and polars write them, carried over to each output format and read back."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from batch.app.stored import stored_run
from batch.errors import StorageError
from batch.results.outputs import export
from batch.results.verify import verify
from batch.settings import InputSettings, OutputFormat
from tests.support.files import arrays, types
from tests.support.runs import FinishedRun
from tests.support.stores import outcome

ROWS = 5
EXAMPLES = 60
LONG = 1500


def pyarrow_parquet(table: pa.Table, path: Path) -> Path:
    """One row group every two rows."""
    pq.write_table(table, path.with_suffix(".parquet"), row_group_size=2)
    return path.with_suffix(".parquet")


def arrow_file(table: pa.Table, path: Path) -> Path:
    """An Arrow file of batches of two rows."""
    with pa.ipc.new_file(path.with_suffix(".arrow"), table.schema) as writer:
        writer.write_table(table, max_chunksize=2)
    return path.with_suffix(".arrow")


def arrow_stream(table: pa.Table, path: Path) -> Path:
    """A stream, as the cache of Hugging Face's datasets."""
    with pa.ipc.new_stream(path.with_suffix(".arrow"), table.schema) as writer:
        writer.write_table(table, max_chunksize=2)
    return path.with_suffix(".arrow")


def pandas_parquet(table: pa.Table, path: Path) -> Path:
    """What pandas makes of it."""
    table.to_pandas().to_parquet(path.with_suffix(".parquet"))
    return path.with_suffix(".parquet")


def polars_arrow(table: pa.Table, path: Path) -> Path:
    """What polars makes of it, with its views and categories."""
    pl.from_arrow(table).write_ipc(path.with_suffix(".arrow"))
    return path.with_suffix(".arrow")


def polars_parquet(table: pa.Table, path: Path) -> Path:
    """What polars makes of it."""
    pl.from_arrow(table).write_parquet(path.with_suffix(".parquet"))
    return path.with_suffix(".parquet")


WRITERS = (pyarrow_parquet, arrow_file, arrow_stream, pandas_parquet, polars_arrow, polars_parquet)


def read_arrow(path: Path) -> pa.Table:
    """The columns that the input has."""
    if path.suffix == ".parquet":
        return pq.ParquetFile(path).read()
    try:
        return pa.ipc.open_file(path).read_all()
    except pa.ArrowInvalid:
        return pa.ipc.open_stream(path).read_all()


def carried_over(folder: Path, paths: Sequence[Path], format_: OutputFormat, columns: Sequence[str] = ("c",)) -> Path:
    """The completions of a run over these files, that `verify` finds sound."""
    count = sum(read_arrow(path).num_rows for path in paths)
    run = FinishedRun(folder, [], {"v": [outcome(n) for n in range(count)]}, columns=columns, output_format=format_)
    job = replace(run.job, input=InputSettings(paths=tuple(map(str, paths))))
    stored = stored_run(run.directory, job)
    (path, _) = export(stored, format_)
    found = verify(stored)
    assert (found.sound, found.complete) == (True, True), found
    return Path(path)


def plain(value: Any) -> Any:
    """A value whose repr is that of an equal one: dictionaries as lists of pairs, instants in UTC."""
    if isinstance(value, dict):
        return [(key, plain(item)) for key, item in value.items()]
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value.astimezone(UTC) if isinstance(value, datetime) and value.tzinfo is not None else value


def has_polars_twin(kind: pa.DataType) -> bool:
    """Whether polars gives the same Python values for a type: not for maps, decimals, and times with zones or nanoseconds."""
    if pa.types.is_nested(kind):
        return not pa.types.is_map(kind) and all(has_polars_twin(kind.field(n).type) for n in range(kind.num_fields))
    simple = (
        pa.types.is_integer,
        pa.types.is_boolean,
        pa.types.is_string,
        pa.types.is_large_string,
        pa.types.is_binary,
        pa.types.is_date32,
    )
    return any(is_simple(kind) for is_simple in simple) or kind in (pa.float32(), pa.float64(), pa.timestamp("us"), pa.timestamp("ms"))


def check_column(folder: Path, kind: pa.DataType, column: pa.Array, write: Callable[[pa.Table, Path], Path]) -> None:
    """Write it, carry it over in each format, read that back by pyarrow and polars."""
    table = pa.table({"text": [f"t{n}" for n in range(len(column))], "c": column})
    try:
        path = write(table, folder / "in")
        source = read_arrow(path)["c"]
    except (
        pa.ArrowException,
        pl.exceptions.PolarsError,
        pl.exceptions.PanicException,
        NotImplementedError,
        TypeError,
        ValueError,
        OverflowError,
    ):
        return  # that library cannot write such a column
    expected = source.to_pylist()

    completions = carried_over(folder, [path], "parquet")
    found = pq.read_table(completions)
    assert pl.read_parquet(completions).height == len(column)
    if found.schema.field("c").metadata:
        assert pa.types.is_union(kind) or pa.types.is_interval(kind) or pa.types.is_nested(kind) or pa.types.is_decimal256(kind), kind
        assert [text is None for text in found["c"].to_pylist()] == [value is None for value in expected]
    else:
        assert repr(plain(found["c"].to_pylist())) == repr(plain(expected)), kind
        if has_polars_twin(found.schema.field("c").type):
            assert repr(plain(pl.read_parquet(completions)["c"].to_list())) == repr(plain(expected)), kind

    lines = [orjson.loads(line) for line in carried_over(folder, [path], "jsonl").read_bytes().splitlines()]
    with carried_over(folder, [path], "csv").open(newline="", encoding="utf-8") as file:
        cells = [record["c"] for record in csv.DictReader(file)]
    assert len(lines) == len(cells) == len(column)
    if pa.types.is_integer(kind) or pa.types.is_boolean(kind) or pa.types.is_string(kind):
        assert [line["c"] for line in lines] == expected
    if pa.types.is_integer(kind):
        assert [int(cell) if cell else None for cell in cells] == expected


@settings(deadline=None, max_examples=EXAMPLES, suppress_health_check=list(HealthCheck), print_blob=True)
@given(data=st.data())
def test_any_column_is_carried_over(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """Whatever type a column has and which library wrote it: equal values, in files that pyarrow and polars open (fault 71)."""
    kind = data.draw(types())
    check_column(tmp_path_factory.mktemp("run"), kind, data.draw(arrays(kind, ROWS)), data.draw(st.sampled_from(WRITERS)))


@pytest.mark.long
@settings(deadline=None, max_examples=LONG, suppress_health_check=list(HealthCheck), print_blob=True)
@given(data=st.data())
def test_any_column_is_carried_over_long(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """The same, with as many examples as find rare types (fault 71)."""
    kind = data.draw(types())
    check_column(tmp_path_factory.mktemp("run"), kind, data.draw(arrays(kind, ROWS)), data.draw(st.sampled_from(WRITERS)))


@settings(deadline=None, max_examples=EXAMPLES, suppress_health_check=list(HealthCheck), print_blob=True)
@given(data=st.data())
def test_a_column_may_differ_in_each_file(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """Two files whose column has two types give one readable file; another column beside it keeps its type (fault 71)."""
    folder = tmp_path_factory.mktemp("run")
    paths, expected = [], 0
    for number in range(2):
        kind = data.draw(types())
        columns = {"text": ["x"] * ROWS, "c": data.draw(arrays(kind, ROWS)), "at": pa.array([number] * ROWS, pa.timestamp("ns", "UTC"))}
        paths.append(arrow_file(pa.table(columns), folder / f"in-{number}"))
        expected += ROWS - sum(value is None for value in columns["c"].to_pylist())  # type: ignore[attr-defined]

    completions = carried_over(folder, paths, "parquet", ("c", "at"))

    table = pq.read_table(completions)
    assert pl.read_parquet(completions).height == 2 * ROWS
    assert table.num_rows - table["c"].null_count == expected
    assert table["at"].type == pa.timestamp("ns", "UTC")
    assert table["at"].cast(pa.int64()).to_pylist() == [0] * ROWS + [1] * ROWS


def test_integers_beside_fractions_stay_exact(tmp_path: Path) -> None:
    """int64 in one file and double in another become doubles while that is exact, else JSON text, digit for digit (promise 11)."""
    for name, big, stored in (("small", 1 << 53, [float(1 << 53), 0.5]), ("large", (1 << 53) + 1, [str((1 << 53) + 1), "0.5"])):
        folder = tmp_path / name
        folder.mkdir()
        paths = [pyarrow_parquet(pa.table({"text": ["x"], "c": [value]}), folder / f"in-{n}") for n, value in enumerate((big, 0.5))]
        assert pq.read_table(carried_over(folder, paths, "parquet"))["c"].to_pylist() == stored


def test_categories_of_several_files_are_one_column(tmp_path: Path) -> None:
    """Pandas' and polars' categories, which have another dictionary in each file, become text that every reader opens (fault 71)."""
    first = pd.DataFrame({"text": ["a", "b"], "c": pd.Categorical(["x", "y"])})
    first.to_parquet(tmp_path / "a.parquet")
    pl.DataFrame({"text": ["a", "b"], "c": ["z", None]}, schema_overrides={"c": pl.Categorical}).write_parquet(tmp_path / "b.parquet")

    completions = carried_over(tmp_path, [tmp_path / "a.parquet", tmp_path / "b.parquet"], "parquet")

    assert pl.read_parquet(completions)["c"].to_list() == ["x", "y", "z", None]
    assert pd.read_parquet(completions)["c"].to_list()[:3] == ["x", "y", "z"]


def test_a_file_that_does_not_read_back_is_not_put_in_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a library writes wrongly is seen before the old file is replaced: the column becomes JSON text (fault 71)."""
    path = pyarrow_parquet(pa.table({"text": ["x"] * 3, "c": [1, 2, 3]}), tmp_path / "in")
    real = pq.ParquetWriter.write_table

    def wrong(self: pq.ParquetWriter, table: pa.Table, row_group_size: int | None = None) -> None:
        if "c" in table.schema.names and pa.types.is_integer(table.schema.field("c").type):
            table = table.set_column(table.schema.get_field_index("c"), table.schema.field("c"), pa.array([0] * table.num_rows))
        real(self, table, row_group_size)

    monkeypatch.setattr(pq.ParquetWriter, "write_table", wrong)

    assert pq.read_table(carried_over(tmp_path, [path], "parquet"))["c"].to_pylist() == ["1", "2", "3"]


def test_what_a_library_raises_names_file_and_way_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An exception that nothing foresaw leaves the old outputs and says which file and what to give next (fault 71)."""
    path = pyarrow_parquet(pa.table({"text": ["x"], "c": [1]}), tmp_path / "in")
    before = carried_over(tmp_path, [path], "parquet").read_bytes()

    def refuse(*_: object, **__: object) -> None:
        raise RuntimeError("thrift")

    monkeypatch.setattr(pq.ParquetWriter, "write_table", refuse)
    with pytest.raises(StorageError, match=r"completions\.parquet: cannot be written as parquet: RuntimeError: thrift.*--format jsonl"):
        carried_over(tmp_path, [path], "parquet")
    assert (tmp_path / "run" / "completions.parquet").read_bytes() == before


def nan_table() -> pa.Table:
    """NaN alone, in lists, in structs and in maps."""
    nan = float("nan")
    return pa.table(
        {
            "text": ["x", "y"],
            "a": pa.array([nan, None]),
            "b": pa.array([[nan, 1.0], None]),
            "c": pa.array([{"f": nan}, {"f": None}]),
            "d": pa.array([[("k", nan)], []], pa.map_(pa.string(), pa.float64())),
            "e": pa.array([[nan, 1.0], None], pa.list_(pa.float32(), 2)),
        }
    )


def test_verify_takes_nan_for_nan(tmp_path: Path) -> None:
    """A right file is sound wherever NaN stands in it; another value in its place is found, with its line."""
    path = pyarrow_parquet(nan_table(), tmp_path / "in")
    completions = carried_over(tmp_path, [path], "parquet", ("a", "b", "c", "d", "e"))

    table = pq.read_table(completions)
    other = pa.array([[("k", 2.0)], []], table.schema.field("d").type)
    pq.write_table(table.set_column(table.schema.get_field_index("d"), table.schema.field("d"), other), completions)

    run = FinishedRun(tmp_path, [], {"v": []}, columns=("a", "b", "c", "d", "e"), output_format="parquet")
    job = replace(run.job, input=InputSettings(paths=(str(path),)))
    (fault,) = verify(stored_run(run.directory, job)).outputs
    assert "completions.parquet: differs from the journal from line 1 on" in fault


def test_a_wide_csv_cell_is_written(tmp_path: Path) -> None:
    """A cell of several megabytes is no limit for the writer or its check."""
    path = pyarrow_parquet(pa.table({"text": ["x"], "c": ["w" * 3_000_000]}), tmp_path / "in")
    text = carried_over(tmp_path, [path], "csv").read_text()
    assert len(next(iter(csv.reader(io.StringIO(text[:200]))))) == 14
    assert len(text) > 3_000_000
