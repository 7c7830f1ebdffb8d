"""A job's input as one sequence of rows over all its files."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from importlib import import_module
from itertools import islice
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, cast

from batch.errors import InputError
from batch.readers import choosing
from batch.readers.ids import Identified, check_unique
from batch.readers.labels import labelled
from batch.readers.record import EVERYTHING, PACKED, START, Format, RowFilter, Skip
from batch.readers.rows import Sized, in_batches, make_row
from batch.readers.selection import Selection
from batch.records import BadRow, InputOffset, Row
from batch.settings import InputSettings
from batch.storage import expand, file_name, identity

if TYPE_CHECKING:
    import pyarrow as pa

_FORMAT_OF_SUFFIX = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".csv": "csv",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".arrow": "arrow",
    ".feather": "arrow",
}
# Formats of typed columns: packed by themselves, with a null where a struct's field is absent.
_COLUMNAR = ("parquet", "arrow")


class Dataset:
    """The rows of the input files, in order; each pass reads them anew, in memory that does not depend on their number.

    Raises:
        InputError: when made: a path matches nothing, or a file's format is unknown.
    """

    def __init__(self, settings: InputSettings, drawn: int | None = None) -> None:
        self._settings = settings
        self.files: list[str] = labelled(expand(settings.paths))
        self._formats = [_format_name(file, settings.format) for file in self.files]
        self._selection = Selection(settings, drawn)
        self._total: int | None = None

    def count(self) -> int | None:
        """How many rows `batches` gives, bad ones included. They are made only where a condition (`where`) must be tried on them.

        Raises:
            InputError: a file cannot be read, or `where` names a column that no row has.
        """
        selection = self._selection
        total = selection.holding(self.rows()) if selection.has_condition else self._count_files()
        sizes = [size for size in (self._settings.sample, self._settings.limit) if size is not None]
        return min(total, *sizes) if sizes else total

    def _count_files(self) -> int:
        if self._total is not None:
            return self._total
        enough = self._settings.limit if self._settings.sample is None else None
        total = 0
        for file, format_name in zip(self.files, self._formats, strict=True):
            if enough is not None and total >= enough:
                break
            total += _format(format_name).count(file)
        self._total = total
        return total

    def marks(self, every: int) -> tuple[int, list[InputOffset]]:
        """Before which ordinal all rows are that `batches` gives, and where reading can begin.

        That is at each file and, where its format allows, at each so many rows. No more is read than for `count`, but where
        `limit` is to be applied to rows that `where` or `sample` takes.

        Raises:
            InputError: a file cannot be read.
        """
        total = 0
        found: list[InputOffset] = []
        for number, (file, format_name) in enumerate(zip(self.files, self._formats, strict=True)):
            rows, marks = _format(format_name).marks(file, every)
            found += [replace(mark, ordinal=total + mark.record, file=number) for mark in marks]
            total += rows
        self._total = total
        limit = self._settings.limit
        if limit is None or total <= limit:
            return total, found
        if self._selection.selects:
            return max((row.ordinal + 1 for row, _ in self.selected()), default=0), found
        return limit, found

    @property
    def drawn(self) -> int | None:
        """What tells the drawn sample, for a Dataset of the same settings elsewhere."""
        self._draw()
        return self._selection.highest

    def batches(self, size: int = 256, wanted: RowFilter | None = None) -> Iterator[list[Row | BadRow]]:
        """The rows, `size` at a time, fewer where they are large (16 MiB of input make a batch).

        A record that cannot be read, or has no id where the job names an id column, comes as a BadRow.

        Of rows that are not `wanted` no more is made than is needed to know that; bad ones may come all the same, and a batch may be
        empty, so that the reader of many rows without one that is wanted can do something else meanwhile.

        Raises:
            InputError: a file cannot be read to its end.
        """
        yield from in_batches(self.selected(), size) if wanted is None else self._chosen(wanted, size)

    def _chosen(self, wanted: RowFilter, size: int) -> Iterator[list[Row | BadRow]]:
        if self._selection.selects:
            return choosing.of_rows(self.selected(), wanted, size)
        limit, id_column = self._settings.limit, self._settings.id
        if id_column is not None:
            files = ((file, _format(name).read(file), name in _COLUMNAR) for file, name in zip(self.files, self._formats, strict=True))
            return choosing.by_id(files, id_column, limit, wanted, size)
        skip = Skip()
        total = self._count_files()
        return choosing.by_ordinal(self.rows(START, skip), skip, total if limit is None else min(total, limit), wanted, size)

    def check_ids(self) -> None:
        """See that every row that can be read has an id and that no id stands twice; nothing where the job names no id column.

        Takes 9 bytes a row and one pass over the input.

        Raises:
            InputError: names the line of a missing id, or both lines of a doubled one.
        """
        if self._settings.id is not None:
            check_unique(self._identified)

    def identity(self) -> list[dict[str, Any]]:
        """For each file {path, size in bytes, mtime_ns}: enough to see that the input is not what it was.

        Raises:
            InputError: a file is gone.
        """
        return identity(self.files)

    @property
    def selection(self) -> dict[str, Any]:
        """The settings that decide which rows are taken and what they are called: {id, limit}, and {where, sample, seed} as far as set."""
        settings = self._settings
        named = {"where": settings.where, "sample": settings.sample, "seed": settings.seed if settings.sample is not None else None}
        return {"id": settings.id, "limit": settings.limit, **{name: value for name, value in named.items() if value is not None}}

    @property
    def columnar(self) -> bool:
        """Whether all files are Parquet or Arrow, whose columns can be read by themselves."""
        return set(self._formats) <= set(_COLUMNAR)

    def column_types(self) -> pa.Schema | None:
        """The exact column types, for carrying columns over unchanged: known when all files are Parquet, or all Arrow, and agree."""
        if len(formats := set(self._formats)) > 1 or not formats <= set(_COLUMNAR):
            return None
        from batch.readers import arrow, parquet

        return (parquet if formats == {"parquet"} else arrow).schema(self.files)

    def first_rows(self, count: int) -> list[Row]:
        """The first rows that the job takes and that can be read, at most `count`. Raises InputError."""
        return list(islice((row for row, _ in self.selected() if isinstance(row, Row)), count))

    def columns(self) -> list[str]:
        """The column names of the first row that can be read; none when there is no such row."""
        first = self.first_rows(1)
        return list(first[0].columns) if first else []

    def selected(self) -> Iterator[Sized]:
        """The rows that the job takes, with their sizes; their ordinals are those of the whole input. Raises InputError."""
        self._draw()
        return islice(self._selection.of(self.rows()), self._settings.limit)

    def taken(self, rows: Iterator[Sized]) -> Iterator[Sized]:
        """Those of some rows that the job takes, but for its limit. Raises InputError."""
        self._draw()
        return self._selection.of(rows)

    def _draw(self) -> None:
        if not self._selection.draws or self._selection.highest is not None:
            return
        if self._selection.has_condition:
            self._selection.draw_from(row.ordinal for row, _ in self._selection.of(self.rows()))
        else:
            self._selection.draw_from(range(self._count_files()))

    def rows(self, mark: InputOffset = START, skip: Skip = EVERYTHING) -> Iterator[Sized]:
        """All rows of the input from `mark` on but for those that `skip` says, with their sizes in bytes.

        Raises:
            InputError: a file cannot be read to its end.
        """
        id_column = self._settings.id
        ordinal = mark.ordinal - 1
        for file, format_name in list(zip(self.files, self._formats, strict=True))[mark.file :]:
            padded = format_name in _COLUMNAR
            records = _format(format_name).read(file, mark, skip)
            mark = START
            for line, columns, row_bytes in records:
                ordinal += 1
                if columns is not None:
                    yield make_row(ordinal, file, line, columns, id_column, padded=padded), row_bytes

    def _identified(self) -> Iterator[Identified]:
        for row, _ in self.selected():
            if isinstance(row, Row):
                yield row.id, row.file, row.line
            elif row.code == "bad_id" and self._settings.format != "openai-batch":
                raise InputError(row.message)


def _format(name: str) -> Format:
    """The format's module, loaded when it is needed: one of them loads pyarrow."""
    return cast("Format", import_module(f"batch.readers.{name}"))


def _format_name(file: str, wanted: str) -> str:
    suffixes = [suffix.lower() for suffix in PurePath(file_name(file)).suffixes]
    packed = bool(suffixes) and suffixes[-1] in PACKED
    inner = suffixes[-2:-1] if packed else suffixes[-1:]
    name = _FORMAT_OF_SUFFIX.get(inner[0] if inner else "") if wanted == "auto" else wanted
    if name is None:
        raise InputError(
            f"{file}: its format is not known by its name; known are {', '.join(_FORMAT_OF_SUFFIX)} (text also as .gz or .zst); "
            'or set format = "jsonl", "csv", "parquet" or "arrow" in [input] (jsonl: one JSON object per line)'
        )
    if name in _COLUMNAR and packed:
        raise InputError(f"{file}: {name.capitalize()} is packed by itself; unpack the {suffixes[-1]} first")
    return "jsonl" if name == "openai-batch" else name
