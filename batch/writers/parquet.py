"""Derived files as Parquet: promptmill's own columns typed, carried-over ones with the input's own types.

Where the input has no types (JSONL, CSV), a carried-over column gets the type that all its values have: text, bool, int64, or double
(also for integers and fractions together). Anything else (objects, lists, decimals, values of several kinds, integers beyond 64 bits)
becomes JSON text, and the field's metadata says {"promptmill": "json"}. The types are known only after the last line, so lines are
buffered in an unnamed file until then.
"""

from __future__ import annotations

import json
import math
import tempfile
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import IO, Any, BinaryIO

import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from batch.writers import Layout, UnfitColumnError
from batch.writers.arrow_types import JSON_TEXT, same, settle_field
from batch.writers.own_columns import array_of, own_arrays, own_fields, values_of
from batch.writers.parquet_difference import first_difference
from batch.writers.values import clean, json_bytes

__all__ = ["InferredLines", "TypedLines", "first_difference", "open_lines"]

# A row group ends at the first of the two: until then it is in memory, and readers load it whole.
_GROUP_ROWS = 1 << 16
_GROUP_BYTES = 64 << 20
_SAMPLE_ROWS, _SAMPLE_BYTES = 4, 1 << 20
# Beyond it a double skips integers.
_EXACT_IN_DOUBLE = 1 << 53
_INT64 = 1 << 63
# Numbers that JSON cannot spell; the buffer has them as Arrow's casts read them.
_NO_JSON = pa.array(["nan", "inf", "-inf"])


class TypedLines:
    """Write lines of known column types, row group by row group."""

    def __init__(self, file: BinaryIO, own: Sequence[pa.Field], carried: Sequence[pa.Field]) -> None:
        self._own = own
        self.carried = carried
        self._schema = pa.schema([*own, *carried])
        self._writer = pq.ParquetWriter(file, self._schema, compression="zstd")
        self._batches: list[pa.RecordBatch] = []
        self._rows = self._bytes = 0
        self._written = self._groups = 0
        self._samples: dict[int, bytes] = {}

    def write(self, lines: Sequence[Mapping[str, Any]], carried: Sequence[pa.Array] | None = None) -> None:
        """Add lines, with their carried-over columns as arrays of the types of `carried`, or in the lines. Raises UnfitColumnError."""
        if lines:
            if carried is None:
                carried = [array_of(field, values_of(field, lines)) for field in self.carried]
            self.add([*own_arrays(self._own, lines), *carried])

    def add(self, arrays: Sequence[pa.Array]) -> None:
        """Add lines given as columns."""
        batch = pa.record_batch(arrays, schema=self._schema)
        self._batches.append(batch)
        self._rows += batch.num_rows
        self._bytes += batch.nbytes
        if self._rows >= _GROUP_ROWS or self._bytes >= _GROUP_BYTES:
            self._flush()

    def close(self) -> None:
        """Write the last row group and the footer."""
        self._flush()
        self._writer.close()

    def check(self, path: Path) -> None:
        """Read back metadata, schema, and the first rows of the first and the last row group. Raises UnfitColumnError, ValueError."""
        with pq.ParquetFile(path) as file:
            if file.metadata.num_rows != self._written:
                raise ValueError(f"it has {file.metadata.num_rows:,} rows, not {self._written:,}")
            for field, found in zip(self._schema, file.schema_arrow, strict=True):
                if (found.name, found.type) != (field.name, field.type):
                    raise UnfitColumnError(field.name, f"{field.type} reads back as {found.type}")
            for group, sample in self._samples.items():
                self._compare(file, group, pa.ipc.open_stream(sample).read_next_batch())

    def _compare(self, file: pq.ParquetFile, group: int, sample: pa.RecordBatch) -> None:
        try:
            found = next(file.iter_batches(sample.num_rows, row_groups=[group]))
        except (OSError, pa.ArrowException) as error:
            raise ValueError(f"row group {group} cannot be read: {error}") from error
        for name, mine, theirs in zip(self._schema.names, sample.columns, found.columns, strict=True):
            if not same(mine, theirs):
                raise UnfitColumnError(name, "it does not read back as it was written")

    def abandon(self) -> None:
        """Close Arrow's writer on a file that will be discarded."""
        with suppress(OSError, pa.ArrowException):
            self._writer.close()

    def _flush(self) -> None:
        if self._batches:
            # Before the batches go: what is read back is compared with it.
            self._keep_sample(self._batches[0])
            table = pa.Table.from_batches(self._batches, self._schema)
            self._writer.write_table(table, row_group_size=table.num_rows)
            self._written += table.num_rows
            self._groups += 1
        self._batches = []
        self._rows = self._bytes = 0

    def _keep_sample(self, batch: pa.RecordBatch) -> None:
        """Keep the first rows of the first and of the newest row group, as bytes: a slice would keep the whole batch in memory."""
        rows = _SAMPLE_ROWS if batch.nbytes < _SAMPLE_BYTES else 1
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, batch.schema) as stream:
            stream.write_batch(batch.slice(0, rows))
        self._samples = {group: sample for group, sample in self._samples.items() if group == 0}
        self._samples[self._groups] = sink.getvalue().to_pybytes()


