"""Arrow values as Python's: exact, and total: no value of any type makes a row fail.

Maps and intervals are objects, dictionaries their values, UUIDs uuid.UUID. Times are datetime in microseconds; one that is finer keeps
its nanoseconds (nanoseconds.py). A time zone that is not installed reads as UTC. What Python's types cannot hold (the year 31,690,708) is
Arrow's text, and a string that is not UTF-8 is bytes. Arrow's types: https://arrow.apache.org/docs/python/api/datatypes.html
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import types

from batch.readers.nanoseconds import NanosecondDuration, NanosecondTime, NanosecondTimestamp

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_NS = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}


def values(column: pa.Array) -> list[Any]:
    """The values of `column`; never raises."""
    try:
        kind = read_as(column.type)
        # A safe cast refuses what would lose nanoseconds: those take the way of single values.
        plain = column if kind == column.type else column.cast(kind)
        found: list[Any] = plain.to_pylist()
        finish = _finisher(kind)
        return found if finish is None else [None if value is None else finish(value) for value in found]
    except Exception:  # noqa: BLE001 - Arrow raises what its types and Python's raise: each value then says for itself
        return [_value(scalar) for scalar in column]


def value_types(kind: pa.DataType) -> pa.DataType:
    """`kind` without dictionaries and run ends, whose values are what a column holds: two files never agree on their codes."""
    if types.is_dictionary(kind) or types.is_run_end_encoded(kind):
        return value_types(kind.value_type)
    return rebuilt(kind, value_types)


def as_value_types(column: pa.Array, kind: pa.DataType) -> pa.Array:
    """Return `column` as `kind`, which are its `value_types`. Raises ArrowException."""
    if column.type == kind:
        return column
    try:
        return column.cast(kind)
    except pa.ArrowNotImplementedError:
        # Arrow casts no run ends, and no dictionaries of views.
        if types.is_dictionary(column.type):
            # Nor does it take views by indices.
            large = {pa.string_view(): pa.large_string(), pa.binary_view(): pa.large_binary()}.get(kind, kind)
            return as_value_types(column.dictionary, large).take(column.indices).cast(kind)
        if types.is_run_end_encoded(column.type):
            return as_value_types(pc.run_end_decode(column), kind)
        if types.is_nested(kind):
            return pa.array(values(column), kind)
        raise


def read_as(kind: pa.DataType) -> pa.DataType:
    """The type that a column is cast to before its values are made: times in microseconds, zones that are installed."""
    if types.is_timestamp(kind):
        zone = kind.tz if kind.tz is None or is_zone(kind.tz) else "UTC"
        return pa.timestamp("us" if kind.unit == "ns" else kind.unit, zone)
    # Python's time has microseconds.
    if types.is_time64(kind):
        return pa.time64("us")
    if types.is_duration(kind) and kind.unit == "ns":
        return pa.duration("us")
    return rebuilt(kind, read_as)


def unknown_zones(kind: pa.DataType) -> set[str]:
    """The time zones within `kind` that are not installed."""
    if types.is_timestamp(kind):
        return {kind.tz} if kind.tz not in (None, "UTC") and not is_zone(kind.tz) else set()
    return set().union(*(unknown_zones(kind.field(number).type) for number in range(kind.num_fields)))


@lru_cache(maxsize=256)
def is_zone(name: str) -> bool:
    """Whether `name` is an offset such as +01:00, or a time zone that is installed."""
    try:
        pa.lib.string_to_tzinfo(name)
    except Exception:  # noqa: BLE001 - each source of time zones has its own errors
        return False
    return True


def rebuilt(kind: pa.DataType, change: Callable[[pa.DataType], pa.DataType]) -> pa.DataType:
    """`kind` with the types within it changed; one without types within as it is."""
    if types.is_struct(kind):
        return pa.struct([field.with_type(change(field.type)) for field in kind])
    if types.is_map(kind):
        return pa.map_(change(kind.key_type), kind.item_field.with_type(change(kind.item_type)), kind.keys_sorted)
    if types.is_fixed_size_list(kind):
        return pa.list_(kind.value_field.with_type(change(kind.value_type)), kind.list_size)
    if types.is_list(kind) or types.is_large_list(kind):
        make = pa.list_ if types.is_list(kind) else pa.large_list
        return make(kind.value_field.with_type(change(kind.value_type)))
    return kind


def _finisher(kind: pa.DataType) -> Callable[[Any], Any] | None:
    """What makes objects of the maps and intervals in a value of `kind`; None where there are none."""
    if types.is_interval(kind):
        return _interval
    if types.is_map(kind):
        key, item = _finisher(kind.key_type), _finisher(kind.item_type)
        return lambda pairs: _object((_finished(key, name), _finished(item, value)) for name, value in pairs)
    if types.is_struct(kind):
        made = {field.name: finish for field in kind if (finish := _finisher(field.type)) is not None}
        return (lambda value: {name: _finished(made.get(name), inner) for name, inner in value.items()}) if made else None
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        finish = _finisher(kind.value_type)
        return (lambda items: [_finished(finish, item) for item in items]) if finish is not None else None
    return None


def _interval(value: Any) -> dict[str, int]:
    return {"months": value.months, "days": value.days, "nanoseconds": value.nanoseconds}


def _finished(finish: Callable[[Any], Any] | None, value: Any) -> Any:
    return value if finish is None or value is None else finish(value)


def _object(pairs: Iterable[tuple[Any, Any]]) -> Any:
    """The object of a map's pairs, its keys as text; the pairs themselves where a key is a duplicate."""
    listed = [(key if isinstance(key, str) else str(key), value) for key, value in pairs]
    made = dict(listed)
    return made if len(made) == len(listed) else [list(pair) for pair in listed]


