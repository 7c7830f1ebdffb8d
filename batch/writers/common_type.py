"""Find the Arrow type that holds the values of two types exactly: for a column whose type differs between the input's files."""

from __future__ import annotations

import pyarrow as pa

_UNITS = ("s", "ms", "us", "ns")
_SIGNED = {8: pa.int8(), 16: pa.int16(), 32: pa.int32(), 64: pa.int64()}
_UNSIGNED = {8: pa.uint8(), 16: pa.uint16(), 32: pa.uint32(), 64: pa.uint64()}
# Decimal digits of the largest integer of each width, signed or not.
_DIGITS = {8: 3, 16: 5, 32: 10, 64: 20}
MOST_DIGITS = 38
"""Digits of a decimal that every reader of Parquet takes."""


def common_type(left: pa.DataType | None, right: pa.DataType | None) -> pa.DataType | None:
    """Return the type that holds both; None where only JSON text does.

    Integers beside fractions become doubles, which are exact to 2^53: `convert` refuses larger ones.
    """
    if left is None or right is None:
        return None
    if left == right:
        return left
    for kind, other in ((left, right), (right, left)):
        if pa.types.is_null(kind):
            return other
    left, right = _storage(left), _storage(right)
    if left == right:
        return left
    for holds, unify in _FAMILIES:
        if holds(left) and holds(right):
            return unify(left, right)
    return None


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))


def _number(left: pa.DataType, right: pa.DataType) -> pa.DataType | None:
    kinds = (left, right)
    if all(map(pa.types.is_integer, kinds)):
        return _integer(left, right)
    if any(map(pa.types.is_decimal, kinds)):
        return None if any(map(pa.types.is_floating, kinds)) else _decimal(left, right)
    widest = max(kind.bit_width for kind in kinds)
    return pa.float64() if widest == 64 or any(map(pa.types.is_integer, kinds)) else pa.float32()


def _integer(left: pa.DataType, right: pa.DataType) -> pa.DataType:
    signed = [pa.types.is_signed_integer(kind) for kind in (left, right)]
    widest = max(left.bit_width, right.bit_width)
    if signed[0] == signed[1]:
        return (_SIGNED if signed[0] else _UNSIGNED)[widest]
    unsigned = (left if signed[1] else right).bit_width
    # Beyond int64 `convert` refuses the value, and the column becomes JSON text.
    return _SIGNED[min(64, max(widest, 2 * unsigned))]


def _decimal(left: pa.DataType, right: pa.DataType) -> pa.DataType | None:
    scales = [kind.scale if pa.types.is_decimal(kind) else 0 for kind in (left, right)]
    whole = [(kind.precision - kind.scale) if pa.types.is_decimal(kind) else _DIGITS[kind.bit_width] for kind in (left, right)]
    scale, digits = max(scales), max(whole) + max(scales)
    return pa.decimal128(digits, scale) if digits <= MOST_DIGITS else None


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _is_bytes(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind))


def _bytes(left: pa.DataType, right: pa.DataType) -> pa.DataType:
    return pa.large_binary() if any(map(pa.types.is_large_binary, (left, right))) else pa.binary()


def _is_stamp(kind: pa.DataType) -> bool:
    return bool(pa.types.is_timestamp(kind) or pa.types.is_date(kind))


def _stamp(left: pa.DataType, right: pa.DataType) -> pa.DataType | None:
    if all(map(pa.types.is_date, (left, right))):
        return pa.date32()
    stamps = [kind for kind in (left, right) if pa.types.is_timestamp(kind)]
    zones = {kind.tz for kind in stamps} | ({None} if len(stamps) == 1 else set())
    if None in zones and len(zones) > 1:
        return None
    return pa.timestamp(_finest(*stamps), zones.pop() if len(zones) == 1 else "UTC")


def _finest(*kinds: pa.DataType) -> str:
    return str(max((kind.unit for kind in kinds), key=_UNITS.index))


def _is_clock(kind: pa.DataType) -> bool:
    return bool(pa.types.is_time(kind))


def _clock(left: pa.DataType, right: pa.DataType) -> pa.DataType:
    unit = _finest(left, right)
    return pa.time32(unit) if unit in {"s", "ms"} else pa.time64(unit)


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def _list(left: pa.DataType, right: pa.DataType) -> pa.DataType | None:
    value = _field(left.value_field, right.value_field)
    if value is None:
        return None
    if all(map(pa.types.is_fixed_size_list, (left, right))) and left.list_size == right.list_size:
        return pa.list_(value, left.list_size)
    return pa.large_list(value) if any(map(pa.types.is_large_list, (left, right))) else pa.list_(value)


def _struct(left: pa.StructType, right: pa.StructType) -> pa.DataType | None:
    fields: dict[str, pa.Field | None] = {field.name: field.with_nullable(True) for field in (*left, *right)}
    if len(set(left.names)) < len(left.names) or len(set(right.names)) < len(right.names):
        return None
    for name in set(left.names) & set(right.names):
        fields[name] = _field(left.field(name), right.field(name))
    found = [field for field in fields.values() if field is not None]
    return pa.struct(found) if len(found) == len(fields) else None


def _map(left: pa.MapType, right: pa.MapType) -> pa.DataType | None:
    key, item = _field(left.key_field, right.key_field), _field(left.item_field, right.item_field)
    return None if key is None or item is None else pa.map_(key.with_nullable(False), item)


def _field(left: pa.Field, right: pa.Field) -> pa.Field | None:
    kind = common_type(left.type, right.type)
    return None if kind is None else pa.field(left.name, kind, nullable=left.nullable or right.nullable)


def _storage(kind: pa.DataType) -> pa.DataType:
    return kind.storage_type if isinstance(kind, pa.BaseExtensionType) else kind


_FAMILIES = (
    (_is_number, _number),
    (_is_text, lambda left, right: pa.large_string()),  # noqa: ARG005 - one of the two is large
    (_is_bytes, _bytes),
    (_is_stamp, _stamp),
    (_is_clock, _clock),
    (pa.types.is_duration, lambda left, right: pa.duration(_finest(left, right))),
    (_is_list, _list),
    (pa.types.is_struct, _struct),
    (pa.types.is_map, _map),
)
