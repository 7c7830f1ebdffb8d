"""Carry columns of Parquet and Arrow inputs over to Parquet as Arrow arrays: no value passes through Python, types are settled first."""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from typing import cast

import pyarrow as pa

from batch.readers import Dataset
from batch.readers.carried import CarriedArrays, Piece, column_types
from batch.records import Outcome
from batch.results.join import Result
from batch.results.lines import completion_line, error_line
from batch.settings import Job
from batch.writers import LineWriter, UnfitColumnError
from batch.writers.arrow_types import convert, settle_field
from batch.writers.parquet import TypedLines

# Repeats take rows several times: their arrays are made in parts of this size.
_PIECE_BYTES = 32 << 20

Attempted = Sequence[tuple[Result, Outcome]]


class CarriedColumns:
    """The carried-over columns of a job whose input is columnar. `schema` has their names in the outputs and the types they are stored as.

    `as_json` are output names that become JSON text.

    Raises:
        InputError: when made: a file cannot be read.
    """

    def __init__(self, job: Job, dataset: Dataset, as_json: frozenset[str] = frozenset()) -> None:
        self._fields = settled_fields(job, dataset, as_json)
        self.schema = pa.schema(self._fields)
        self._arrays = CarriedArrays([source for source, _ in job.output.carried])

    def write(self, batch: Attempted, completions: LineWriter, errors: LineWriter, names: Container[str]) -> None:
        """Write attempted tasks with their columns; `names` are those of completions. Rows are in input order.

        Raises UnfitColumnError, InputError.
        """
        start = 0
        for piece in self._arrays.pieces([result.row for result, _ in batch]):
            columns = [self._converted(field, array) for field, array in zip(self._fields, piece.columns, strict=True)]
            for first, last in split_repeats(piece, columns):
                part = batch[start + first : start + last]
                arrays = [taken_rows(field, array, piece, first, last) for field, array in zip(self._fields, columns, strict=True)]
                ok = pa.array([outcome.ok for _, outcome in part])
                lines = [completion_line(r, o, (), names) for r, o in part if o.ok]
                cast("TypedLines", completions).write(lines, [array.filter(ok) for array in arrays])
                failed = [error_line(r, o, ()) for r, o in part if not o.ok]
                if failed:
                    not_ok = pa.array([not outcome.ok for _, outcome in part])
                    cast("TypedLines", errors).write(failed, [array.filter(not_ok) for array in arrays])
            start += piece.count

    def close(self) -> None:
        """Close the input file that is open."""
        self._arrays.close()

    @staticmethod
    def _converted(field: pa.Field, array: pa.Array | None) -> pa.Array | None:
        try:
            return None if array is None else convert(array, field)
        except (pa.ArrowException, ValueError, TypeError, OverflowError, NotImplementedError) as error:
            raise UnfitColumnError(field.name, str(error)) from error


def settled_fields(job: Job, dataset: Dataset, as_json: frozenset[str] = frozenset()) -> list[pa.Field]:
    """Return the Parquet field of each carried-over column, from the types in all files. Raises InputError."""
    carried = job.output.carried
    sources = [source for source, _ in carried]
    types = [column_types(file, sources) for file in dataset.files]
    fields = []
    for source, name in carried:
        kinds = list(dict.fromkeys(found[source] for found in types if source in found))
        fields.append(settle_field(name, kinds, as_json=name in as_json) if kinds else pa.field(name, pa.string()))
    return fields


def split_repeats(piece: Piece, columns: Sequence[pa.Array | None]) -> Iterator[tuple[int, int]]:
    """Split a piece where repeated rows would take much memory."""
    rows = max((len(array) for array in columns if array is not None), default=1)
    row_bytes = sum(array.nbytes for array in columns if array is not None) // max(1, rows)
    step = max(1, _PIECE_BYTES // max(1, row_bytes))
    for first in range(0, piece.count, step):
        yield first, min(piece.count, first + step)


def taken_rows(field: pa.Field, array: pa.Array | None, piece: Piece, first: int, last: int) -> pa.Array:
    """Return the values of the rows `first` up to `last` of a piece; nulls where the input lacks the column."""
    if array is None:
        return pa.nulls(last - first, field.type)
    if piece.indices is None:
        return array.slice(first, last - first)
    return array.take(pa.array(piece.indices[first:last], pa.int64()))
