"""Decide as which Arrow type a carried-over column is stored in Parquet, and convert its arrays to that type.

A dictionary becomes its value type, a view its plain type, an extension type that Parquet loses its storage type, a zone that is a bare
offset or not installed UTC, a list of the fixed size 0 a list. A type that Parquet cannot store (a union, an interval, a decimal of
more than 38 digits, a struct without fields) becomes JSON text, and the field's metadata
says {"promptmill": "json"}.
All other types stay exact.
"""

from __future__ import annotations

import io
from collections.abc import Iterable
from functools import lru_cache, reduce
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from batch.writers.common_type import MOST_DIGITS, common_type
from batch.writers.values import json_bytes

JSON_TEXT = {"promptmill": "json"}


def settle_field(name: str, kinds: Iterable[pa.DataType], *, as_json: bool = False) -> pa.Field:
    """Return the field that holds the values of all `kinds`: a column's types in the input's files. Nullable, since a bad row has none.

    `as_json` asks for JSON text, for values that do not fit the common type.
    """
    stored = [_stored(kind) for kind in kinds]
    kind = None if as_json else reduce(common_type, stored, pa.null())
    kind = None if kind is None else _as_read_back(kind)
    return pa.field(name, pa.string(), metadata=JSON_TEXT) if kind is None else pa.field(name, kind)


def convert(array: pa.Array, field: pa.Field) -> pa.Array:
    """Convert an array of the input to the type of its settled field.

    Raises:
        pa.ArrowException, ValueError, TypeError, OverflowError, NotImplementedError: a value does not fit the type.
    """
    if isinstance(array, pa.ChunkedArray):
        array = pa.concat_arrays(array.chunks) if array.num_chunks != 1 else array.chunk(0)
    if field.metadata is not None:
        return _json_array(array)
    converted = _converted(array, field.type)
    # Text that is not UTF-8 would make a file that readers refuse.
    converted.validate(full=True)
    return converted


def same(left: pa.Array, right: pa.Array) -> bool:
    """Return whether two arrays of one type have the same values; NaN equals NaN."""
    if left.equals(right):
        return True
    kind = left.type
    if kind != right.type or len(left) != len(right) or not left.is_null().equals(right.is_null()):
        return False
    if isinstance(kind, pa.BaseExtensionType):
        return same(left.storage, right.storage)
    if pa.types.is_floating(kind):
        wide = pa.float32() if pa.types.is_float16(kind) else kind
        return _same_floats(left.cast(wide), right.cast(wide))
    if pa.types.is_struct(kind):
        return all(same(mine, theirs) for mine, theirs in zip(left.flatten(), right.flatten(), strict=True))
    if pa.types.is_map(kind):
        return same(_as_lists(left), _as_lists(right))
    if _is_list(kind):
        lengths = pc.list_value_length
        return lengths(left).equals(lengths(right)) and same(left.flatten(), right.flatten())
    return False


def _same_floats(left: pa.Array, right: pa.Array) -> bool:
    nan = pc.fill_null(pc.is_nan(left), False)
    if not nan.equals(pc.fill_null(pc.is_nan(right), False)):
        return False
    keep = pc.invert(nan)
    return bool(left.filter(keep).equals(right.filter(keep)))


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def _stored(kind: pa.DataType) -> pa.DataType | None:
    """Return the type without dictionaries, views and run ends, and the storage of nested extensions; None for what must be JSON text."""
    if isinstance(kind, pa.BaseExtensionType):
        storage = _stored(kind.storage_type)
        exact = storage is not None and storage == kind.storage_type and _as_read_back(kind) is not None
        return kind if exact else storage
    if pa.types.is_dictionary(kind) or pa.types.is_run_end_encoded(kind):
        return _stored(kind.value_type)
    if pa.types.is_timestamp(kind) and kind.tz and not _is_zone(kind.tz):
        # The instants are the same; readers refuse a file whose zone they do not know by name.
        return pa.timestamp(kind.unit, "UTC")
    if pa.types.is_decimal(kind):
        # Polars, Spark and others refuse a file with more digits.
        return pa.decimal128(kind.precision, kind.scale) if kind.precision <= MOST_DIGITS else None
    if pa.types.is_string_view(kind):
        return pa.large_string()
    if pa.types.is_binary_view(kind):
        return pa.large_binary()
    if pa.types.is_struct(kind):
        fields = [field for field in map(_stored_field, kind) if field is not None]
        return pa.struct(fields) if 0 < len(fields) == kind.num_fields else None
    if pa.types.is_map(kind):
        key, item = _stored_field(kind.key_field), _stored_field(kind.item_field)
        return None if key is None or item is None else pa.map_(key, item, keys_sorted=kind.keys_sorted)
    if pa.types.is_fixed_size_list(kind):
        value = _stored_field(kind.value_field)
        # Arrow reads no row of lists of a fixed size of 0 back.
        return None if value is None else pa.list_(value, kind.list_size or -1)
    if _is_list(kind) or pa.types.is_list_view(kind) or pa.types.is_large_list_view(kind):
        value = _stored_field(kind.value_field)
        make = pa.list_ if pa.types.is_list(kind) else pa.large_list
        return None if value is None else make(value)
    return None if pa.types.is_union(kind) or pa.types.is_interval(kind) else kind


