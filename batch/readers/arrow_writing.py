"""Write streams of Arrow batches into a file that the reader of Arrow files takes: rows that are given to a run, or made by a query."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow as pa

from batch.errors import InputError
from batch.readers.parquet import check_names, portions
from batch.readers.values import as_value_types, value_types

_BATCH_ROWS = 16_384


def write_stream(reader: pa.RecordBatchReader, path: Path) -> Path:
    """Write all batches of `reader` to `path`, packed; dictionaries as their values. Raises InputError, OSError."""
    try:
        schema = pa.schema([pa.field(field.name, value_types(field.type), metadata=field.metadata) for field in reader.schema])
        check_names("rows", schema)
        options = pa.ipc.IpcWriteOptions(compression="zstd")
        with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, schema, options=options) as writer:
            for batch in portions(reader, _BATCH_ROWS):
                arrays = [as_value_types(column, field.type) for column, field in zip(batch.columns, schema, strict=True)]
                writer.write_batch(pa.record_batch(arrays, schema=schema))
    except pa.ArrowException as error:
        raise InputError(f"rows: cannot be read: {error}") from error
    return path


def stream_of(rows: Any) -> pa.RecordBatchReader:
    """Return the batches of an object with one of Arrow's C interfaces. Raises InputError."""
    try:
        if hasattr(rows, "__arrow_c_stream__"):
            return pa.RecordBatchReader.from_stream(rows)
        batch = pa.record_batch(rows)
    except (pa.ArrowException, TypeError, ValueError) as error:
        raise InputError(f"rows: cannot be read: {error}") from error
    return pa.RecordBatchReader.from_batches(batch.schema, [batch])


def stream_of_tables(tables: Iterable[pa.Table]) -> pa.RecordBatchReader:
    """Return the batches of tables of one schema."""
    tables = iter(tables)
    first = next(tables, None)
    if first is None:
        return pa.RecordBatchReader.from_batches(pa.schema([]), [])
    # Metadata that describes features is of no use in rows.
    schema = first.schema.remove_metadata()
    return pa.RecordBatchReader.from_batches(schema, _batches(chain([first], tables), schema))


def stream_of_pandas(frame: Any) -> pa.RecordBatchReader:
    """Return the batches of a data frame of pandas, without its index. Raises InputError."""
    try:
        return pa.Table.from_pandas(_dense(frame), preserve_index=False).replace_schema_metadata(None).to_reader()
    except (pa.ArrowException, TypeError, ValueError) as error:
        raise InputError(f"rows: {'; '.join(map(str, error.args))}; give each column values of one type") from error


def _dense(frame: Any) -> Any:
    """Return a data frame without sparse columns, which Arrow does not take."""
    sparse = [name for name, kind in frame.dtypes.items() if type(kind).__name__ == "SparseDtype"]
    return frame.astype({name: frame.dtypes[name].subtype for name in sparse}) if sparse else frame


def stream_of_parts(parts: Sequence[Any]) -> pa.RecordBatchReader:
    """Return the batches of several objects with Arrow's C interfaces, one after the other. Raises InputError."""
    streams = [stream_of(part) for part in parts]
    schema = streams[0].schema
    if any(stream.schema != schema for stream in streams):
        raise InputError("rows: the tables in the list have different columns")
    return pa.RecordBatchReader.from_batches(schema, chain.from_iterable(streams))


def stream_of_dicts(rows: Sequence[Mapping[str, Any]]) -> pa.RecordBatchReader:
    """Return the batches of dicts, their columns typed by all values. Raises InputError for values of several types."""
    names = dict.fromkeys(name for row in rows for name in row)
    arrays = []
    for name in names:
        try:
            arrays.append(pa.array([row.get(name) for row in rows]))
        except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
            raise InputError(f"rows: the column {name!r} has no one type: {error}") from error
    return pa.table(arrays, names=list(names)).to_reader()


def _batches(tables: Iterable[pa.Table], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    for table in tables:
        yield from table.cast(schema).to_batches()
