"""Arrow IPC, and datasets as Hugging Face stores them."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as pq
import pytest

from batch.errors import InputError
from batch.prompts import RequestBuilder
from batch.readers import parquet
from batch.records import Row
from tests.support.files import dataset, rows_of, variant, write

CHAT = pa.list_(pa.struct([("role", pa.string()), ("content", pa.large_string())]))
SCHEMA = pa.schema(
    [
        ("prompt", pa.large_string()),
        ("messages", CHAT),
        ("label", pa.dictionary(pa.int8(), pa.string())),
        ("scores", pa.large_list(pa.float32())),
        ("text", pa.string_view()),
    ],
    metadata={"huggingface": '{"info": {"features": {}}}'},
)
ROWS = [
    {
        "prompt": f"q{n}",
        "messages": [{"role": "user", "content": f"q{n}"}, {"role": "assistant", "content": None}],
        "label": "ab"[n % 2],
        "scores": [0.5, n],
        "text": f"t{n}",
    }
    for n in range(10)
]
TABLE = pa.Table.from_pylist(ROWS, SCHEMA)


def ipc(path: Path, kind: str, **options: object) -> Path:
    """`path`, now an Arrow file or stream of batches of four rows."""
    with (pa.ipc.new_file if kind == "file" else pa.ipc.new_stream)(path, SCHEMA, **options) as writer:
        writer.write_table(TABLE, max_chunksize=4)
    return path


@pytest.mark.parametrize("kind", ["file", "stream"])
@pytest.mark.parametrize("compression", [None, "zstd"])
def test_files_and_streams_are_told_by_their_first_bytes(tmp_path: Path, kind: str, compression: str | None) -> None:
    """Both have .arrow as their suffix; values, lines, counts and types come as they are (fault 53)."""
    read = dataset(ipc(tmp_path / "a.arrow", kind, options=pa.ipc.IpcWriteOptions(compression=compression)))
    rows = [row for row in rows_of(read) if isinstance(row, Row)]
    assert [dict(row.columns) for row in rows] == ROWS
    assert [row.line for row in rows] == list(range(1, 11))
    assert read.count() == 10
    plain = SCHEMA.set(SCHEMA.get_field_index("label"), pa.field("label", pa.string()))
    assert read.column_types() == plain.remove_metadata()


def test_feather(tmp_path: Path) -> None:
    """Version 2 is an Arrow file by another name; version 1 is refused with a way out."""
    plain = TABLE.select(["prompt", "messages", "label"])
    feather.write_feather(plain, tmp_path / "a.feather")
    assert [row.columns["prompt"] for row in rows_of(dataset(tmp_path / "a.feather")) if isinstance(row, Row)] == [
        f"q{n}" for n in range(10)
    ]
    with pytest.raises(InputError, match="version 1, which is obsolete"):
        dataset(write(tmp_path / "b.feather", b"FEA1" + bytes(100))).count()


def test_large_record_batches_come_few_rows_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As Python objects rows take many times the memory of Arrow's (promise 8)."""
    from batch.readers import arrow

    monkeypatch.setattr(parquet, "BATCH_BYTES", 1000)
    table = pa.table({"t": ["x" * 400] * 10})
    with pa.ipc.new_file(tmp_path / "a.arrow", table.schema) as writer:
        writer.write_table(table)
    with arrow._opened(str(tmp_path / "a.arrow")) as reader:
        assert [batch.num_rows for batch in parquet.portions(arrow._batches("a", reader))] == [2] * 5


@pytest.mark.parametrize("data", [b"", b"no arrow at all, but some text", b"ARROW1\0\0cut"])
def test_what_is_no_arrow_file_is_told(tmp_path: Path, data: bytes) -> None:
    """The file is named (fault 60)."""
    path = write(tmp_path / "a.arrow", data)
    for ask in (dataset(path).count, dataset(path).column_types, lambda: rows_of(dataset(path))):
        with pytest.raises(InputError, match=r"a\.arrow: (cannot be read|is no Arrow but text)"):
            ask()
    with pytest.raises(InputError, match=r"none\.arrow: no such file"):
        dataset(tmp_path / "none.arrow")