class InferredLines:
    """Write lines whose carried-over columns have no types: buffers them as JSON text until all values were seen."""

    def __init__(self, file: BinaryIO, layout: Layout, folder: Path) -> None:
        self._file = file
        self._layout = layout
        self._seen: dict[str, _Seen] = defaultdict(_Seen)
        self._typed: TypedLines | None = None
        self._own = own_fields(layout)
        schema = pa.schema([*self._own, *(pa.field(name, pa.string()) for name in layout.carried)])
        # In the run directory, whose disk has room for outputs; /tmp may be in memory.
        self._buffer: IO[bytes] = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - closed by close and abandon
        self._stream = pa.ipc.new_stream(self._buffer, schema)

    def write(self, lines: Sequence[Mapping[str, Any]]) -> None:
        """Add lines."""
        if not lines:
            return
        arrays = own_arrays(self._own, lines)
        for name in self._layout.carried:
            values = [line[name] for line in lines]
            self._seen[name].add(values)
            arrays.append(pa.array([None if value is None else _json_text(value) for value in values], pa.string()))
        self._stream.write_batch(pa.record_batch(arrays, names=list(self._layout.columns)))

    def close(self) -> None:
        """Write the buffered lines with the types that fit their values."""
        self._stream.close()
        self._buffer.seek(0)
        as_json = self._layout.as_json
        carried = [self._seen[name].field(name, as_json=name in as_json) for name in self._layout.carried]
        self._typed = typed = TypedLines(self._file, self._own, carried)
        for batch in pa.ipc.open_stream(self._buffer):
            typed.add([*batch.columns[: len(self._own)], *map(_from_json, batch.columns[len(self._own) :], carried)])
        typed.close()
        self._buffer.close()

    def check(self, path: Path) -> None:
        """Read back as TypedLines does. Raises UnfitColumnError, ValueError."""
        if self._typed is not None:
            self._typed.check(path)

    def abandon(self) -> None:
        """Free the disk space."""
        if self._typed is not None:
            self._typed.abandon()
        self._buffer.close()


class _Seen:
    """The kinds of JSON values seen in a column."""

    def __init__(self) -> None:
        self._types: set[type] = set()
        self._largest = 0

    def add(self, values: Sequence[Any]) -> None:
        types = set(map(type, values))
        if int in types:
            self._largest = max(self._largest, *(abs(value) for value in values if type(value) is int))
        self._types |= types

    def field(self, name: str, *, as_json: bool) -> pa.Field:
        kinds = {_KINDS.get(kind, "text") for kind in self._types - {type(None)}} if not as_json else {"json"}
        if kinds <= {"text"}:
            return pa.field(name, pa.string())
        if kinds == {"bool"}:
            return pa.field(name, pa.bool_())
        if kinds == {"int"} and self._largest < _INT64:
            return pa.field(name, pa.int64())
        if kinds <= {"int", "float"} and self._largest <= _EXACT_IN_DOUBLE:
            return pa.field(name, pa.float64())
        return pa.field(name, pa.string(), metadata=JSON_TEXT)


_KINDS = {bool: "bool", int: "int", float: "float", dict: "json", list: "json", tuple: "json", Decimal: "json"}


def open_lines(file: BinaryIO, layout: Layout, folder: Path) -> TypedLines | InferredLines:
    """Make a writer to `file`; buffers lines in `folder` where types must be inferred."""
    if layout.carried and layout.types is None:
        return InferredLines(file, layout, folder)
    return TypedLines(file, own_fields(layout), [_settled(layout, name) for name in layout.carried])


def _settled(layout: Layout, name: str) -> pa.Field:
    """Return the field of a carried-over column: text where no file has the column."""
    place = -1 if layout.types is None else layout.types.get_field_index(name)
    if layout.types is None or place < 0:
        return pa.field(name, pa.string())
    field = layout.types.field(place)
    settled = field.metadata is not None and b"promptmill" in field.metadata
    return field if settled else settle_field(name, [field.type], as_json=name in layout.as_json)


def _json_text(value: Any) -> bytes | None:
    """Encode a value for the buffer; NaN and infinities as Arrow's casts spell them, which is no JSON."""
    if type(value) is float and not math.isfinite(value):
        return str(value).encode()
    text = json_bytes(value)
    return None if text == b"null" else text


def _from_json(texts: pa.Array, field: pa.Field) -> pa.Array:
    if not pa.types.is_string(field.type):
        return texts.cast(field.type)
    if field.metadata is not None:
        return pc.replace_with_mask(texts, pc.fill_null(pc.is_in(texts, _NO_JSON), False), pa.scalar(None, texts.type))
    return pa.array([None if text is None else _text(text) for text in texts.to_pylist()], pa.string())


def _text(text: str) -> str:
    try:
        return str(orjson.loads(text))
    except orjson.JSONDecodeError:
        return clean(json.loads(text))
