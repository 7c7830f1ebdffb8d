"""Arrow IPC, as files (Feather version 2) and as streams (the cache of Hugging Face's `datasets`), recognised by their first bytes.

The values are those that Parquet gives. Each record batch is checked before its values are read (soundness.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import pyarrow as pa

from batch.errors import InputError
from batch.readers.contents import HEAD_BYTES, no_table
from batch.readers.jsonl import exact_value
from batch.readers.parquet import check_names, chosen, column_values, portions, records, unified
from batch.readers.record import DEFAULTS, EVERYTHING, START, ReadOptions, Record, Skip
from batch.readers.soundness import check_sound
from batch.records import InputOffset
from batch.storage import head, is_url, local_size, mapped, seekable

_FILE_MAGIC = b"ARROW1"
_FEATHER_1 = b"FEA1"
_FILE_START = 8
# Continuation marker and a length of 0 (Arrow columnar format, "IPC streaming format").
_END_OF_STREAM = b"\xff\xff\xff\xff\0\0\0\0"
_READ_AHEAD = 1 << 20
JSON_VALUES = {b"promptmill": b"value"}
"""The metadata of a column of JSON texts that stand for their values: of rows that promptmill made and keeps."""

MOST_READ_BYTES = 64 << 20
"""Bytes of a record batch that are read into memory."""


def read(path: str, mark: InputOffset = START, skip: Skip = EVERYTHING, options: ReadOptions = DEFAULTS) -> Iterator[Record]:
    """The records of an Arrow file from `mark` on.

    Raises:
        InputError: it is no Arrow file, or a damaged one, or names a column twice.
    """
    with _opened(path) as reader:
        all_names = reader.schema.names
        of_json = {field.name for field in reader.schema if (field.metadata or {}).items() >= JSON_VALUES.items()}
    names = chosen(all_names, options)
    # A second time with the fields: they are options of the reader, and their numbers are known only now.
    with _opened(path, None if names == all_names else [all_names.index(name) for name in names]) as reader:
        sound = (check_sound(path, batch) for batch in _batches(path, reader, mark.offset))
        yield from records(names, _still_whole(path, sound), mark.line + 1, skip, partial(_values, of_json))


def _values(of_json: set[str], name: str, column: pa.Array) -> list[Any]:
    found = column_values(name, column)
    return [None if value is None else exact_value(value.encode()) for value in found] if name in of_json else found


def marks(
    path: str,
    every: int,  # noqa: ARG001 - record batches are as they are
    options: ReadOptions = DEFAULTS,  # noqa: ARG001 - for text
) -> tuple[int, list[InputOffset]]:
    """How many records `read` gives, and where its record batches begin (of a stream: only the first). Raises InputError as `count`."""
    found, record = [START], 0
    with _opened(path) as reader:
        for number, batch in enumerate(_batches(path, reader)):
            if record and not isinstance(reader, pa.ipc.RecordBatchStreamReader):
                found.append(InputOffset(0, 0, record, record, number))
            record += batch.num_rows
    return record, found


def count(path: str, options: ReadOptions = DEFAULTS) -> int:  # noqa: ARG001 - for text
    """How many records `read` gives; their values are not read.

    Raises:
        InputError: it is no Arrow file.
    """
    with _opened(path) as reader:
        return sum(batch.num_rows for batch in _batches(path, reader))


def schema(paths: Sequence[str]) -> pa.Schema | None:
    """The exact column types of all files together; None when two files disagree on a column.

    Raises:
        InputError: one of them is no Arrow file.
    """
    schemas = []
    for path in paths:
        with _opened(path) as reader:
            schemas.append(reader.schema)
    return unified(schemas)


@contextmanager
def _opened(path: str, fields: list[int] | None = None) -> Iterator[pa.ipc.RecordBatchFileReader | pa.ipc.RecordBatchStreamReader]:
    with _source(path) as source:
        magic = source.read(len(_FILE_MAGIC))
        source.seek(0)
        if magic.startswith(_FEATHER_1):
            raise InputError(f"{path}: is Feather version 1, which is obsolete; write the file as version 2")
        options = pa.ipc.IpcReadOptions(included_fields=fields)
        try:
            is_file = magic == _FILE_MAGIC
            reader = pa.ipc.open_file(source, options=options) if is_file else pa.ipc.open_stream(_flowing(path, source), options=options)
        except (OSError, pa.ArrowException) as error:
            if problem := no_table(head(path, HEAD_BYTES), "Arrow"):
                raise InputError(f"{path}: {problem}") from error
            raise InputError(f"{path}: cannot be read as Arrow: {error}") from error
        check_names(path, reader.schema)
        yield reader


def _source(path: str) -> Any:
    """Open `path`: mapped into memory only where a record batch is so large that reading it whole would take too much.

    A mapped file that is truncated while it is read ends the process by SIGBUS.
    """
    if is_url(path) or (size := local_size(path)) is None:
        return seekable(path, as_file=True)
    return mapped(path) if size > MOST_READ_BYTES and _largest_batch(path) > MOST_READ_BYTES else seekable(path, as_file=True)


def _largest_batch(path: str) -> int:
    """The bytes of the largest record batch as it is stored: 0 where the file cannot be read."""
    largest = 0
    with mapped(path) as source:
        try:
            # A file is a stream between its magic number and its footer.
            source.seek(_FILE_START if source.read(len(_FILE_MAGIC)) == _FILE_MAGIC else 0)
            for message in pa.ipc.MessageReader.open_stream(source):
                largest = max(largest, message.body.size)
        except (OSError, pa.ArrowException):
            return 0
    return largest


def _still_whole(path: str, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """The batches in portions, each after a check that the file has not been cut since it was opened. Raises InputError."""
    size = None if is_url(path) else local_size(path)
    for portion in portions(batches):
        if size is not None and (local_size(path) or 0) < size:
            raise InputError(f"{path}: cannot be read to its end: it was cut while it was read")
        yield portion


def _flowing(path: str, source: pa.NativeFile) -> pa.NativeFile:
    """A stream's many small reads put together, where each is a request to a store."""
    return pa.BufferedInputStream(source, _READ_AHEAD) if is_url(path) else source


def _batches(path: str, reader: pa.ipc.RecordBatchFileReader | pa.ipc.RecordBatchStreamReader, first: int = 0) -> Iterator[pa.RecordBatch]:
    try:
        if isinstance(reader, pa.ipc.RecordBatchStreamReader):
            yield from reader
            _check_end(path)
        else:
            yield from map(reader.get_batch, range(first, reader.num_record_batches))
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"{path}: cannot be read to its end: {error}") from error


def _check_end(path: str) -> None:
    """A stream that was cut between two batches reads as a shorter one; only the end mark, which all writers set, shows it."""
    with seekable(path, as_file=True) as file:
        file.seek(max(0, file.size() - len(_END_OF_STREAM)))
        if file.read() != _END_OF_STREAM:
            raise InputError(f"{path}: cannot be read to its end: the stream has no end mark (is it cut?)")
