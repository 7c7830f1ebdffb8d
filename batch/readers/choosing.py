"""Select the rows that still need work from an input most of whose rows may be done, parsing the others only as far as their id.

Each function yields lists of rows, and an empty list after each window of rows in which none is wanted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import compress, count, groupby, islice

from batch.readers.ids import id_text
from batch.readers.record import Record, RowFilter, Skip, UnreadableRecord
from batch.readers.rows import Sized, in_batches, make_row
from batch.records import BadRow, Row

# Rows filtered at a time; fewer where they are large.
_WINDOW = 4096


def of_rows(rows: Iterable[Sized], wanted: RowFilter, size: int) -> Iterator[list[Row | BadRow]]:
    """Yield those of `rows` that are wanted."""
    for batch in in_batches(rows, _WINDOW):
        yield from _cut(list(compress(batch, wanted([row.id for row in batch]))), size)


def by_ordinal(rows: Iterator[Sized], skip: Skip, total: int, wanted: RowFilter, size: int) -> Iterator[list[Row | BadRow]]:
    """Yield the wanted ones of the first `total` rows, whose ids are their ordinals; the others are passed over by `skip`, unread."""

    def chosen(flags: Sequence[bool]) -> Iterator[Sized]:
        for is_wanted, run in groupby(flags):
            length = sum(1 for _ in run)
            if is_wanted:
                yield from islice(rows, length)
            else:
                skip.records += length

    for start in range(0, total, _WINDOW):
        flags = wanted(list(map(str, range(start, min(total, start + _WINDOW)))))
        found = in_batches(chosen(flags), size)
        yield next(found, [])
        yield from found


def by_id(
    files: Iterable[tuple[str, Iterator[Record], bool]], id_column: str, limit: int | None, wanted: RowFilter, size: int
) -> Iterator[list[Row | BadRow]]:
    """Yield the wanted rows of `files`, each with its records and whether they are padded.

    Rows that cannot be read or lack an id are always given.
    """
    ordinal = 0
    for file, records, padded in files:
        within = records if limit is None else islice(records, limit - ordinal)
        for window in in_batches(((record, record[2]) for record in within), _WINDOW):
            ids = [
                "" if isinstance(columns, UnreadableRecord) or columns is None else id_text(columns.get(id_column)) or ""
                for _, columns, _ in window
            ]
            numbered = zip(count(ordinal), window, ids, wanted(ids), strict=False)
            chosen = [
                make_row(number, file, line, columns, id_column, padded=padded)
                for number, (line, columns, _), name, is_wanted in numbered
                if columns is not None and (is_wanted or not name)
            ]
            ordinal += len(window)
            yield from _cut(chosen, size)


def _cut(rows: list[Row | BadRow], size: int) -> Iterator[list[Row | BadRow]]:
    yield rows[:size]
    for start in range(size, len(rows), size):
        yield rows[start : start + size]
