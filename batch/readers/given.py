"""Rows that a Python program gives: dicts, or anything with Arrow's C stream interface. Written to a file, which is then the input.

Dicts whose values are JSON's are written as JSON lines, exact in every digit; all else keeps its Arrow types. The interface:
https://arrow.apache.org/docs/format/CDataInterface/PyCapsuleInterface.html
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from batch.errors import InputError
from batch.readers.jsonl import exact_value
from batch.readers.plain_values import plain, row_of

if TYPE_CHECKING:
    import pyarrow as pa

_KINDS = "a list of dicts, an Arrow table or reader, a data frame of pandas or polars, or a Dataset"
_BATCH_ROWS = 1000


def write_rows(rows: Any, folder: Path) -> Path:
    """Write `rows` into a new file in `folder`; returns its path. A reader or generator is read to its end.

    Raises:
        InputError: they are no rows, or have a value that neither JSON nor Arrow takes.
        OSError: the disk refuses.
    """
    _check_kind(rows)
    if isinstance(rows, str | bytes | Path | Mapping):
        raise InputError(f"rows: must be {_KINDS}, not {type(rows).__name__}; files are named in [input] path")
    reader = _reader(rows)
    if reader is not None:
        from batch.readers.arrow_writing import write_stream  # pyarrow: plain dicts do without

        return write_stream(reader, folder / "rows.arrow")
    if not isinstance(rows, Iterable):
        raise InputError(f"rows: must be {_KINDS}, not {type(rows).__name__}")
    return _write_dicts(rows, folder)


def row_dicts(rows: Any) -> Iterator[Mapping[str, Any]]:
    """Iterate over rows as dicts, whatever they are given as. Raises InputError for what are no rows."""
    if isinstance(rows, str | bytes | Path | Mapping):
        raise InputError(f"rows: must be {_KINDS}, not {type(rows).__name__}; files are named in [input] path")
    reader = _reader(rows)
    if reader is not None:
        for batch in reader:
            yield from batch.to_pylist()
        return
    if not isinstance(rows, Iterable):
        raise InputError(f"rows: must be {_KINDS}, not {type(rows).__name__}")
    yield from _checked(rows)


def _reader(rows: Any) -> pa.RecordBatchReader | None:
    """Return a stream of Arrow batches of `rows`; None for dicts."""
    home = type(rows).__module__.partition(".")[0]
    if home == "datasets" and hasattr(rows, "with_format"):
        from batch.readers.arrow_writing import stream_of_tables

        # In this format it makes tables, of the rows that were selected or shuffled and not of all that lie beneath.
        return stream_of_tables(rows.with_format("arrow").iter(batch_size=_BATCH_ROWS))
    if home in ("pandas", "geopandas") and hasattr(rows, "columns"):
        from batch.readers.arrow_writing import stream_of_pandas

        return stream_of_pandas(rows)
    if home == "polars" and hasattr(rows, "collect"):
        rows = rows.collect()
    # A dataset of Arrow's is a plan to read files.
    if home == "pyarrow" and hasattr(rows, "scanner"):
        rows = rows.scanner()
    if home == "pyarrow" and hasattr(rows, "to_reader"):
        rows = rows.to_reader()
    if _is_arrow(rows):
        from batch.readers.arrow_writing import stream_of

        return stream_of(rows)
    if isinstance(rows, list | tuple) and rows and all(map(_is_arrow, rows)):
        from batch.readers.arrow_writing import stream_of_parts

        return stream_of_parts(rows)
    return None


def _is_arrow(rows: Any) -> bool:
    return hasattr(rows, "__arrow_c_stream__") or hasattr(rows, "__arrow_c_array__")


def _check_kind(rows: Any) -> None:
    """Refuse what looks like rows and is none. Raises InputError."""
    name, home = type(rows).__name__, type(rows).__module__.partition(".")[0]
    if home in ("pandas", "polars") and name == "Series" and str(getattr(rows, "dtype", "")).partition("(")[0] != "Struct":
        raise InputError("rows: a Series is one column; a data frame has its name: rows=series.to_frame()")
    if name in ("DatasetDict", "IterableDatasetDict"):
        raise InputError(f"rows: a {name} has several splits; choose one: rows=dataset['train']")
    if home == "polars" and hasattr(rows, "collect_schema"):
        for column, kind in rows.collect_schema().items():
            if str(kind) == "Object":
                raise InputError(f"rows: the column {column!r} has Python objects, which are in no file; give it another type")


def _write_dicts(rows: Iterable[Any], folder: Path) -> Path:
    path = folder / "rows.jsonl"
    remaining = _checked(rows)
    with path.open("w+b") as file:
        for row in remaining:
            if not _is_json(row):
                file.seek(0)
                before = [exact_value(line) for line in file]
                return _write_typed([*before, row, *remaining], folder)
            file.write(_line(row) + b"\n")
    return path


def _write_typed(rows: Sequence[Mapping[str, Any]], folder: Path) -> Path:
    from batch.readers.arrow_writing import stream_of_dicts, write_stream

    return write_stream(stream_of_dicts(rows), folder / "rows.arrow")


def _checked(rows: Iterable[Any]) -> Iterator[dict[str, Any]]:
    for number, given in enumerate(rows):
        row = row_of(given)
        if row is None:
            raise InputError(f"rows: row {number} is {type(given).__name__}, not a dict; rows must be {_KINDS}")
        if odd := [name for name in row if not isinstance(name, str)]:
            raise InputError(f"rows: row {number} has a column named {odd[0]!r}; names must be text")
        yield {name: plain(value) for name, value in row.items()}


def _line(row: dict[str, Any]) -> bytes:
    try:
        return orjson.dumps(row)
    # It refuses integers beyond 64 bits and lone surrogates, which JSON has.
    except TypeError:
        return json.dumps(row, separators=(",", ":")).encode()


def _is_json(value: Any) -> bool:
    """Whether JSON has this value; a subclass of its types, as of str, may have more."""
    kind = type(value)
    if kind in (str, int, bool, type(None)):
        return True
    if kind is float:
        return math.isfinite(value)
    if kind is dict:
        return all(type(name) is str for name in value) and all(map(_is_json, value.values()))
    return kind in (list, tuple) and all(map(_is_json, value))