@lru_cache(maxsize=256)
def _is_zone(name: str) -> bool:
    """Return whether `name` is a zone of the IANA database as it is installed."""
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True


def _stored_field(field: pa.Field) -> pa.Field | None:
    kind = _stored(field.type)
    if isinstance(kind, pa.BaseExtensionType):
        kind = kind.storage_type
    return None if kind is None else field.with_type(kind)


def _as_read_back(kind: pa.DataType) -> pa.DataType | None:
    """Return the type that a reader finds when a column of `kind` was written (seconds become milliseconds); None if none can be."""
    try:
        return _read_back(kind)
    except (pa.ArrowException, ValueError, TypeError, NotImplementedError, OSError):
        return None


# A cache keeps no exception: what a library refuses once may be taken the next time.
@lru_cache(maxsize=256)
def _read_back(kind: pa.DataType) -> pa.DataType | None:
    for _ in range(2):
        schema = pa.schema([pa.field("c", kind)])
        file = io.BytesIO()
        pq.write_table(schema.empty_table(), file)
        found = pq.read_table(file).schema.field("c").type
        if found == kind:
            return kind
        kind = found
    return None


def _converted(array: pa.Array, kind: pa.DataType) -> pa.Array:
    source = array.type
    if source == kind:
        return array
    if isinstance(source, pa.BaseExtensionType):
        return _converted(array.storage, kind)
    if isinstance(kind, pa.BaseExtensionType):
        return pa.ExtensionArray.from_storage(kind, _converted(array, kind.storage_type))
    if pa.types.is_dictionary(source):
        return _converted(array.dictionary, kind).take(array.indices)
    if pa.types.is_run_end_encoded(source):
        return _converted(pc.run_end_decode(array), kind)
    if pa.types.is_null(source):
        return pa.nulls(len(array), kind)
    if pa.types.is_struct(kind) and pa.types.is_struct(source):
        return _struct(array, kind)
    if pa.types.is_map(kind) and pa.types.is_map(source):
        lists = _as_lists(array)
        entries = lists.flatten()
        parts = _converted(entries.field(0), kind.key_type), _converted(entries.field(1), kind.item_type)
        offsets = _offsets(pc.list_value_length(lists), pa.int32())
        return pa.MapArray.from_arrays(offsets, *parts, kind, mask=array.is_null())
    if pa.types.is_fixed_size_list(kind) and pa.types.is_fixed_size_list(source):
        size = source.list_size
        values = array.values.slice(array.offset * size, len(array) * size)
        return pa.FixedSizeListArray.from_arrays(_converted(values, kind.value_type), type=kind, mask=array.is_null())
    if _is_list(kind) and (_is_list(source) or pa.types.is_list_view(source) or pa.types.is_large_list_view(source)):
        large = pa.types.is_large_list(kind)
        offsets = _offsets(pc.list_value_length(array), pa.int64() if large else pa.int32())
        make = pa.LargeListArray if large else pa.ListArray
        return make.from_arrays(offsets, _converted(array.flatten(), kind.value_type), type=kind, mask=array.is_null())
    return array.cast(kind)


def _struct(array: pa.StructArray, kind: pa.StructType) -> pa.Array:
    names = array.type.names
    parts = [
        _converted(array.field(names.index(field.name)), field.type) if field.name in names else pa.nulls(len(array), field.type)
        for field in kind
    ]
    return pa.StructArray.from_arrays(parts, fields=list(kind), mask=array.is_null())


def _as_lists(array: pa.MapArray) -> pa.ListArray:
    """Return maps as lists of {key, value}: the functions of lists mind slices and nulls, and do not take maps."""
    kind = array.type
    entries = pa.struct([kind.key_field, kind.item_field])
    return array.cast(pa.list_(pa.field("entries", entries, nullable=False)))


def _offsets(lengths: pa.Array, kind: pa.DataType) -> pa.Array:
    sums = pc.cumulative_sum(pc.fill_null(lengths, 0).cast(pa.int64()))
    return pa.concat_arrays([pa.array([0], pa.int64()), sums]).cast(kind)


def _json_array(array: pa.Array) -> pa.Array:
    try:
        values = array.to_pylist(maps_as_pydicts="lossy")
    except (ValueError, OverflowError):
        values = [_value(array.slice(row, 1)) for row in range(len(array))]
    return pa.array([None if value is None else json_bytes(_plain(value)) for value in values], pa.string())


def _value(array: pa.Array) -> Any:
    """Return the only value of `array`; as text where Python has no such value (the year 10000, text that is not UTF-8)."""
    try:
        return array.to_pylist(maps_as_pydicts="lossy")[0]
    except UnicodeDecodeError:
        return str(array.cast(pa.large_binary())[0].as_py(), "utf-8", "replace")
    except (ValueError, OverflowError):
        return array.cast(pa.string())[0].as_py()


def _plain(value: Any) -> Any:
    """Return the value with intervals as objects, which JSON would show as Python's text of them."""
    if isinstance(value, pa.MonthDayNano):
        return {"months": value.months, "days": value.days, "nanoseconds": value.nanoseconds}
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list) else value
