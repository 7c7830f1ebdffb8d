"""Parquet, a few rows at a time, as Python objects: Decimal, datetime, lists and dicts.

Times finer than a microsecond are cut to microseconds, Python's own limit; `schema` still names the column's exact type.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from batch.errors import InputError
from batch.readers.record import EVERYTHING, START, Record, Skip, UnreadableRecord, digest
from batch.records import InputOffset
from batch.storage import is_url, seekable

BATCH_BYTES = 32 << 20
_MAX_BATCH_ROWS = 256
_READ_BUFFER_BYTES = 1 << 20
# A request to a store takes as long as some megabytes.
_STORE_BUFFER_BYTES = 8 << 20
# ArrowInvalid and UnicodeDecodeError are ValueErrors.
_UNREPRESENTABLE = (ValueError, OverflowError)


def read(path: str, mark: InputOffset = START, skip: Skip = EVERYTHING) -> Iterator[Record]:
    """The records of a Parquet file from `mark` on; memory depends on the widest rows and the largest page, not on a row group's size.

    Raises:
        InputError: it is no Parquet file, or a damaged one, or names a column twice.
    """
    with _open(path) as file:
        yield from records(file.schema_arrow.names, _record_batches(path, file, mark.offset), mark.line + 1, skip)


def records(names: Sequence[str], batches: Iterable[pa.RecordBatch], number: int = 1, skip: Skip = EVERYTHING) -> Iterator[Record]:
    """The rows of `batches`, whose columns have these names, numbered from `number`."""
    for batch in batches:
        passed = min(skip.records, batch.num_rows)
        for _ in range(passed):
            skip.records -= 1
            yield number, None, 0
            number += 1
        problems: dict[int, str] = {}
        rest = batch.slice(passed)
        columns = [_values(name, column, problems) for name, column in zip(names, rest.columns, strict=True)]
        size = batch.nbytes // max(1, batch.num_rows)
        for index, values in enumerate(zip(*columns, strict=True)):
            if skip.records:
                skip.records -= 1
                yield number, None, 0
            elif index in problems:
                yield number, UnreadableRecord(problems[index], digest(rest.slice(index, 1).serialize())), size
            else:
                yield number, dict(zip(names, values, strict=True)), size
            number += 1


def marks(path: str, every: int) -> tuple[int, list[InputOffset]]:  # noqa: ARG001 - row groups are as they are
    """How many records `read` gives, and where the row groups begin, from the file's metadata. Raises InputError as `count`."""
    found, record = [START], 0
    with _open(path) as file:
        for group in range(file.metadata.num_row_groups):
            if record:
                found.append(InputOffset(0, 0, record, record, group))
            record += file.metadata.row_group(group).num_rows
    return record, found


def count(path: str) -> int:
    """How many records `read` gives, from the file's metadata.

    Raises:
        InputError: it is no Parquet file.
    """
    with _open(path) as file:
        return int(file.metadata.num_rows)


def schema(paths: Sequence[str]) -> pa.Schema | None:
    """The exact column types of all files together; None when two files disagree on a column.

    Raises:
        InputError: one of them is no Parquet file.
    """
    schemas = []
    for path in paths:
        with _open(path) as file:
            schemas.append(file.schema_arrow)
    return unified(schemas)


def unified(schemas: Iterable[pa.Schema]) -> pa.Schema | None:
    """The column types of all `schemas` together; None when two disagree on a column."""
    try:
        return pa.unify_schemas([schema.remove_metadata() for schema in schemas])
    except pa.ArrowException:
        return None


def _open(path: str) -> pq.ParquetFile:
    try:
        # A buffer makes Arrow read column chunks piece by piece; prefetching would hold whole row groups.
        file = pq.ParquetFile(seekable(path), buffer_size=_STORE_BUFFER_BYTES if is_url(path) else _READ_BUFFER_BYTES, pre_buffer=False)
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"{path}: cannot be read as Parquet: {error}") from error
    check_names(path, file.schema_arrow.names)
    return file


def check_names(path: str, names: Sequence[str]) -> None:
    """Refuse a column that is named twice. Raises InputError."""
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise InputError(f"{path}: names the column {twice!r} twice")


def _record_batches(path: str, file: pq.ParquetFile, first_group: int = 0) -> Iterator[pa.RecordBatch]:
    groups = [file.metadata.row_group(i) for i in range(file.metadata.num_row_groups)]
    row_bytes = max((group.total_byte_size // max(1, group.num_rows) for group in groups), default=0)
    try:
        rows = min(_MAX_BATCH_ROWS, max(1, BATCH_BYTES // max(1, row_bytes)))
        yield from file.iter_batches(batch_size=rows, row_groups=list(range(first_group, len(groups))))
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"{path}: cannot be read to its end: {error}") from error


def _values(name: str, column: pa.Array, problems: dict[int, str]) -> list[Any]:
    """The values of `column`; where one cannot be held by Python, `problems` says so under its index."""
    # Nanoseconds would come as pandas' types where pandas is installed, and be refused elsewhere.
    if (kind := _in_microseconds(column.type)) != column.type:
        column = column.cast(kind, safe=False)
    try:
        return column.to_pylist()  # type: ignore[no-any-return]
    except _UNREPRESENTABLE:
        pass
    values = []
    for index, scalar in enumerate(column):
        try:
            values.append(scalar.as_py())
        except _UNREPRESENTABLE as error:
            values.append(None)
            problems[index] = f"the column {name!r} ({column.type}) holds a value that cannot be read: {error}"
    return values


def _in_microseconds(kind: pa.DataType) -> pa.DataType:
    """`kind` with all times in nanoseconds, also nested ones, in microseconds."""
    if pa.types.is_timestamp(kind) and kind.unit == "ns":
        return pa.timestamp("us", kind.tz)
    if pa.types.is_time64(kind):
        return pa.time64("us")
    if pa.types.is_duration(kind) and kind.unit == "ns":
        return pa.duration("us")
    if pa.types.is_struct(kind):
        return pa.struct([field.with_type(_in_microseconds(field.type)) for field in kind])
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        make = pa.list_ if pa.types.is_list(kind) else pa.large_list
        return make(kind.value_field.with_type(_in_microseconds(kind.value_type)))
    return kind
