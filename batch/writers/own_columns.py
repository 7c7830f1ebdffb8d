"""Type promptmill's own columns for Parquet, and make their arrays from lines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from batch.writers import Layout, UnfitColumnError, UnfitVectorsError
from batch.writers.values import clean, json_bytes

# A count beyond that is a server's mistake: the column stays an integer, and the JSON beside it has the number.
_INT64 = 1 << 63
_COUNTS = ("prompt_tokens", "completion_tokens", "total_tokens")
_USAGE = pa.struct([*((name, pa.int64()) for name in _COUNTS), ("json", pa.string())])
_OWN_TYPES: Mapping[str, pa.DataType] = {
    "id": pa.string(),
    "row": pa.int64(),
    "variant": pa.string(),
    "repeat": pa.int64(),
    "completion": pa.string(),
    "tool_calls": pa.string(),
    "reasoning": pa.string(),
    "scores": pa.list_(pa.float64()),
    "finish_reason": pa.string(),
    "usage": _USAGE,
    "attempts": pa.int64(),
    "latency_s": pa.float64(),
    "first_token_s": pa.float64(),
    "cost_usd": pa.float64(),
    "error": pa.struct([("kind", pa.string()), ("code", pa.string()), ("message", pa.string()), ("http_status", pa.int64())]),
}

# The name of the items of a column whose vectors have no size yet; files do not keep it.
_UNSIZED = "unsized"


def own_fields(layout: Layout) -> list[pa.Field]:
    """Return the fields of promptmill's own columns."""
    return [pa.field(name, _vector_type(layout) if name == "embedding" else _OWN_TYPES[name]) for name in layout.own]


def vector_size(kind: pa.DataType) -> int | None:
    """Return the size of the vectors that a column of this type holds, as a layout has it; None also for lists of them."""
    return kind.list_size if pa.types.is_fixed_size_list(kind) else None


def _vector_type(layout: Layout) -> pa.DataType:
    """32-bit floats, as models compute them. Until the size is known no vector is written, and the type does not matter."""
    if "embedding" in layout.as_json:
        return pa.list_(pa.list_(pa.float32()))
    if layout.vector_size == 0:
        return pa.list_(pa.field(_UNSIZED, pa.float32()))
    return pa.list_(pa.float32()) if layout.vector_size is None else pa.list_(pa.float32(), layout.vector_size)


def own_arrays(fields: Sequence[pa.Field], lines: Sequence[Mapping[str, Any]]) -> list[pa.Array]:
    """Make the arrays of promptmill's own columns. Raises UnfitColumnError."""
    arrays = []
    for field in fields:
        values = values_of(field, lines)
        if field.name == "usage":
            arrays.append(_usage(values))
            continue
        if field.name == "tool_calls":
            values = [None if calls is None else json_bytes(calls) for calls in values]
        elif field.name == "completion":
            values = [value if value is None or isinstance(value, str) else json_bytes(value) for value in values]
        elif field.name == "embedding":
            values = _vectors(field, values)
        arrays.append(array_of(field, values))
    return arrays


def _vectors(field: pa.Field, values: list[Any]) -> list[Any]:
    """Return the vectors as the column takes them. Raises UnfitVectorsError, and UnfitColumnError where a line has several vectors."""
    if pa.types.is_list(field.type) and pa.types.is_list(field.type.value_type):
        return [[value] if value and not isinstance(value[0], list) else value for value in values]
    sizes = {len(value) for value in values if value is not None}
    if any(value and isinstance(value[0], list) for value in values):
        raise UnfitColumnError(field.name, "some lines have several vectors")
    if pa.types.is_fixed_size_list(field.type) and sizes - {field.type.list_size}:
        raise UnfitVectorsError(field.name, None)
    if not pa.types.is_fixed_size_list(field.type) and field.type.value_field.name == _UNSIZED and sizes:
        raise UnfitVectorsError(field.name, sizes.pop() if len(sizes) == 1 else None)
    return values


def values_of(field: pa.Field, lines: Sequence[Mapping[str, Any]]) -> list[Any]:
    """Return the values of a column."""
    name = field.name  # Arrow makes a new text of it each time
    return [line[name] for line in lines]


def array_of(field: pa.Field, values: list[Any]) -> pa.Array:
    """Make the array of a column. Raises UnfitColumnError."""
    if field.metadata is not None:
        return pa.array([None if value is None else json_bytes(value) for value in values], field.type)
    try:
        return _typed_array(values, field.type)
    except (pa.ArrowException, ValueError, TypeError, OverflowError, NotImplementedError) as error:
        raise UnfitColumnError(field.name, str(error)) from error


def _typed_array(values: list[Any], kind: pa.DataType) -> pa.Array:
    if isinstance(kind, pa.BaseExtensionType):
        return pa.ExtensionArray.from_storage(kind, _typed_array(values, kind.storage_type))
    try:
        return pa.array(values, kind)
    except UnicodeEncodeError:
        return pa.array(_cleaned(values), kind)


def _usage(usages: Sequence[Mapping[str, Any] | None]) -> pa.Array:
    """Build the usage column member by member: from a list of dicts Arrow takes four times as long."""
    none: Mapping[str, Any] = {}
    counts = [[_whole((usage or none).get(name)) for usage in usages] for name in _COUNTS]
    texts = [None if usage is None else json_bytes(usage) for usage in usages]
    absent = pa.array([usage is None for usage in usages], pa.bool_())
    return pa.StructArray.from_arrays(
        [*(pa.array(count, pa.int64()) for count in counts), pa.array(texts, pa.string())], fields=list(_USAGE), mask=absent
    )


def _whole(value: Any) -> int | None:
    return value if type(value) is int and abs(value) < _INT64 else None


def _cleaned(value: Any) -> Any:
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, Mapping):
        return {_cleaned(key): _cleaned(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(map(_cleaned, value))
    return value
