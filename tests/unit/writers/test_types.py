"""The types of carried-over columns: as Parquet stores them, and in common for files that disagree."""

from __future__ import annotations

from decimal import Decimal

import pyarrow as pa
import pytest

from batch.writers.arrow_types import JSON_TEXT, convert, same, settle_field
from batch.writers.common_type import common_type

LARGE, BERLIN = pa.large_string(), pa.timestamp("us", "Europe/Berlin")
NUMBERS = pa.list_(pa.int64())


@pytest.mark.parametrize(
    ("kind", "stored"),
    [
        (pa.int8(), pa.int8()),
        (pa.dictionary(pa.int32(), pa.string()), pa.string()),
        (pa.run_end_encoded(pa.int32(), pa.int64()), pa.int64()),
        (pa.string_view(), LARGE),
        (pa.list_view(pa.int64()), pa.large_list(pa.int64())),
        (pa.list_(pa.dictionary(pa.int8(), pa.string())), pa.list_(pa.string())),
        (pa.timestamp("s"), pa.timestamp("ms")),
        (pa.timestamp("ns", "+05:30"), pa.timestamp("ns", "UTC")),
        (pa.timestamp("us", "Mars/Phobos"), pa.timestamp("us", "UTC")),
        (BERLIN, BERLIN),
        (pa.uuid(), pa.uuid()),
        (pa.list_(pa.uuid()), pa.list_(pa.binary(16))),
        (pa.decimal256(20, 2), pa.decimal128(20, 2)),
        (pa.decimal32(5, 1), pa.decimal128(5, 1)),
        (pa.decimal256(50, 5), None),
        (pa.month_day_nano_interval(), None),
        (pa.struct([]), None),
        (pa.list_(pa.float32(), 0), pa.list_(pa.float32())),
        (pa.list_(pa.list_(pa.string(), 0)), pa.list_(pa.list_(pa.string()))),
        (pa.struct([pa.field("u", pa.dense_union([pa.field("i", pa.int64())]))]), None),
    ],
)
def test_each_type_has_a_form_that_parquet_stores(kind: pa.DataType, stored: pa.DataType | None) -> None:
    """Exact where Parquet can; the value type, storage type or plain type where it cannot; JSON text where nothing fits (fault 71)."""
    field = settle_field("c", [kind])

    assert field.type == (pa.string() if stored is None else stored)
    assert (field.metadata == {b"promptmill": b"json"}) == (stored is None)


@pytest.mark.parametrize(
    ("left", "right", "both"),
    [
        (pa.int64(), pa.null(), pa.int64()),
        (pa.int8(), pa.int32(), pa.int32()),
        (pa.uint8(), pa.int8(), pa.int16()),
        (pa.uint64(), pa.int64(), pa.int64()),
        (pa.int64(), pa.float64(), pa.float64()),
        (pa.float16(), pa.float32(), pa.float32()),
        (pa.int32(), pa.decimal128(5, 2), pa.decimal128(12, 2)),
        (pa.decimal128(20, 0), pa.decimal128(18, 18), pa.decimal128(38, 18)),
        (pa.decimal128(38, 0), pa.decimal128(38, 38), None),
        (pa.decimal128(5, 2), pa.float64(), None),
        (pa.string(), LARGE, LARGE),
        (pa.binary(3), pa.binary(4), pa.binary()),
        (pa.timestamp("s"), pa.timestamp("us"), pa.timestamp("us")),
        (pa.timestamp("s", "UTC"), BERLIN, pa.timestamp("us", "UTC")),
        (pa.timestamp("s"), BERLIN, None),
        (pa.date32(), pa.timestamp("ms"), pa.timestamp("ms")),
        (pa.time32("s"), pa.time64("ns"), pa.time64("ns")),
        (pa.duration("s"), pa.duration("ms"), pa.duration("ms")),
        (NUMBERS, pa.list_(pa.float64()), pa.list_(pa.float64())),
        (NUMBERS, pa.list_(pa.string()), None),
        (NUMBERS, pa.large_list(pa.int64()), pa.large_list(pa.int64())),
        (pa.struct({"a": pa.int8()}), pa.struct({"b": pa.string()}), pa.struct({"a": pa.int8(), "b": pa.string()})),
        (pa.struct({"a": pa.int8()}), pa.struct({"a": pa.string()}), None),
        (pa.map_(pa.string(), pa.int8()), pa.map_(pa.string(), pa.int64()), pa.map_(pa.string(), pa.int64())),
        (pa.bool_(), pa.int64(), None),
        (pa.string(), pa.int64(), None),
        (pa.uuid(), pa.binary(16), pa.binary(16)),
    ],
)
def test_two_types_have_one_that_holds_both(left: pa.DataType, right: pa.DataType, both: pa.DataType | None) -> None:
    """The narrowest that is exact, whichever file comes first; None where there is none (fault 71)."""
    for one, other in ((left, right), (right, left)):
        found = common_type(one, other)
        # The order of a struct's fields is that of the first file.
        assert found == both or (pa.types.is_struct(both) and {f.name: f.type for f in found} == {f.name: f.type for f in both})


