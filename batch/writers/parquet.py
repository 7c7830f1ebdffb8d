"""Derived files as Parquet: promptmill's own columns typed, carried-over ones with the input's own types.

Where the input has no types (JSONL, CSV), a carried-over column gets the type that all its values have: text, bool, int64, or double
(also for integers and fractions together). Anything else (objects, lists, decimals, values of several kinds, integers beyond 64 bits)
becomes JSON text, and the field's metadata says {"promptmill": "json"}. The types are known only after the last line, so lines are
buffered in an unnamed file until then.
"""

from __future__ import annotations

import json
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from decimal import Decimal
from itertools import zip_longest
from pathlib import Path
from typing import IO, Any, BinaryIO

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from batch.writers import Layout
from batch.writers.values import clean, json_bytes

_GROUP_ROWS = 1 << 16
_GROUP_BYTES = 64 << 20
_EXACT_IN_DOUBLE = 1 << 53
_INT64 = 1 << 63

_COUNTS = ("prompt_tokens", "completion_tokens", "total_tokens")
_USAGE = pa.struct([*((name, pa.int64()) for name in _COUNTS), ("json", pa.string())])
_OWN_TYPES: Mapping[str, pa.DataType] = {
    "id": pa.string(),
    "row": pa.int64(),
    "variant": pa.string(),
    "repeat": pa.int64(),
    "completion": pa.string(),
    "tool_calls": pa.string(),
    "reasoning": pa.string(),
    "embedding": pa.list_(pa.float64()),
    "finish_reason": pa.string(),
    "usage": _USAGE,
    "attempts": pa.int64(),
    "latency_s": pa.float64(),
    "first_token_s": pa.float64(),
    "cost_usd": pa.float64(),
    "error": pa.struct([("kind", pa.string()), ("code", pa.string()), ("message", pa.string()), ("http_status", pa.int64())]),
}


class TypedLines:
    """Write lines of known column types, row group by row group."""

    def __init__(self, file: BinaryIO, own: Sequence[pa.Field], carried: Sequence[pa.Field]) -> None:
        self._own = own
        self._carried = carried
        self._schema = pa.schema([*own, *carried])
        self._writer = pq.ParquetWriter(file, self._schema, compression="zstd")
        self._batches: list[pa.RecordBatch] = []
        self._rows = self._bytes = 0

    def write(self, lines: Sequence[Mapping[str, Any]]) -> None:
        """Add lines."""
        if lines:
            carried = [_array(_column(field, lines), field.type) for field in self._carried]
            self.add([*_own_arrays(self._own, lines), *carried])

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

    def abandon(self) -> None:
        """Close Arrow's writer on a file that will be discarded."""
        with suppress(OSError):
            self._writer.close()

    def _flush(self) -> None:
        if self._batches:
            self._writer.write_table(pa.Table.from_batches(self._batches, self._schema), row_group_size=_GROUP_ROWS)
        self._batches = []
        self._rows = self._bytes = 0


class InferredLines:
    """Write lines whose carried-over columns have no types: buffers them as JSON text until all values were seen."""

    def __init__(self, file: BinaryIO, layout: Layout, folder: Path) -> None:
        self._file = file
        self._layout = layout
        self._seen: dict[str, _Seen] = defaultdict(_Seen)
        self._typed: TypedLines | None = None
        self._own = [pa.field(name, _OWN_TYPES[name]) for name in layout.own]
        schema = pa.schema([*self._own, *(pa.field(name, pa.string()) for name in layout.carried)])
        self._buffer: IO[bytes] = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - closed by close and abandon
        self._stream = pa.ipc.new_stream(self._buffer, schema)

    def write(self, lines: Sequence[Mapping[str, Any]]) -> None:
        """Add lines."""
        if not lines:
            return
        arrays = _own_arrays(self._own, lines)
        for name in self._layout.carried:
            values = [line[name] for line in lines]
            self._seen[name].add(values)
            texts = [None if value is None else json_bytes(value) for value in values]
            arrays.append(pa.array([None if text == b"null" else text for text in texts], pa.string()))
        self._stream.write_batch(pa.record_batch(arrays, names=list(self._layout.columns)))

    def close(self) -> None:
        """Write the buffered lines with the types that fit their values."""
        self._stream.close()
        self._buffer.seek(0)
        carried = [self._seen[name].field(name) for name in self._layout.carried]
        self._typed = typed = TypedLines(self._file, self._own, carried)
        for batch in pa.ipc.open_stream(self._buffer):
            typed.add([*batch.columns[: len(self._own)], *map(_from_json, batch.columns[len(self._own) :], carried)])
        typed.close()
        self._buffer.close()

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

    def field(self, name: str) -> pa.Field:
        kinds = {_KINDS.get(kind, "text") for kind in self._types - {type(None)}}
        if kinds <= {"text"}:
            return pa.field(name, pa.string())
        if kinds == {"bool"}:
            return pa.field(name, pa.bool_())
        if kinds == {"int"} and self._largest < _INT64:
            return pa.field(name, pa.int64())
        if kinds <= {"int", "float"} and self._largest <= _EXACT_IN_DOUBLE:
            return pa.field(name, pa.float64())
        return pa.field(name, pa.string(), metadata={"promptmill": "json"})


