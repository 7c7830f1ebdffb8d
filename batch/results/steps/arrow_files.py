"""Keep the rows of a step in an Arrow file: the columns of the answered rows have the types that they have there, bytes among them.

What answers brought along, and lists of it, are JSON texts that are read as their values (readers/arrow.py: JSON_VALUES).
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa

from batch.readers import Dataset
from batch.readers.arrow import JSON_VALUES
from batch.readers.carried import CarriedArrays, column_fields
from batch.readers.rows import in_batches
from batch.readers.values import value_types
from batch.results.carried import split_repeats, taken_rows
from batch.results.steps.groups import GROUP, Groups, with_group
from batch.results.steps.rows import STEPS, StepRow, StepRows
from batch.settings.inputs import STEP_ID
from batch.writers.arrow_types import convert, settle_field
from batch.writers.values import clean, json_bytes

_ROWS = 256
_GROUPED_ROWS = 4096
_PLAIN = {"finish_reason": pa.string(), "variant": pa.string(), "repeat": pa.int64(), "parent_id": pa.string()}
_OWN = ("completion", "finish_reason", "parsed", "variant", "repeat", "item", "parent_id")


def write_arrow(rows: StepRows, group: str | None, path: Path) -> int:
    """Write `rows` to `path`; returns their number. Raises InputError, DamagedError, OSError."""
    if group is None:
        return _write(rows, rows, path)
    groups = Groups()
    ungrouped = path.with_name("ungrouped.arrow")
    # Not packed: it is mapped into memory.
    _write(rows, with_group(rows, group, groups.add), ungrouped, None)
    _write_groups(ungrouped, groups, group, path)
    return len(groups)


def _write(rows: StepRows, chosen: Iterable[StepRow], path: Path, compression: str | None = "zstd") -> int:
    own = _own_fields(rows)
    carried = _carried_columns(rows.run.dataset, {field.name for field in own})
    schema = pa.schema([*(column.stored for column in carried), *own])
    arrays = CarriedArrays([column.field.name for column in carried])
    count = 0
    with closing(arrays), pa.OSFile(str(path), "wb") as file, _writer(file, schema, compression) as writer:
        for batch in in_batches(((row, 0) for row in chosen), _ROWS):
            for portion, columns in _with_arrays(batch, carried, arrays):
                values = [_own_array(field, portion) for field in own]
                writer.write_batch(pa.record_batch([*columns, *values], schema=schema))
            count += len(batch)
    return count


def _with_arrays(
    batch: Sequence[StepRow], carried: Sequence[_CarriedColumn], arrays: CarriedArrays
) -> Iterator[tuple[Sequence[StepRow], list[pa.Array]]]:
    start = 0
    for piece in arrays.pieces([row.row for row in batch]):
        columns = [column.converted(values) for column, values in zip(carried, piece.columns, strict=True)]
        for first, last in split_repeats(piece, columns):
            taken = [taken_rows(column.field, values, piece, first, last) for column, values in zip(carried, columns, strict=True)]
            yield batch[start + first : start + last], taken
        start += piece.count


def _writer(file: Any, schema: pa.Schema, compression: str | None = "zstd") -> pa.ipc.RecordBatchFileWriter:
    return pa.ipc.new_file(file, schema, options=pa.ipc.IpcWriteOptions(compression=compression))


@dataclass(frozen=True, slots=True)
class _CarriedColumn:
    """A column of the answered rows. `as_texts`: it holds JSON texts of an earlier step already."""

    field: pa.Field
    as_texts: bool

    @property
    def stored(self) -> pa.Field:
        """The column in the file."""
        is_json = self.as_texts or self.field.metadata is not None
        return pa.field(self.field.name, self.field.type, metadata=JSON_VALUES if is_json else None)

    def converted(self, values: pa.Array | None) -> pa.Array | None:
        """Return an array of the input as one of this column's type."""
        return values if values is None or self.as_texts else convert(values, self.field)


def _carried_columns(dataset: Dataset, without: Container[str]) -> list[_CarriedColumn]:
    """Return the columns of all files of the input, each with the type that holds the values of all."""
    found: dict[str, list[pa.Field]] = {}
    for file in dataset.files:
        for name, field in column_fields(file).items():
            if name != STEP_ID and name not in without:
                found.setdefault(name, []).append(field)
    return [_carried_column(name, fields) for name, fields in found.items()]