def test_a_column_without_files_that_have_it_is_json_text_of_nothing() -> None:
    """No types at all, or asked for as JSON: the field is text, and values become JSON."""
    assert settle_field("c", [pa.int64()], as_json=True) == pa.field("c", pa.string(), metadata=JSON_TEXT)
    array = convert(pa.array([{"a": [1, None]}, None]), pa.field("c", pa.string(), metadata=JSON_TEXT))
    assert array.to_pylist() == ['{"a":[1,null]}', None]


def test_sliced_arrays_keep_their_rows() -> None:
    """A part of a nested array becomes that part, with its nulls, in each kind of nesting (fault 71)."""
    text = pa.dictionary(pa.int8(), pa.string())
    values = [[{"k": "a"}], None, [], [{"k": "b"}, {"k": None}], [{"k": "c"}]]
    lists = pa.array(values, pa.list_(pa.struct({"k": pa.string()})))
    coded = lists.cast(pa.list_(pa.struct({"k": pa.string()})))
    for kind in (pa.large_list(pa.struct({"k": pa.large_string()})), pa.list_(pa.struct({"k": pa.string(), "more": pa.int8()}))):
        for start in range(len(values)):
            found = convert(coded.slice(start, 2), pa.field("c", kind)).to_pylist()
            assert [item if item is None else [part["k"] for part in item] for item in found] == [
                item if item is None else [part["k"] for part in item] for item in values[start : start + 2]
            ]
    pairs = [[("x", "a")], None, [], [("y", None), ("z", "b")]]
    maps = pa.array(pairs, pa.map_(pa.string(), pa.string()))
    for start in range(len(pairs)):
        found = convert(maps.slice(start, 2), pa.field("c", pa.map_(pa.string(), pa.large_string()))).to_pylist()
        assert found == pairs[start : start + 2]
    fixed = pa.array([[1, 2], None, [3, 4]], pa.list_(pa.int8(), 2))
    assert convert(fixed.slice(1, 2), pa.field("c", pa.list_(pa.int64(), 2))).to_pylist() == [None, [3, 4]]
    empty = pa.array([[], None, []], pa.list_(pa.string(), 0))
    assert convert(empty.slice(1, 2), pa.field("c", pa.list_(pa.string()))).to_pylist() == [None, []]
    words = pa.array(["a", None, "b"]).cast(text)
    assert convert(words.slice(1, 2), pa.field("c", pa.string())).to_pylist() == [None, "b"]


def test_values_that_python_lacks_become_text() -> None:
    """JSON text has the year 10000, text that is not UTF-8 and decimals of many digits; such text is not stored as text (fault 71)."""
    field = pa.field("c", pa.string(), metadata=JSON_TEXT)
    assert convert(pa.array([253402300800, 0, None], pa.timestamp("s", "UTC")), field).to_pylist() == [
        '"10000-01-01 00:00:00Z"', '"1970-01-01T00:00:00+00:00"', None
    ]  # fmt: skip
    broken = pa.array([b"a\xff", b"b"]).view(pa.string())
    assert convert(broken, field).to_pylist() == ['"a\ufffd"', '"b"']
    with pytest.raises(pa.ArrowInvalid):
        convert(broken, pa.field("c", pa.string()))
    assert convert(pa.array([Decimal("1" * 45)], pa.decimal256(50, 5)), field).to_pylist() == ["1" * 45 + ".00000"]


def test_a_value_that_does_not_fit_is_refused() -> None:
    """An integer beyond 2^53 is not made a double that is another number."""
    with pytest.raises(pa.ArrowInvalid):
        convert(pa.array([(1 << 53) + 1]), pa.field("c", pa.float64()))


def test_equal_arrays_are_told_from_others() -> None:
    """NaN equals NaN, also in half floats and extension types; null is not NaN, and lengths count."""
    nan = float("nan")
    assert same(pa.array([nan, 1.0]), pa.array([nan, 1.0]))
    assert not same(pa.array([nan, 1.0]), pa.array([1.0, nan]))
    assert not same(pa.array([nan, 1.0]), pa.array([None, 1.0], pa.float64()))
    assert same(pa.array([[nan], []]), pa.array([[nan], []]))
    kind = pa.map_(pa.string(), pa.float64())
    assert same(pa.array([[("k", nan)], None], kind), pa.array([[("k", nan)], None], kind))
    assert not same(pa.array([[("k", nan)], []], kind), pa.array([[], [("k", nan)]], kind))
    assert not same(pa.array([[nan], []]), pa.array([[], [nan]]))
    assert not same(pa.array(["a"]), pa.array(["b"]))
    assert not same(pa.array([1]), pa.array([1, 1]))
    tensor = pa.fixed_shape_tensor(pa.float32(), [2])
    assert same(*(pa.ExtensionArray.from_storage(tensor, pa.array([[nan, 1.0]], pa.list_(pa.float32(), 2))) for _ in range(2)))


def test_an_interval_is_an_object_as_json_text() -> None:
    """Its parts have names, in place of Python's text of them."""
    kind = pa.month_day_nano_interval()
    array = pa.array([pa.MonthDayNano((1, 2, 3)), None], kind)

    assert convert(array, settle_field("c", [kind])).to_pylist() == ['{"months":1,"days":2,"nanoseconds":3}', None]
