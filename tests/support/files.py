"""Reads input files with damaged bytes; `python -m tests.support.files SEED COUNT` prints what is neither rows nor InputError.

A process of its own: Arrow's C++ code may end it.
"""

from __future__ import annotations

import gzip
import io
import json
import random
import sys
import tempfile
import traceback
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from decimal import Context, Decimal
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet as pq
import zstandard
from hypothesis import strategies as st

from batch.errors import InputError
from batch.prompts import RequestBuilder
from batch.readers import Dataset
from batch.readers.carried import CarriedArrays, column_types
from batch.records import BadRow, Row
from batch.settings import InputSettings, PromptSettings, ProviderSettings, Variant


def pack(data: bytes, suffix: str, cut: int = 0) -> bytes:
    """`data` as `suffix` ("", ".gz", ".zst") wants it, in two members or frames that meet at `cut`."""
    pack_one = {"": bytes, ".gz": gzip.compress, ".zst": zstandard.ZstdCompressor().compress}[suffix]
    return pack_one(data[:cut]) + pack_one(data[cut:])


def dataset(*paths: Path | str, **settings: Any) -> Dataset:
    """The dataset over `paths`."""
    return Dataset(InputSettings(paths=tuple(map(str, paths)), **settings))


def rows_of(data: Dataset, size: int = 256) -> list[Row | BadRow]:
    """All rows in order."""
    return [row for batch in data.batches(size) for row in batch]


def write(path: Path, data: bytes) -> Path:
    """`path`, now holding `data`."""
    path.write_bytes(data)
    return path


def row(padded: bool = False, row_id: str = "FR", **columns: Any) -> Row:
    """Line 17 of countries.jsonl."""
    return Row(16, row_id, columns, "/data/countries.jsonl", 17, padded)


def variant(parameters: dict[str, Any] | None = None, provider: dict[str, Any] | None = None, model: str = "m", **prompt: Any) -> Variant:
    """A variant with this prompt."""
    settings = ProviderSettings(**{"name": "house", "base_url": "http://127.0.0.1/v1", **(provider or {})})
    return Variant(name="house/m", slug="m", provider=settings, model=model, parameters=parameters or {}, prompt=PromptSettings(**prompt))


def body(a_variant: Variant, a_row: Row, stream: bool = False) -> dict[str, Any]:
    """The body that is sent, read back."""
    return orjson.loads(RequestBuilder(a_variant, stream).build(a_row).body)


SCORING = ("--kind", "number", "--expected", "gold")


def write_answers(path: Path, wrong: set[int], *, rows: int = 2000, model: str = "m") -> Path:
    """Write an answer to each of `rows` questions, right but for those in `wrong`."""
    lines = [{"id": f"q{at}", "model": model, "output": "-1" if at in wrong else str(at), "gold": at} for at in range(rows)]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def old_and_new(folder: Path) -> tuple[Path, Path]:
    """2,000 rows of which the newer file has q0 to q29 wrong that were right, and q100 to q109 right that were wrong."""
    always = set(range(1000, 1300))
    return write_answers(folder / "old.jsonl", always | set(range(100, 110))), write_answers(folder / "new.jsonl", always | set(range(30)))


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


_TEXT = b"".join(b'{"id": "%d", "text": "text %d", "v": [%d]}\n' % (n, n * 7, n) for n in range(20))
_CSV = b"id,text,v\n" + b"".join(b'%d,"a ""b""\n%d",x\n' % (n, n) for n in range(20))
_INTS = [b"\xff\xff\xff\x7f", b"\0\0\0\x80", b"\xff\xff\xff\xff", b"\0\0\0\0"]


