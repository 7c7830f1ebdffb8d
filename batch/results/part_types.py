"""The types of columns over the parts of an output: readers take them for one table, so that they must agree.

Where the input has no types (JSONL, CSV), each part finds the types that its own values have. A column has the type of the parts that have
values in it; where these differ, it becomes JSON text in all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from batch.errors import StorageError
from batch.results.parts import PartPlan
from batch.writers.arrow_types import JSON_TEXT
from batch.writers.columns import VECTORS
from batch.writers.own_columns import vector_size


@dataclass(frozen=True, slots=True)
class PartTypes:
    """The columns that are JSON text in all parts, and the fields of the carried-over ones where the input has no types.

    `vector_size` is that of all parts' vectors: 0 where there are none, None where they have several sizes.
    """

    as_json: frozenset[str] = frozenset()
    fields: tuple[pa.Field, ...] = field(default=())
    vector_size: int | None = 0


def settle(plan: PartPlan, folder: Path, carried: Sequence[str], *, typed: bool) -> tuple[PartTypes, list[int]]:
    """Return the types that all Parquet parts should have, and the numbers of the parts that have others. Raises StorageError."""
    found = [[_fields(path) for path in plan.paths(number, folder, "parquet")] for number in range(plan.count)]
    kinds: dict[str, list[pa.Field]] = {}
    for of_part in found:
        for each, has_values in [pair for fields in of_part for pair in fields.values()]:
            seen = kinds.setdefault(each.name, [])
            if has_values and not any(each.equals(other, check_metadata=True) for other in seen):
                seen.append(each)
    vectors = [each.type for each in kinds.pop(VECTORS, ())]
    as_json = frozenset(name for name, seen in kinds.items() if len(seen) > 1)
    target = {name: seen[0] if seen else pa.field(name, pa.string()) for name, seen in kinds.items()}
    target |= {name: pa.field(name, pa.string(), metadata=JSON_TEXT) for name in as_json}
    fields = () if typed else tuple(target[name] for name in carried if name in target)
    wanted = as_json | {each.name for each in fields}
    size: int | None = 0
    if vectors:
        target[VECTORS], several, size = _vectors(vectors)
        as_json |= several
        wanted |= {VECTORS}
    other = [number for number, of_part in enumerate(found) if any(_differs(fields, target, wanted) for fields in of_part)]
    return PartTypes(as_json, fields, size), other


def _vectors(kinds: Sequence[pa.DataType]) -> tuple[pa.Field, frozenset[str], int | None]:
    """Return the column that holds the vectors of all these types, its name where it has lists of them, and their size."""
    lists = [kind for kind in kinds if pa.types.is_list(kind) and pa.types.is_list(kind.value_type)]
    if lists:
        return pa.field(VECTORS, lists[0]), frozenset((VECTORS,)), 0
    if len(kinds) > 1:
        return pa.field(VECTORS, pa.list_(pa.float32())), frozenset(), None
    return pa.field(VECTORS, kinds[0]), frozenset(), vector_size(kinds[0])


def _differs(fields: dict[str, tuple[pa.Field, bool]], target: dict[str, pa.Field], wanted: frozenset[str] | set[str]) -> bool:
    return any(name in wanted and not each.equals(target[name], check_metadata=True) for name, (each, _) in fields.items())


def _fields(path: Path) -> dict[str, tuple[pa.Field, bool]]:
    """Return each column's field, and whether it has a value; a nested one counts as having some."""
    try:
        with pq.ParquetFile(path) as file:
            metadata, schema = file.metadata, file.schema_arrow
            places = {metadata.schema.column(place).path: place for place in range(metadata.num_columns)}
            # Of its numbers: a nested column has no values of its own.
            if (numbers := places.get(f"{VECTORS}.list.element")) is not None:
                places[VECTORS] = numbers
            return {each.name: (each, _has_values(metadata, places.get(each.name))) for each in schema}
    except (OSError, pa.ArrowException) as error:
        raise StorageError(f"{path}: cannot be read: {error}") from error


def _has_values(metadata: pq.FileMetaData, place: int | None) -> bool:
    if place is None:
        return bool(metadata.num_rows)
    for group in range(metadata.num_row_groups):
        column = metadata.row_group(group).column(place)
        statistics = column.statistics
        if statistics is None or not statistics.has_null_count or statistics.null_count < metadata.row_group(group).num_rows:
            return True
    return False