def _carried_column(name: str, fields: Sequence[pa.Field]) -> _CarriedColumn:
    if (fields[0].metadata or {}).items() >= JSON_VALUES.items():
        return _CarriedColumn(pa.field(name, pa.string()), as_texts=True)
    # A dictionary has other codes in each batch, which the format does not take.
    kinds = list(dict.fromkeys(value_types(field.type) for field in fields))
    return _CarriedColumn(pa.field(name, kinds[0]) if len(kinds) == 1 else settle_field(name, kinds), as_texts=False)


def _own_fields(rows: StepRows) -> list[pa.Field]:
    names = [name for name in _OWN if name in rows.own_names]
    names += [STEPS] if any(column_fields(file).keys() & rows.own_names for file in rows.run.dataset.files) else []
    fields = [pa.field(name, _PLAIN[name]) if name in _PLAIN else pa.field(name, pa.string(), metadata=JSON_VALUES) for name in names]
    if not rows.may_have_several_texts:
        fields[0] = pa.field("completion", pa.large_string())
    return [*fields, pa.field(STEP_ID, pa.string())]


def _own_array(field: pa.Field, rows: Sequence[StepRow]) -> pa.Array:
    values = [row.id if field.name == STEP_ID else row.own.get(field.name) for row in rows]
    if field.metadata is not None:
        values = [None if value is None else clean(json_bytes(value).decode()) for value in values]
    return pa.array([clean(value) if isinstance(value, str) else value for value in values], field.type)


def _write_groups(ungrouped: Path, groups: Groups, path: str, target: Path) -> None:
    with pa.memory_map(str(ungrouped)) as source:
        table = pa.ipc.open_file(source).read_all()
        by = path if path in table.schema.names else GROUP
        fields = [_grouped_field(field, by) for field in table.schema if field.name != STEP_ID]
        if by == GROUP:
            fields = [*(field for field in fields if field.name != GROUP), pa.field(GROUP, pa.string())]
        schema = pa.schema([*fields, pa.field(STEP_ID, pa.string())])
        with pa.OSFile(str(target), "wb") as file, _writer(file, schema) as writer:
            for some in _portions(groups):
                writer.write_batch(_group_batch(table, some, schema, by))


def _grouped_field(field: pa.Field, by: str) -> pa.Field:
    if field.name == by or field.metadata is not None:
        return field
    return pa.field(field.name, pa.large_list(field.type))


def _portions(groups: Groups) -> Iterator[list[tuple[str, list[int]]]]:
    some: list[tuple[str, list[int]]] = []
    for group in groups:
        some.append(group)
        if sum(len(numbers) for _, numbers in some) >= _GROUPED_ROWS:
            yield some
            some = []
    if some:
        yield some


def _group_batch(table: pa.Table, groups: Sequence[tuple[str, list[int]]], schema: pa.Schema, by: str) -> pa.RecordBatch:
    numbers = [number for _, of_group in groups for number in of_group]
    ends = [0]
    for _, of_group in groups:
        ends.append(ends[-1] + len(of_group))
    rows = table.take(pa.array(numbers, pa.int64()))
    arrays = [_group_array(rows, field, ends, by, [name for name, _ in groups]) for field in schema]
    return pa.record_batch(arrays, schema=schema)


def _group_array(rows: pa.Table, field: pa.Field, ends: Sequence[int], by: str, names: Sequence[str]) -> pa.Array:
    if field.name == STEP_ID or (field.name == by == GROUP):
        return pa.array(names, pa.string())
    column = rows.column(field.name)
    values = pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)
    if field.name == by:
        return values.take(pa.array(ends[:-1], pa.int64()))
    if field.metadata is not None:
        texts = [text or "null" for text in values.to_pylist()]
        joined = [f"[{','.join(texts[start:end])}]" for start, end in pairwise(ends)]
        return pa.array(joined, field.type)
    return pa.LargeListArray.from_arrays(pa.array(ends, pa.int64()), values)