def sources() -> dict[str, list[bytes]]:
    """Whole files, by the ending of their names."""
    tables = list(_tables())
    return {
        ".jsonl": [_TEXT, b"[" + _TEXT.strip().replace(b"\n", b",\n ") + b"]"],
        ".csv": [_CSV, _CSV.replace(b",", b";")],
        ".jsonl.gz": [gzip.compress(_TEXT)],
        ".csv.zst": [zstandard.compress(_CSV)],
        ".parquet": [found for table in tables if (found := _parquet(table)) is not None],
        ".arrow": [_arrow(table, kind) for table in tables for kind in (pa.ipc.new_file, pa.ipc.new_stream)],
    }


def _tables() -> Iterator[pa.Table]:
    texts = pa.array(["a", "grüße", None, "long " * 20])
    columns = [
        texts,
        pa.array(["x", "y", None, "x"]).dictionary_encode(),
        pa.array([[1], None, [2, 3], []], pa.list_(pa.int32())),
        pa.array([{"a": [{"b": "c"}]}, None, {"a": None}, {"a": []}], pa.struct([("a", pa.list_(pa.struct([("b", pa.string())])))])),
        pa.array([[("k", 1)], None, [], [("l", None)]], pa.map_(pa.string(), pa.int64())),
        texts.cast(pa.string_view()),
        pa.RunEndEncodedArray.from_arrays(pa.array([1, 4], pa.int32()), pa.array(["x", "y"])),
        pa.array([0, 2**40, None, -1], pa.timestamp("ns", "Europe/Berlin")),
    ]
    for column in columns:
        yield pa.table({"id": ["1", "2", "3", "4"], "text": texts, "v": column})


def _parquet(table: pa.Table) -> bytes | None:
    file = io.BytesIO()
    try:
        pq.write_table(table, file)
    except pa.ArrowException:
        return None
    return file.getvalue()


def _arrow(table: pa.Table, kind: object) -> bytes:
    sink = pa.BufferOutputStream()
    with kind(sink, table.schema) as writer:  # type: ignore[operator]
        writer.write_table(table)
    return bytes(sink.getvalue().to_pybytes())


def damaged(data: bytes, draw: random.Random) -> bytes:
    """`data` with some bytes changed, removed, added, or its end cut off."""
    made = bytearray(data)
    for _ in range(draw.randint(1, 5)):
        at = draw.randrange(len(made))
        match draw.randrange(6):
            case 0:
                made[at] = draw.randrange(256)
            case 1:
                made[at] ^= 1 << draw.randrange(8)
            case 2:
                del made[at + 1 : at + 1 + draw.randint(1, 16)]
            case 3:
                made[at:at] = draw.randbytes(draw.randint(1, 8))
            case 4:
                del made[at + 1 :]
            case _:
                made[at : at + 4] = draw.choice(_INTS)
    return bytes(made)


def check(path: Path, draw: random.Random) -> None:
    """Read a file in every way. Raises what is not InputError."""
    columns = ["text", "v"]
    try:
        read = dataset(path, **({"id": "id"} if draw.random() < 0.5 else {}))
        rows = rows_of(read)
        read.count()
        read.marks(1)
        read.column_types()
        read.unknown_zones()
        if read.columnar:
            column_types(str(path), columns)
            list(CarriedArrays(columns).pieces(rows))
    except InputError:
        return


def main(seed: int, count: int) -> int:
    """Return how many files met another exception."""
    draw = random.Random(seed)
    files = [(ending, data) for ending, found in sources().items() for data in found]
    wrong = 0
    with tempfile.TemporaryDirectory() as folder:
        for number in range(count):
            ending, data = draw.choice(files)
            path = Path(folder) / f"damaged{ending}"
            path.write_bytes(damaged(data, draw))
            # Before it is read: a process that ends in C++ code says nothing more.
            print(f"{seed} {number} {ending}", file=sys.stderr, flush=True) if count <= 1000 else None
            try:
                check(path, draw)
            except Exception:  # noqa: BLE001 - what is searched for
                wrong += 1
                print(f"seed {seed}, file {number}, {ending}:\n{traceback.format_exc()}", flush=True)
    return wrong


if __name__ == "__main__":
    sys.exit(bool(main(int(sys.argv[1]), int(sys.argv[2]))))
