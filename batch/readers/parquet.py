"""Parquet, a few rows at a time, as Python objects (values.py), and only the columns that are needed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from batch.errors import InputError
from batch.readers.contents import HEAD_BYTES, no_table
from batch.readers.record import DEFAULTS, EVERYTHING, START, ReadOptions, Record, Skip
from batch.readers.values import unknown_zones, value_types, values
from batch.records import InputOffset
from batch.storage import head, is_url, seekable

BATCH_BYTES = 32 << 20
MAX_BATCH_ROWS = 256
# Bytes of a row group above which at most this number of rows is decoded at a time: fewer take longer, by 2 µs a row at 16.
SKEWED = ((2 << 30, 16), (256 << 20, 64))
_READ_BUFFER_BYTES = 1 << 20
# A request to a store takes as long as some megabytes.
_STORE_BUFFER_BYTES = 8 << 20


def read(path: str, mark: InputOffset = START, skip: Skip = EVERYTHING, options: ReadOptions = DEFAULTS) -> Iterator[Record]:
    """The records of a Parquet file from `mark` on; memory depends on the widest rows and the largest page, not on a row group's size.

    Raises:
        InputError: it is no Parquet file, or a damaged one, or names a column twice.
    """
    with _open(path) as file:
        names = chosen(file.schema_arrow.names, options)
        yield from records(names, _record_batches(path, file, names, mark.offset), mark.line + 1, skip)


def column_values(name: str, column: pa.Array) -> list[Any]:  # noqa: ARG001 - others tell columns apart by name
    """The values of a column."""
    return values(column)


def records(
    names: Sequence[str],
    batches: Iterable[pa.RecordBatch],
    number: int = 1,
    skip: Skip = EVERYTHING,
    read_values: Callable[[str, pa.Array], list[Any]] = column_values,
) -> Iterator[Record]:
    """The rows of `batches`, their columns of these names, numbered from `number`; few at a time as Python objects, which are large.

    `read_values` makes the values of the column of a name.
    """
    for batch in portions(batches):
        passed = min(skip.records, batch.num_rows)
        for _ in range(passed):
            skip.records -= 1
            yield number, None, 0
            number += 1
        rest = batch.slice(passed)
        columns = [read_values(name, rest.column(name)) for name in names] if rest.num_rows else []
        size = batch.nbytes // max(1, batch.num_rows)
        for row in zip(*columns, strict=True):
            if skip.records:
                skip.records -= 1
                yield number, None, 0
            else:
                yield number, dict(zip(names, row, strict=True)), size
            number += 1


def portions(batches: Iterable[pa.RecordBatch], most_rows: int = MAX_BATCH_ROWS) -> Iterator[pa.RecordBatch]:
    """Cut `batches` into some of at most 256 (or `most_rows`) rows and, where a row is not larger alone, BATCH_BYTES."""
    for batch in batches:
        start = 0
        while start < batch.num_rows:
            rows = min(most_rows, batch.num_rows - start)
            # Rows differ in width: a mean over the batch would let its widest rows come all at once.
            while rows > 1 and batch.slice(start, rows).nbytes > BATCH_BYTES:
                rows = (rows + 1) // 2
            yield batch.slice(start, rows)
            start += rows


def chosen(names: Sequence[str], options: ReadOptions) -> list[str]:
    """The columns to read, in the file's order; where none is needed one is read for the number of rows."""
    return [name for name in names if options.columns is None or name in options.columns] or list(names[:1])


def marks(
    path: str,
    every: int,  # noqa: ARG001 - row groups are as they are
    options: ReadOptions = DEFAULTS,  # noqa: ARG001 - for text
) -> tuple[int, list[InputOffset]]:
    """How many records `read` gives, and where the row groups begin, from the file's metadata. Raises InputError as `count`."""
    found, record = [START], 0
    with _open(path) as file:
        for group in range(file.metadata.num_row_groups):
            if record:
                found.append(InputOffset(0, 0, record, record, group))
            record += file.metadata.row_group(group).num_rows
    return record, found


def count(path: str, options: ReadOptions = DEFAULTS) -> int:  # noqa: ARG001 - for text
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
        return pa.unify_schemas([_plain(schema) for schema in schemas])
    except pa.ArrowException:
        return None


def _plain(schema: pa.Schema) -> pa.Schema:
    return pa.schema([field.with_type(value_types(field.type)).remove_metadata() for field in schema])


def _open(path: str) -> pq.ParquetFile:
    try:
        # A buffer makes Arrow read column chunks piece by piece; prefetching would hold whole row groups.
        file = pq.ParquetFile(seekable(path), buffer_size=_STORE_BUFFER_BYTES if is_url(path) else _READ_BUFFER_BYTES, pre_buffer=False)
    except (OSError, pa.ArrowException) as error:
        if problem := no_table(head(path, HEAD_BYTES), "Parquet"):
            raise InputError(f"{path}: {problem}") from error
        raise InputError(f"{path}: cannot be read as Parquet: {error}") from error
    check_names(path, file.schema_arrow)
    return file


def check_names(path: str, schema: pa.Schema) -> None:
    """Refuse a column that is named twice, and names and time zones that are not UTF-8. Raises InputError."""
    try:
        names = schema.names
        for field in schema:
            unknown_zones(field.type)
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: is damaged: a name in it is not UTF-8: {error}; write or fetch the file again") from error
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise InputError(f"{path}: names the column {twice!r} twice")


def batch_rows(file: pq.ParquetFile, names: Sequence[str], most_bytes: int) -> int:
    """How many rows of these columns to decode at a time: about `most_bytes`, by the widest row group's mean.

    In a large row group a few rows may have nearly all of its bytes: of those only few are decoded at a time.
    """
    groups = [file.metadata.row_group(number) for number in range(file.metadata.num_row_groups)]
    sizes = [group.total_byte_size or _size(group, set(names)) for group in groups]
    row_bytes = max((size // max(1, group.num_rows) for size, group in zip(sizes, groups, strict=True)), default=0)
    largest = max(sizes, default=0)
    most = next((rows for size, rows in SKEWED if largest > size), MAX_BATCH_ROWS)
    return min(most, max(1, most_bytes // max(1, row_bytes)))


def _record_batches(path: str, file: pq.ParquetFile, names: Sequence[str], first_group: int = 0) -> Iterator[pa.RecordBatch]:
    groups = range(first_group, file.metadata.num_row_groups)
    try:
        yield from file.iter_batches(batch_size=batch_rows(file, names, BATCH_BYTES), row_groups=list(groups), columns=list(names))
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"{path}: cannot be read to its end: {error}") from error


def _size(group: pq.RowGroupMetaData, names: set[str]) -> int:
    """The unpacked bytes of some columns of a row group whose writer left its own figure empty.

    Not asked of others: a damaged figure of a column ends the process in Arrow (26.0), by an exception in C++ that nothing catches.
    """
    columns = [group.column(number) for number in range(group.num_columns)]
    return sum(
        column.total_uncompressed_size
        for column in columns
        if column.path_in_schema.partition(".")[0] in names or column.path_in_schema in names
    )
