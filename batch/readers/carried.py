"""Read some columns of Parquet and Arrow files as Arrow arrays, beside a pass over the rows.

The values never become Python objects, so that types and digits stay exact, and only the named columns are read.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeAlias

import pyarrow as pa
import pyarrow.parquet as pq

from batch.errors import InputError
from batch.readers.parquet import batch_rows
from batch.readers.soundness import check_sound
from batch.records import BadRow, InputFile, Row
from batch.storage import is_url, seekable

_BATCH_BYTES = 16 << 20
_BUFFER_BYTES = 1 << 20
_STORE_BUFFER_BYTES = 8 << 20
_FILE_MAGIC = b"ARROW1"
_PARQUET_MAGIC = b"PAR1"

_ArrowReader: TypeAlias = pa.ipc.RecordBatchFileReader | pa.ipc.RecordBatchStreamReader


@dataclass(frozen=True, slots=True)
class Piece:
    """The columns of `count` rows: the values at `indices` of each array, or all of it where that is None.

    An array is None where all is null: of a bad row, or where the file lacks the column.
    """

    count: int
    columns: tuple[pa.Array | None, ...]
    indices: Sequence[int] | None


class CarriedArrays:
    """The columns `names` of columnar files, for rows that come in the order of the input. A file may lack a column: its rows get null."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = names
        self._file: str | None = None
        self._batches: Generator[pa.RecordBatch, None, None] | None = None
        self._batch: pa.RecordBatch | None = None
        self._first = self._end = 1

    def pieces(self, rows: Sequence[Row | BadRow]) -> Iterator[Piece]:
        """Split `rows`, which do not precede those of the last call, by record batch. A row may come several times.

        Raises:
            InputError: a file cannot be read, or ends before a row.
        """
        start = 0
        while start < len(rows):
            row = rows[start]
            end = start + 1
            if isinstance(row, BadRow):
                while end < len(rows) and isinstance(rows[end], BadRow):
                    end += 1
                yield Piece(end - start, (None,) * len(self._names), None)
                start = end
                continue
            batch = self._batch_of(row)
            while end < len(rows) and self._has(rows[end]):
                end += 1
            lines = [row.line for row in rows[start:end]]
            part = batch.slice(lines[0] - self._first, lines[-1] - lines[0] + 1)
            places = [part.schema.get_field_index(name) for name in self._names]
            indices = None if len(lines) == part.num_rows else [line - lines[0] for line in lines]
            named = zip(self._names, places, strict=True)
            columns = tuple(_of_folder(row.file, name, part.num_rows) if place < 0 else part.column(place) for name, place in named)
            yield Piece(len(lines), columns, indices)
            start = end

    def close(self) -> None:
        """Close the file that is open."""
        if self._batches is not None:
            self._batches.close()

    def _has(self, row: Row | BadRow) -> bool:
        return isinstance(row, Row) and row.file == self._file and self._first <= row.line < self._end

    def _batch_of(self, row: Row) -> pa.RecordBatch:
        if row.file != self._file:
            self.close()
            self._file, self._batches, self._first, self._end = row.file, _batches(row.file, self._names), 1, 1
        while row.line >= self._end:
            self._batch = None if self._batches is None else next(self._batches, None)
            if self._batch is None:
                raise InputError(f"{row.file}: ends before row {row.line}: it was changed while it was read")
            self._first, self._end = self._end, self._end + self._batch.num_rows
        if self._batch is None:
            raise AssertionError("a row of a file comes after a batch was read")
        return self._batch


def column_types(file: str, names: Sequence[str]) -> dict[str, pa.DataType]:
    """Return the types of those of the columns that a Parquet or Arrow file has. Raises InputError."""
    fields = column_fields(file)
    return {name: fields[name].type for name in names if name in fields}


def _partitions(file: str) -> Mapping[str, str | None]:
    return file.partitions if isinstance(file, InputFile) else {}


def _of_folder(file: str, name: str, rows: int) -> pa.Array | None:
    """Return the column that a file's folder names; None where it names none of that name."""
    value = _partitions(file).get(name)
    return None if value is None else pa.repeat(pa.scalar(value, pa.string()), rows)


def column_fields(file: str) -> dict[str, pa.Field]:
    """Return all columns of a Parquet or Arrow file, with their metadata. Raises InputError."""
    with _opened(file) as source:
        found = {field.name: field for field in (source.schema_arrow if isinstance(source, pq.ParquetFile) else source.schema)}
    return {**{name: pa.field(name, pa.string()) for name in _partitions(file)}, **found}


def _batches(file: str, names: Sequence[str]) -> Generator[pa.RecordBatch, None, None]:
    with _opened(file, names) as source:
        try:
            yield from _of_parquet(source, names) if isinstance(source, pq.ParquetFile) else _of_arrow(file, source)
        except (OSError, pa.ArrowException) as error:
            raise InputError(f"{file}: cannot be read to its end: {error}") from error


def _of_parquet(file: pq.ParquetFile, names: Sequence[str]) -> Iterator[pa.RecordBatch]:
    yield from file.iter_batches(batch_size=batch_rows(file, names, _BATCH_BYTES), columns=[*names])


def _of_arrow(file: str, reader: _ArrowReader) -> Iterator[pa.RecordBatch]:
    is_stream = isinstance(reader, pa.ipc.RecordBatchStreamReader)
    batches = reader if is_stream else map(reader.get_batch, range(reader.num_record_batches))
    yield from (check_sound(file, batch) for batch in batches)


@contextmanager
def _opened(file: str, names: Sequence[str] | None = None) -> Iterator[pq.ParquetFile | _ArrowReader]:
    """Open a file by its first bytes; of an Arrow file only the columns `names` are decoded."""
    try:
        # Not mapped: a file that is truncated meanwhile would end the process by SIGBUS.
        with seekable(file) if is_url(file) else pa.OSFile(file) as source:
            magic = source.read(len(_FILE_MAGIC))
            source.seek(0)
            if magic.startswith(_PARQUET_MAGIC):
                # A buffer makes Arrow read column chunks piece by piece; prefetching would keep whole row groups.
                yield pq.ParquetFile(source, buffer_size=_STORE_BUFFER_BYTES if is_url(file) else _BUFFER_BYTES, pre_buffer=False)
                return
            open_it = pa.ipc.open_file if magic == _FILE_MAGIC else pa.ipc.open_stream
            reader = open_it(source)
            if names is not None:
                places = [place for place, name in enumerate(reader.schema.names) if name in names]
                source.seek(0)
                reader = open_it(source, options=pa.ipc.IpcReadOptions(included_fields=places))
            yield reader
    except (OSError, pa.ArrowException, UnicodeError) as error:
        raise InputError(f"{file}: cannot be read: {error}") from error
