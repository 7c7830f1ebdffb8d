"""Records as rows, and rows as batches."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, TypeVar, cast

from batch.readers.ids import id_text
from batch.readers.record import Record, UnreadableRecord, digest
from batch.records import BadRow, InputFile, Row, place

_BATCH_BYTES = 16 << 20

# A row with its size in bytes.
Sized = tuple[Row | BadRow, int]

T = TypeVar("T")


def make_row(
    ordinal: int, file: str, line: int, columns: dict[str, Any] | UnreadableRecord, id_column: str | None, *, padded: bool
) -> Row | BadRow:
    """Turn a record into a row; a BadRow where it cannot be read or lacks the id."""
    if isinstance(columns, UnreadableRecord):
        where = place(file, line)
        stand_in = str(ordinal) if id_column is None else _stand_in(where, ordinal)
        return BadRow(ordinal, stand_in, f"{where}: {columns.message}", file, line, columns.digest)
    identifier = str(ordinal) if id_column is None else id_text(columns.get(id_column))
    if identifier is None:
        return _without_id(ordinal, cast("str", id_column), columns, file, line)
    return Row(ordinal, identifier, columns, file, line, padded)


def with_partitions(file: InputFile, records: Iterator[Record]) -> Iterator[Record]:
    """Add the columns that the folders of `file` name to its records; one that the file itself has stays as it is there."""
    if not file.partitions:
        return records
    return ((line, {**file.partitions, **columns} if isinstance(columns, dict) else columns, size) for line, columns, size in records)


def in_batches(sized: Iterable[tuple[T, int]], size: int) -> Iterator[list[T]]:
    """Group items that have a size in bytes, `size` at a time, fewer where they are large."""
    batch: list[T] = []
    size_bytes = 0
    for item, item_bytes in sized:
        batch.append(item)
        size_bytes += item_bytes
        if len(batch) >= size or size_bytes >= _BATCH_BYTES:
            yield batch
            batch, size_bytes = [], 0
    if batch:
        yield batch


def _without_id(ordinal: int, id_column: str, columns: dict[str, Any], file: str, line: int) -> BadRow:
    where = place(file, line)
    message = f"{where}: the id column {id_column!r} is {'empty' if id_column in columns else 'missing'}"
    if id_column not in columns:
        message += f"; the row has: {', '.join(columns)}"
    return BadRow(ordinal, _stand_in(where, ordinal), message, file, line, digest(repr(columns).encode(errors="surrogatepass")), "bad_id")


def _stand_in(where: str, ordinal: int) -> str:
    """Return an id for a row whose own cannot be read. A bare ordinal could equal another row's id and replace it in the journal."""
    return f"{where} (row {ordinal})"