def _value(scalar: pa.Scalar) -> Any:
    """The value of one scalar; never raises."""
    try:
        if not scalar.is_valid:
            return None
        kind = scalar.type
        if isinstance(scalar, pa.ExtensionScalar):
            return _of_extension(scalar)
        if types.is_dictionary(kind) or types.is_union(kind) or types.is_run_end_encoded(kind):
            return _value(scalar.value) if isinstance(scalar.value, pa.Scalar) else scalar.as_py()
        if types.is_struct(kind):
            return {kind.field(number).name: _value(scalar[number]) for number in range(kind.num_fields)}
        if types.is_map(kind):
            return _object((_value(pair[0]), _value(pair[1])) for pair in scalar.values)
        if isinstance(scalar, pa.ListScalar):
            return [_value(item) for item in scalar.values]
        if types.is_interval(kind):
            return _interval(scalar.as_py())
        if types.is_temporal(kind):
            return _time(scalar)
        return scalar.as_py()
    except Exception:  # noqa: BLE001 - as `values`
        return _as_text(scalar)


def _of_extension(scalar: pa.ExtensionScalar) -> Any:
    try:
        return scalar.as_py()
    except Exception:  # noqa: BLE001 - as `values`
        return _value(scalar.value)


def _time(scalar: pa.Scalar) -> Any:
    kind = scalar.type
    if types.is_date(kind):
        return scalar.as_py()
    total = scalar.value * _NS[kind.unit]
    micros, rest = divmod(total, 1000)
    if types.is_duration(kind):
        return NanosecondDuration.of(dt.timedelta(microseconds=micros), rest)
    if types.is_time(kind):
        return NanosecondTime.of((_EPOCH + dt.timedelta(microseconds=micros)).time(), rest)
    moment = _EPOCH + dt.timedelta(microseconds=micros)
    if kind.tz is None:
        return NanosecondTimestamp.of(moment.replace(tzinfo=None), rest)
    return NanosecondTimestamp.of(moment.astimezone(pa.lib.string_to_tzinfo(kind.tz)) if is_zone(kind.tz) else moment, rest)


def _as_text(scalar: pa.Scalar) -> Any:
    """What Python's types cannot hold: bytes of a string that is not UTF-8, else Arrow's text, else the number behind it."""
    if hasattr(scalar, "as_buffer"):
        return scalar.as_buffer().to_pybytes()
    try:
        # Arrow's text of a duration is the number without its unit.
        text = None if types.is_duration(scalar.type) else scalar.cast(pa.string()).as_py()
    except Exception:  # noqa: BLE001 - as `values`
        text = None
    number = getattr(scalar, "value", None)
    return text if text is not None and "out of range" not in text else f"{number} ({scalar.type})"