def test_a_cut_stream_is_told(tmp_path: Path) -> None:
    """A stream that ends within a batch is not the end of the data (fault 60)."""
    whole = ipc(tmp_path / "a.arrow", "stream").read_bytes()
    for end in range(len(whole) // 2, len(whole), 8):
        read = dataset(write(tmp_path / "b.arrow", whole[:end]))
        for ask in (lambda: rows_of(read), read.count):  # noqa: B023 - called at once
            with pytest.raises(InputError, match="cannot be read"):
                ask()


def test_a_sharded_dataset_of_hugging_face(tmp_path: Path) -> None:
    """Shards by a glob, in their order; a chat column of structs becomes the messages, absent fields left out."""
    for shard in range(4):
        pq.write_table(TABLE.slice(shard * 3, 3), tmp_path / f"train-{shard:05d}-of-00004.parquet", row_group_size=2)
    read = dataset(tmp_path / "train-*-of-*.parquet")
    rows = [row for row in rows_of(read) if isinstance(row, Row)]
    assert [row.columns["prompt"] for row in rows] == [f"q{n}" for n in range(10)]
    plain = SCHEMA.set(SCHEMA.get_field_index("label"), pa.field("label", pa.string()))
    assert read.column_types() == plain.remove_metadata()
    sent = RequestBuilder(variant(messages="messages"), stream=False).build(rows[3]).body
    assert b'"messages":[{"role":"user","content":"q3"},{"role":"assistant","content":null}]' in sent


def test_a_sequence_of_structs_as_hugging_face_stored_it(tmp_path: Path) -> None:
    """`Sequence({role, content})` is kept as one struct of lists: it is a chat all the same."""
    chat = pa.array(
        [{"role": ["system", "user"], "content": ["s", "q"]}],
        pa.struct([("role", pa.list_(pa.string())), ("content", pa.list_(pa.string()))]),
    )
    pq.write_table(pa.table({"chat": chat}), tmp_path / "a.parquet")
    (row,) = rows_of(dataset(tmp_path / "a.parquet"))
    assert isinstance(row, Row)
    sent = RequestBuilder(variant(messages="chat"), stream=False).build(row).body
    assert b'"messages":[{"role":"system","content":"s"},{"role":"user","content":"q"}]' in sent


def test_parquet_and_arrow_side_by_side(tmp_path: Path) -> None:
    """One input may have both; their types are then not carried over."""
    pq.write_table(TABLE, tmp_path / "a.parquet")
    read = dataset(tmp_path / "a.parquet", ipc(tmp_path / "b.arrow", "file"))
    assert read.count() == 20
    assert read.column_types() is None
    assert parquet.count(str(tmp_path / "a.parquet")) == 10


def test_an_interval_is_an_object(tmp_path: Path) -> None:
    """A prompt prints data, not Python's text of an object (D4's kind); also within a list."""
    intervals = pa.array([pa.MonthDayNano((1, 2, 3)), None], pa.month_day_nano_interval())
    table = pa.table({"wait": intervals, "waits": pa.ListArray.from_arrays(pa.array([0, 1, 2], pa.int32()), intervals)})
    with pa.ipc.new_file(tmp_path / "a.arrow", table.schema) as writer:
        writer.write_table(table)
    parts = {"months": 1, "days": 2, "nanoseconds": 3}
    rows = rows_of(dataset(tmp_path / "a.arrow"))
    assert [row.columns for row in rows if isinstance(row, Row)] == [{"wait": parts, "waits": [parts]}, {"wait": None, "waits": [None]}]


def test_times_that_python_cannot_hold_keep_their_unit(tmp_path: Path) -> None:
    """A number alone would come out as another time (D6)."""
    table = pa.table({"wait": pa.array([10**18], pa.duration("s")), "at": pa.array([2**62], pa.timestamp("ms"))})
    with pa.ipc.new_file(tmp_path / "a.arrow", table.schema) as writer:
        writer.write_table(table)
    (row,) = rows_of(dataset(tmp_path / "a.arrow"))
    assert isinstance(row, Row)
    assert row.columns == {"wait": "1000000000000000000 (duration[s])", "at": f"{2**62} (timestamp[ms])"}
