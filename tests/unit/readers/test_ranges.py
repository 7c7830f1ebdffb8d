"""Ranges of rows: whichever worker reads them in whatever order, they are the rows that one process reads."""

from __future__ import annotations

import json
import random
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batch.errors import InputError
from batch.readers import Dataset, jsonl, lines
from batch.readers.ranges import Ranges
from batch.records import InputOffset
from tests.support.files import dataset, pack, rows_of, write

ROWS = 500


def files(folder: Path, kind: str) -> list[Path]:
    """An input of 500 rows and some flaws in this format."""
    plain = b"".join(b'{"n": %d}\n' % number if number % 97 else b"flaw\n" for number in range(ROWS))
    table = pa.table({"n": list(range(ROWS))})
    match kind:
        case "jsonl":
            return [write(folder / "a.jsonl", plain)]
        case "blank lines, a mark, no end":
            return [write(folder / "a.jsonl", b"\xef\xbb\xbf" + plain.replace(b"3}\n", b"3}\n\n  \n").removesuffix(b"\n"))]
        case "jsonl.gz":
            return [write(folder / "a.jsonl.gz", pack(plain, ".gz"))]
        case "csv":
            return [write(folder / "a.csv", b"n,t\n" + b"".join(b'%d,"a\nb"\n' % number for number in range(ROWS)))]
        case "parquet":
            pq.write_table(table, folder / "a.parquet", row_group_size=70)
            return [folder / "a.parquet"]
        case "arrow":
            with pa.ipc.new_file(folder / "a.arrow", table.schema) as writer:
                writer.write_table(table, max_chunksize=70)
            return [folder / "a.arrow"]
        case "arrow stream":
            with pa.ipc.new_stream(folder / "a.arrow", table.schema) as writer:
                writer.write_table(table, max_chunksize=70)
            return [folder / "a.arrow"]
    parts = [path for kind in ("jsonl", "parquet", "csv", "jsonl.gz") for path in files(_made(folder / kind), kind)]
    return [*parts[:2], write(folder / "empty.jsonl", b"\n"), *parts[2:]]


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def pieces(data: Dataset, size: int) -> list[tuple[int, int, InputOffset]]:
    """(start, stop, nearest mark) of all ranges of `size` rows."""
    end, marks = data.marks(size)
    assert marks[0] == InputOffset(0, offset=marks[0].offset)
    starts = range(0, end, size)
    return [(start, min(end, start + size), max((m for m in marks if m.ordinal <= start), key=lambda m: m.ordinal)) for start in starts]


@pytest.mark.parametrize(
    "kind", ["jsonl", "blank lines, a mark, no end", "jsonl.gz", "csv", "parquet", "arrow", "arrow stream", "several files"]
)
@pytest.mark.parametrize("order", ["in order", "every other", "at random"])
def test_ranges_hold_the_rows_that_one_pass_gives(tmp_path: Path, kind: str, order: str) -> None:
    """The same rows with the same ordinals, ids, files and lines, in whatever order the ranges are read."""
    data = dataset(*files(tmp_path, kind))
    ranges = pieces(data, 33)
    match order:
        case "every other":
            ranges = ranges[::2] + ranges[1::2]
        case "at random":
            random.Random(3).shuffle(ranges)
    reader = Ranges(data)
    read = {start: [row for batch in reader.batches(start, stop, mark, 20) for row in batch] for start, stop, mark in ranges}

    assert [row for _, rows in sorted(read.items()) for row in rows] == rows_of(data)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.one_of(st.integers(0, 40), st.just("")), max_size=60), st.integers(1, 9), st.integers(1, 50), st.booleans())
def test_marks_are_where_rows_begin(sizes: list[Any], every: int, block: int, ends: bool) -> None:
    """Whatever the lines and the blocks in which they come: reading from each mark gives the rest of the rows; few rows lie between."""
    text = b"\n".join(b"" if size == "" else json.dumps({"t": "x" * size}).encode() for size in sizes) + (b"\n" if ends else b"")
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(lines, "BLOCK_BYTES", block)
        path = str(write(Path(folder) / "a.jsonl", text))
        whole = list(jsonl.read(path))
        count, marks = jsonl.marks(path, every)
        assert count == len(whole) == jsonl.count(path)
        for mark in marks:
            assert list(jsonl.read(path, mark)) == whole[mark.record :]
        assert [mark.record for mark in marks] == list(range(0, max(1, count), every))


def test_a_packed_file_is_read_once_by_who_goes_forward(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A format that cannot be begun in the middle is read on, not anew, as long as the ranges come in their order."""
    data = dataset(*files(tmp_path, "jsonl.gz"))
    opened: list[str] = []
    right = lines.open_input
    monkeypatch.setattr(lines, "open_input", lambda path, offset=0: opened.append(path) or right(path, offset))
    ranges = pieces(data, 33)
    opened.clear()
    reader = Ranges(data)
    for start, stop, mark in ranges[::3]:
        assert sum(map(len, reader.batches(start, stop, mark))) == stop - start

    assert len(opened) == 1


def test_only_parts_of_a_plain_file_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker reads of JSONL what belongs to its ranges, not the whole file."""
    path = write(tmp_path / "a.jsonl", b'{"text": "%s"}\n' % (b"x" * 1000) * 2000)
    data = dataset(path)
    ranges = pieces(data, 100)
    read: list[int] = []
    right = lines._blocks

    def counted(*given: Any) -> Any:
        for block in right(*given):
            read.append(len(block))
            yield block

    monkeypatch.setattr(lines, "_blocks", counted)
    assert sum(map(len, Ranges(data).batches(*ranges[15]))) == 100

    assert sum(read) < 0.1 * path.stat().st_size


@pytest.mark.parametrize("chosen", [{"limit": 120}, {"sample": 60}, {"where": "n > 333"}, {"sample": 60, "where": "n > 40", "limit": 21}])
def test_ranges_give_what_the_job_takes(tmp_path: Path, chosen: dict[str, Any]) -> None:
    """limit, sample and where mean the same over ranges as in one pass; the sample is drawn once, by who divides the input."""
    data = dataset(*files(tmp_path, "parquet"), **chosen)
    ranges = pieces(data, 33)
    elsewhere = Dataset(data._settings, data.drawn)
    reader = Ranges(elsewhere)

    assert [row for piece in ranges for batch in reader.batches(*piece) for row in batch] == rows_of(data)


def test_an_input_that_became_shorter_is_told(tmp_path: Path) -> None:
    """Rows that are gone are an error of the input, not rows silently left out (promise 1)."""
    (path,) = files(tmp_path, "jsonl")
    data = dataset(path)
    ranges = pieces(data, 33)
    path.write_bytes(path.read_bytes()[:3000])

    with pytest.raises(InputError, match="changed while it was read"):
        list(Ranges(data).batches(*ranges[-1]))
