"""Columns of every Arrow type with values in them, for Hypothesis."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from decimal import Context, Decimal
from typing import Any

import pyarrow as pa
import pyarrow.compute
from hypothesis import strategies as st

_INTEGERS = [pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64()]
_ZONES = (None, "UTC", "Europe/Berlin", "+05:30")
_STAMPS = [pa.timestamp(unit, zone) for unit in ("s", "ms", "us", "ns") for zone in _ZONES]
_TIMES = [pa.time32("s"), pa.time32("ms"), pa.time64("us"), pa.time64("ns")]
_DURATIONS = [pa.duration(unit) for unit in ("s", "ms", "us", "ns")]
_TEXTS = [pa.string(), pa.large_string(), pa.string_view()]
_BYTES = [pa.binary(), pa.large_binary(), pa.binary_view(), pa.binary(3)]
_DECIMALS = [pa.decimal128(9, 2), pa.decimal128(38, 10), pa.decimal256(50, 5), pa.decimal32(5, 1), pa.decimal64(12, 3)]
_OTHERS = [pa.null(), pa.bool_(), pa.date32(), pa.date64(), pa.float16(), pa.float32(), pa.float64(), pa.month_day_nano_interval()]
FLAT = [*_INTEGERS, *_STAMPS, *_TIMES, *_DURATIONS, *_TEXTS, *_BYTES, *_DECIMALS, *_OTHERS]
_CONTEXT = Context(prec=80)


def _nested(inner: st.SearchStrategy[pa.DataType]) -> st.SearchStrategy[pa.DataType]:
    fields = st.lists(inner, min_size=1, max_size=3).map(lambda kinds: pa.struct([(f"f{n}", kind) for n, kind in enumerate(kinds)]))
    lists = st.one_of(inner.map(pa.list_), inner.map(pa.large_list), inner.map(pa.list_view), inner.map(lambda kind: pa.list_(kind, 2)))
    return st.one_of(fields, lists, inner.map(lambda kind: pa.map_(pa.string(), kind)))


def types() -> st.SearchStrategy[pa.DataType]:
    """Any type, nested to some depth; dictionaries and run ends at the top only, as writers make them."""
    plain = st.recursive(st.sampled_from(FLAT), _nested, max_leaves=3)
    coded = st.sampled_from([*_TEXTS[:2], pa.int32(), pa.date32()])
    return st.one_of(
        plain,
        coded.map(lambda kind: pa.dictionary(pa.int8(), kind)),
        coded.map(lambda kind: pa.run_end_encoded(pa.int32(), kind)),
        st.just(pa.uuid()),
        st.just(pa.dense_union([pa.field("i", pa.int64()), pa.field("s", pa.string())])),
    )


def arrays(kind: pa.DataType, size: int) -> st.SearchStrategy[pa.Array]:
    """An array of `size` values, nulls among them."""
    if pa.types.is_union(kind):
        return st.lists(st.booleans(), min_size=size, max_size=size).map(_union)
    if pa.types.is_dictionary(kind):
        return arrays(kind.value_type, size).map(lambda array: array.dictionary_encode().cast(kind))
    if pa.types.is_run_end_encoded(kind):
        return arrays(kind.value_type, size).map(pa.compute.run_end_encode)
    return st.lists(values(kind), min_size=size, max_size=size).map(lambda items: _array(items, kind))


def _array(items: list[Any], kind: pa.DataType) -> pa.Array:
    if isinstance(kind, pa.BaseExtensionType):
        return pa.ExtensionArray.from_storage(kind, pa.array(items, kind.storage_type))
    return pa.array(items, kind)


def _union(texts: list[bool]) -> pa.Array:
    offsets = [sum(1 for earlier in texts[:place] if earlier == text) for place, text in enumerate(texts)]
    children = [pa.array(range(len(texts)), pa.int64()), pa.array([f"t{n}" for n in range(len(texts))])]
    return pa.UnionArray.from_dense(pa.array([int(text) for text in texts], pa.int8()), pa.array(offsets, pa.int32()), children, ["i", "s"])


def values(kind: pa.DataType) -> st.SearchStrategy[Any]:
    """Values of a type that Python can hold, None among them."""
    return st.none() if pa.types.is_null(kind) else st.none() | _some(kind)


def _some(kind: pa.DataType) -> st.SearchStrategy[Any]:  # noqa: C901 - a table of types
    if pa.types.is_boolean(kind):
        return st.booleans()
    if pa.types.is_integer(kind):
        bits = kind.bit_width
        signed = pa.types.is_signed_integer(kind)
        return st.integers(-(1 << bits - 1) if signed else 0, (1 << bits - signed) - 1)
    if pa.types.is_floating(kind):
        return st.floats(width=kind.bit_width)
    if pa.types.is_decimal(kind):
        most = 10**kind.precision - 1
        return st.integers(-most, most).map(lambda n: Decimal(n).scaleb(-kind.scale, _CONTEXT))
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return st.text(st.characters(exclude_categories=("Cs",)), max_size=8)
    if pa.types.is_fixed_size_binary(kind):
        return st.binary(min_size=kind.byte_width, max_size=kind.byte_width)
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind):
        return st.binary(max_size=8)
    if pa.types.is_date(kind):
        return st.dates(date(1700, 1, 1), date(2200, 1, 1))
    if pa.types.is_timestamp(kind):
        return st.integers(-8_000_000_000, 7_000_000_000).map(
            lambda n: datetime(1970, 1, 1, tzinfo=UTC if kind.tz else None) + timedelta(seconds=n)
        )
    if pa.types.is_time(kind):
        return st.integers(0, 86_399).map(lambda n: time(n // 3600, n // 60 % 60, n % 60))
    if pa.types.is_duration(kind):
        return st.integers(-10_000_000, 10_000_000).map(lambda n: timedelta(seconds=n))
    if pa.types.is_interval(kind):
        return st.tuples(st.integers(-99, 99), st.integers(-99, 99), st.integers(-(10**9), 10**9)).map(pa.MonthDayNano)
    return _some_nested(kind)


def _some_nested(kind: pa.DataType) -> st.SearchStrategy[Any]:
    if pa.types.is_struct(kind):
        return st.fixed_dictionaries({field.name: values(field.type) for field in kind})
    if pa.types.is_map(kind):
        return st.dictionaries(st.text(st.characters(codec="ascii"), max_size=3), values(kind.item_type), max_size=2).map(
            lambda d: list(d.items())
        )
    if isinstance(kind, pa.BaseExtensionType):
        return st.binary(min_size=16, max_size=16)
    size = kind.list_size if pa.types.is_fixed_size_list(kind) else None
    return st.lists(values(kind.value_type), min_size=size or 0, max_size=2 if size is None else size)
