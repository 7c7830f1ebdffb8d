"""A job's input as one sequence of rows over all its files."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from batch.errors import InputError
from batch.readers import choosing
from batch.readers.formats import format_of, kind_of
from batch.readers.ids import Identified, check_unique
from batch.readers.labels import labelled
from batch.readers.ranges import Ranges, unfinished
from batch.readers.record import EVERYTHING, PACKED, START, FinishedRows, ReadOptions, RowFilter, Skip, TypedFormat
from batch.readers.rows import Sized, in_batches, make_row, with_partitions
from batch.readers.selection import Selection
from batch.records import BadRow, InputOffset, Row
from batch.settings import InputSettings
from batch.storage import expand, file_name, identity

if TYPE_CHECKING:
    import pyarrow as pa


# Rows between two places where reading can begin; a long file has fewer (jsonl.MOST_MARKS).
MARK_EVERY = 250


class Dataset:
    """Reads the rows of the input files in order. Each pass reads the files again, in memory independent of their number.

    `columns` are those that rows need to have; None: all. Others are not read, so that they can cost nothing and fail nothing.

    Raises:
        InputError: when made: a path matches nothing, or a file's format is unknown.
    """

    def __init__(self, settings: InputSettings, drawn: int | None = None, columns: frozenset[str] | None = None) -> None:
        self._settings = settings
        self._columns = columns
        if settings.is_made:
            raise InputError("the rows of this job are made when it runs, and kept in its run directory: run it first")
        self.files = labelled(expand(settings.paths, partial(kind_of, wanted=settings.format)), settings.paths, settings.folder)
        self._formats = [format_of(file, settings.format) for file in self.files]
        self._selection = Selection(settings, drawn)
        # What decides whether a row is taken, and its name: all that counting, sampling and the check of ids read.
        deciding = self._selection.columns | ({settings.id} if settings.id is not None else set())
        self._options = ReadOptions(None if columns is None else columns | deciding, settings.delimiter, settings.encoding)
        self._deciding = replace(self._options, columns=frozenset(deciding))
        self._total: int | None = None
        self._offsets: tuple[int, list[InputOffset]] | None = None

    def without_limit(self) -> Dataset:
        """Return the dataset of the same columns and the same drawn sample without the limit. Raises InputError."""
        return Dataset(replace(self._settings, limit=None), self.drawn, self._columns)

    def with_all_columns(self) -> Dataset:
        """Return the dataset of the same rows with all columns. Raises InputError."""
        return self if self._columns is None else Dataset(self._settings, self.drawn)

    def count(self) -> int | None:
        """Count the rows of `batches`, bad ones included. Parses them only where `where` must be evaluated.

        Raises:
            InputError: a file cannot be read, or `where` names a column that no row has.
        """
        selection = self._selection
        total = selection.holding(self.rows(options=self._deciding), self._typed_names) if selection.has_condition else self._count_files()
        sizes = [size for size in (self._settings.sample, self._settings.limit) if size is not None]
        return min(total, *sizes) if sizes else total

    def _count_files(self) -> int:
        if self._total is not None:
            return self._total
        enough = self._settings.limit if self._settings.sample is None else None
        total = 0
        for file, format_ in zip(self.files, self._formats, strict=True):
            if enough is not None and total >= enough:
                break
            total += format_.load().count(file, self._options)
        self._total = total
        return total

    def marks(self, every: int) -> tuple[int, list[InputOffset]]:
        """Return the ordinal below which all rows of `batches` lie, and the places where reading can start.

        These are the start of each file and, where the format allows it, about every `every` rows. Reads no more than `count`, except
        where `limit` applies to rows that `where` or `sample` selects.

        Raises:
            InputError: a file cannot be read.
        """
        if self._offsets is None:
            self._offsets = self._marks(every)
        return self._offsets

    def use_marks(self, total: int, bound: int, offsets: list[InputOffset], drawn: int | None) -> None:
        """Take what an earlier Dataset of the same settings and files has found: its `file_rows`, `marks` and `drawn`."""
        self._total, self._offsets = total, (bound, offsets)
        self._selection.highest = drawn

    @property
    def file_rows(self) -> int | None:
        """The number of rows of all files, where it is known."""
        return self._total

    @property
    def unpacked(self) -> list[str]:
        """The files that cannot be begun in the middle, because they are unpacked as they are read."""
        return [file for file in self.files if file_name(file).lower().endswith(PACKED)]

    def _marks(self, every: int) -> tuple[int, list[InputOffset]]:
        total = 0
        found: list[InputOffset] = []
        for number, (file, format_) in enumerate(zip(self.files, self._formats, strict=True)):
            rows, marks = format_.load().marks(file, every, self._options)
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
        """The highest rank of the drawn sample: a Dataset of the same settings elsewhere draws the same rows from it."""
        self._draw()
        return self._selection.highest

    def batches(
        self, size: int = 256, wanted: RowFilter | None = None, finished: FinishedRows | None = None
    ) -> Iterator[list[Row | BadRow]]:
        """Yield the rows, `size` at a time, fewer where they are large (a batch ends at 16 MiB of input).

        A record that cannot be read, or has no id where the job names an id column, comes as a BadRow.

        Rows that are not `wanted` are parsed only as far as their id. Bad rows may be yielded anyway. A batch may be empty: it lets the
        caller do other work while many unwanted rows pass. Rows that are `finished` are not yielded, and passed over by seeking where
        the format allows it.

        Raises:
            InputError: a file cannot be read to its end.
        """
        if finished is not None:
            bound, offsets = self.marks(MARK_EVERY)
            yield from unfinished(Ranges(self), offsets, bound, finished, size)
            return
        yield from in_batches(self.selected(), size) if wanted is None else self._chosen(wanted, size)

    def _chosen(self, wanted: RowFilter, size: int) -> Iterator[list[Row | BadRow]]:
        if self._selection.selects:
            return choosing.of_rows(self.selected(), wanted, size)
        limit, id_column = self._settings.limit, self._settings.id
        if id_column is not None:
            files = (
                (file, with_partitions(file, format_.load().read(file, options=self._options)), format_.typed)
                for file, format_ in zip(self.files, self._formats, strict=True)
            )
            return choosing.by_id(files, id_column, limit, wanted, size)
        skip = Skip()
        total = self._count_files()
        return choosing.by_ordinal(self.rows(START, skip), skip, total if limit is None else min(total, limit), wanted, size)

    def check_ids(self, folder: Path | None = None) -> None:
        """Check that every readable row has an id and that ids are unique. Does nothing without an id column.

        Takes one pass over the input, and 8 bytes a row in `folder` where there are millions.

        Raises:
            InputError: names the line of a missing id, or both lines of a duplicate.
            StorageError: the disk refuses.
        """
        if self._settings.id is not None:
            check_unique(self._identified, folder)

    def identity(self) -> list[dict[str, Any]]:
        """Return {path, size in bytes, mtime_ns} of each file: enough to detect a changed input.

        Raises:
            InputError: a file is gone.
        """
        return identity(self.files)

    @property
    def selection(self) -> dict[str, Any]:
        """The settings that select and name rows: {id, limit}, and {where, sample, seed} where set."""
        settings = self._settings
        named = {"where": settings.where, "sample": settings.sample, "seed": settings.seed if settings.sample is not None else None}
        return {"id": settings.id, "limit": settings.limit, **{name: value for name, value in named.items() if value is not None}}

    @property
    def columnar(self) -> bool:
        """Whether all files are Parquet or Arrow, whose columns can be read by themselves."""
        return all(each.typed for each in self._formats)

    def column_types(self) -> pa.Schema | None:
        """Return the exact column types; None unless all files are Parquet, or all Arrow, and agree."""
        if len(formats := set(self._formats)) > 1 or not self._formats[0].typed:
            return None
        return cast("TypedFormat", formats.pop().load()).schema(self.files)

    def unknown_zones(self) -> set[str]:
        """Return the time zones of the columns to be read that are not installed: their times read as UTC. Raises InputError."""
        if not any(format_.typed for format_ in self._formats):
            return set()
        from batch.readers.values import unknown_zones  # pyarrow: other formats do without

        wanted = self._options.columns
        return {
            zone
            for file, format_ in zip(self.files, self._formats, strict=True)
            if format_.typed
            for field in cast("TypedFormat", format_.load()).schema([file]) or ()
            if wanted is None or field.name in wanted
            for zone in unknown_zones(field.type)
        }

    def all_names(self, rows: int) -> tuple[set[str], bool]:
        """Return the column names of the first `rows` rows, of typed files all, and whether no row can have others. Raises InputError."""
        names, seen = self._typed_names(), 0
        for row in self.first_rows(rows):
            names |= row.columns.keys()
            seen += 1
        return names, seen < rows or all(format_.typed for format_ in self._formats)

    def _typed_names(self) -> set[str]:
        return {name for file in self.files for name in file.partitions} | {
            name
            for file, format_ in zip(self.files, self._formats, strict=True)
            if format_.typed
            for name in getattr(cast("TypedFormat", format_.load()).schema([file]), "names", ())
        }

    def first_rows(self, count: int) -> list[Row]:
        """Return the first readable selected rows, at most `count`. Raises InputError."""
        # People and scores look at these rows: they may ask for any column.
        everything = replace(self._options, columns=None)
        return list(islice((row for row, _ in self.selected(everything) if isinstance(row, Row)), count))

    def columns(self) -> list[str]:
        """Return the column names of the first readable row; empty when there is none."""
        first = self.first_rows(1)
        return list(first[0].columns) if first else []

    def selected(self, options: ReadOptions | None = None) -> Iterator[Sized]:
        """Yield the selected rows with their sizes in bytes; ordinals count the whole input. Raises InputError."""
        self._draw()
        return islice(self._selection.of(self.rows(options=options)), self._settings.limit)

    def taken(self, rows: Iterator[Sized]) -> Iterator[Sized]:
        """Yield those of `rows` that `where` and `sample` select; ignores `limit`. Raises InputError."""
        self._draw()
        return self._selection.of(rows)

    def _draw(self) -> None:
        if not self._selection.draws or self._selection.highest is not None:
            return
        if self._selection.has_condition:
            self._selection.draw_from(row.ordinal for row, _ in self._selection.of(self.rows(options=self._deciding)))
        else:
            self._selection.draw_from(range(self._count_files()))

    def rows(self, mark: InputOffset = START, skip: Skip = EVERYTHING, options: ReadOptions | None = None) -> Iterator[Sized]:
        """Yield all rows from `mark` on with their sizes in bytes, without those that `skip` passes over.

        Raises:
            InputError: a file cannot be read to its end.
        """
        id_column = self._settings.id
        ordinal = mark.ordinal - 1
        for file, format_ in list(zip(self.files, self._formats, strict=True))[mark.file :]:
            padded = format_.typed
            records = with_partitions(file, format_.load().read(file, mark, skip, self._options if options is None else options))
            mark = START
            for line, columns, row_bytes in records:
                ordinal += 1
                if columns is not None:
                    yield make_row(ordinal, file, line, columns, id_column, padded=padded), row_bytes

    def _identified(self) -> Iterator[Identified]:
        for row, _ in self.selected(self._deciding):
            if isinstance(row, Row):
                yield row.id, row.file, row.line
            elif row.code == "bad_id" and self._settings.format != "openai-batch":
                raise InputError(row.message)
