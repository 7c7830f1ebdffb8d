"""Reads input files with damaged bytes; `python -m tests.support.damaged_files SEED COUNT` prints what is neither rows nor InputError.

A process of its own: Arrow's C++ code may end it.
"""

from __future__ import annotations

import gzip
import io
import random
import sys
import tempfile
import traceback
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import zstandard

from batch.errors import InputError
from batch.readers.carried import CarriedArrays, column_types
from tests.support.inputs import dataset, rows_of

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