_KINDS = {bool: "bool", int: "int", float: "float", dict: "json", list: "json", tuple: "json", Decimal: "json"}


def open_lines(file: BinaryIO, layout: Layout, folder: Path) -> TypedLines | InferredLines:
    """Make a writer to `file`; buffers lines in `folder` where types must be inferred."""
    if layout.carried and layout.types is None:
        return InferredLines(file, layout, folder)
    own = [pa.field(name, _OWN_TYPES[name]) for name in layout.own]
    carried = [_input_field(layout.types, name) for name in layout.carried]
    return TypedLines(file, own, carried)


def first_difference(path: Path, other: Path) -> int | None:
    """Return the first line (from 1) of the first row group that differs between two files; None when they are equal."""
    start = 1
    with pq.ParquetFile(path) as left, pq.ParquetFile(other) as right:
        for mine, theirs in zip_longest(_groups(left), _groups(right)):
            if mine is None or theirs is None or not mine.equals(theirs):
                return start
            start += mine.num_rows
        return None if left.schema_arrow.equals(right.schema_arrow) else start


def _groups(file: pq.ParquetFile) -> Iterator[pa.Table]:
    return (file.read_row_group(number) for number in range(file.num_row_groups))


def _input_field(types: pa.Schema | None, name: str) -> pa.Field:
    """Return the input's field, nullable: a row that could not be read has no values."""
    place = -1 if types is None else types.get_field_index(name)
    return pa.field(name, pa.string()) if types is None or place < 0 else types.field(place).with_nullable(True)


def _own_arrays(fields: Sequence[pa.Field], lines: Sequence[Mapping[str, Any]]) -> list[pa.Array]:
    arrays = []
    for field in fields:
        values = _column(field, lines)
        if field.name == "usage":
            arrays.append(_usage(values))
            continue
        if field.name == "tool_calls":
            values = [None if calls is None else json_bytes(calls) for calls in values]
        arrays.append(_array(values, field.type))
    return arrays


def _column(field: pa.Field, lines: Sequence[Mapping[str, Any]]) -> list[Any]:
    name = field.name  # Arrow makes a new text of it each time
    return [line[name] for line in lines]


def _array(values: list[Any], kind: pa.DataType) -> pa.Array:
    if isinstance(kind, pa.BaseExtensionType):
        return pa.ExtensionArray.from_storage(kind, _array(values, kind.storage_type))
    try:
        return pa.array(values, kind)
    except UnicodeEncodeError:
        return pa.array(_cleaned(values), kind)


def _usage(usages: Sequence[Mapping[str, Any] | None]) -> pa.Array:
    """Build the usage column member by member: from a list of dicts Arrow takes four times as long."""
    none: Mapping[str, Any] = {}
    counts = [[_whole((usage or none).get(name)) for usage in usages] for name in _COUNTS]
    texts = [None if usage is None else json_bytes(usage) for usage in usages]
    absent = pa.array([usage is None for usage in usages], pa.bool_())
    return pa.StructArray.from_arrays(
        [*(pa.array(count, pa.int64()) for count in counts), pa.array(texts, pa.string())], fields=list(_USAGE), mask=absent
    )


def _whole(value: Any) -> int | None:
    return value if type(value) is int and abs(value) < _INT64 else None


def _cleaned(value: Any) -> Any:
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, Mapping):
        return {_cleaned(key): _cleaned(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(map(_cleaned, value))
    return value


def _from_json(texts: pa.Array, field: pa.Field) -> pa.Array:
    if not pa.types.is_string(field.type):
        return texts.cast(field.type)
    if field.metadata is not None:
        return texts
    return pa.array([None if text is None else _text(text) for text in texts.to_pylist()], pa.string())


def _text(text: str) -> str:
    try:
        return str(orjson.loads(text))
    except orjson.JSONDecodeError:
        return clean(json.loads(text))
