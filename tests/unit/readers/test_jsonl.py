"""JSONL as it comes: any line ends, packed or not, good lines and bad."""

from __future__ import annotations

import json
import tempfile
import tracemalloc
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch.errors import InputError
from batch.readers import lines
from batch.readers.jsonl import parse
from batch.readers.record import UnreadableRecord
from batch.records import BadRow, Row
from tests.support.files import dataset, pack, rows_of, write

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
NUMBERS = st.integers() | st.integers(min_value=-(10**60), max_value=10**60) | st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXT, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3)
)
PACKED = st.sampled_from(["", ".gz", ".zst"])


@st.composite
def layouts(draw: st.DrawFn) -> tuple[list[tuple[int, dict[str, Any]]], bytes]:
    """Rows with their line numbers, and a file that holds them in some layout."""
    parts: list[bytes] = []
    rows: list[tuple[int, dict[str, Any]]] = []
    for row in draw(st.lists(st.dictionaries(TEXT, VALUES, max_size=4), max_size=6)):
        parts += [draw(st.sampled_from([b"", b"  ", b"\t", b"\r"])) for _ in range(draw(st.integers(0, 2)))]
        parts.append(json.dumps(row, ensure_ascii=draw(st.booleans())).encode() + draw(st.sampled_from([b"", b"\r"])))
        rows.append((len(parts), row))
    data = b"\n".join(parts) + draw(st.sampled_from([b"", b"\n", b"\r\n", b"\n\n"]))
    return rows, draw(st.sampled_from([b"", b"\xef\xbb\xbf"])) + data


@given(layout=layouts(), suffix=PACKED, block=st.integers(1, 40), data=st.data())
def test_every_layout_reads_the_same(
    layout: tuple[list[tuple[int, dict[str, Any]]], bytes], suffix: str, block: int, data: st.DataObject
) -> None:
    """BOM, CRLF, blank lines, no last newline, packing, and blocks cut anywhere change neither rows nor lines nor the count (fault 50)."""
    rows, raw = layout
    with tempfile.TemporaryDirectory() as folder, patch.object(lines, "BLOCK_BYTES", block):
        path = write(Path(folder) / f"rows.jsonl{suffix}", pack(raw, suffix, data.draw(st.integers(0, len(raw)))))
        read = dataset(path)
        got = rows_of(read)
        assert all(isinstance(row, Row) for row in got), got
        assert [(row.line, row.columns) for row in got] == rows
        assert [row.ordinal for row in got] == list(range(len(rows)))
        assert read.count() == len(rows)


@given(
    raw=st.lists(st.binary(max_size=12) | st.sampled_from([b"{}", b'{"a":1}', b" ", b'"\\ud800"', b"1e999", b"9" * 30])),
    block=st.integers(1, 40),
)
def test_any_bytes_give_rows_or_bad_rows_and_the_count_agrees(raw: list[bytes], block: int) -> None:
    """Whatever stands in a file, each record that is not blank is a row or a bad row, and count() knows how many (fault 51)."""
    with tempfile.TemporaryDirectory() as folder, patch.object(lines, "BLOCK_BYTES", block):
        path = write(Path(folder) / "rows.jsonl", b"#\n" + b"\n".join(raw))
        read = dataset(path)
        got = rows_of(read)
        assert read.count() == len(got)
        for row in got:
            assert isinstance(row, BadRow) or json.dumps(row.columns, allow_nan=False, ensure_ascii=False).encode()


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (b"{'a': 1}", "not JSON: .* at column 2"),
        (b'{"a": 1', "not JSON: unexpected end"),
        (b"[1]", "not a JSON object but a list"),
        (b"null", "not a JSON object but null"),
        (b'{"a": "\xff"}', "not UTF-8: byte 0xff at column 8"),
        (b'{"a": "\xed\xa0\x80"}', "not UTF-8"),
        (b'{"a": "\\ud800"}', "not JSON: .*surrogate"),
        (b'{"a": "\\ud800", "n": 12345678901234567890}', "lone surrogate"),
        (b'{"a": NaN}', "not JSON"),
        (b'{"a": NaN, "n": 12345678901234567890}', "NaN is not JSON"),
        (b'{"a": -Infinity}', "not JSON"),
        (b'{"a": 1e400}', "infinity"),
        (b'{"a": 1e400, "n": 12345678901234567890}', "infinity"),
        (b'{"a": ' + b"9" * 5000 + b"}", "4,300"),
        (b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "depth limit"),
        (b'{"n": 12345678901234567890, "a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "nested too deep"),
        (b'{"a": "\x00"}', "control character"),
    ],
)
def test_a_bad_line_is_a_bad_row_that_says_what_is_wrong(tmp_path: Path, line: bytes, says: str) -> None:
    """A line that cannot be read takes an ordinal, names its place and reason, and the run goes on (faults 50 and 51)."""
    path = write(tmp_path / "rows.jsonl", b'{"id": "x"}\n\n' + line + b'\r\n{"id": "y"}')
    good, bad, last = rows_of(dataset(path, id="id"))
    assert isinstance(good, Row)
    assert isinstance(last, Row)
    assert (last.ordinal, last.line) == (2, 4)
    assert isinstance(bad, BadRow)
    assert (bad.ordinal, bad.id, bad.line, bad.file, bad.code) == (1, "rows.jsonl:3 (row 1)", 3, str(path), "bad_row")
    with pytest.raises(AssertionError, match=rf"rows\.jsonl:3: .*{says}"):
        raise AssertionError(bad.message)


def test_a_mended_bad_line_has_another_digest(tmp_path: Path) -> None:
    """The digest follows the record's bytes, not its place or its line end, so resume sees what changed (promise 9)."""
    one, two, again = rows_of(dataset(write(tmp_path / "rows.jsonl", b"{bad\n{BAD\n{bad\r\n")))
    assert isinstance(one, BadRow)
    assert isinstance(two, BadRow)
    assert isinstance(again, BadRow)
    assert len(one.digest) == 16
    assert one.digest == again.digest != two.digest


@pytest.mark.parametrize("number", [2**63 - 1, 2**63, 2**64 - 1, 2**64, -(2**63), -(2**63) - 1, 10**18, 10**19, int("7" * 4300)])
def test_integers_keep_every_digit(tmp_path: Path, number: int) -> None:
    """Integers of any size that Python reads come exactly (fault 51)."""
    (row,) = rows_of(dataset(write(tmp_path / "rows.jsonl", b'{"n": %d}' % number)))
    assert isinstance(row, Row)
    assert row.columns == {"n": number}
    assert type(row.columns["n"]) is int


def test_nul_and_line_separators_in_strings_are_data(tmp_path: Path) -> None:
    """Only a line feed ends a line; an escaped NUL is kept (fault 51)."""
    text = "a\0b\u2028c\x85d\x0be"
    (row,) = rows_of(dataset(write(tmp_path / "rows.jsonl", json.dumps({"t": text}).encode())))
    assert isinstance(row, Row)
    assert row.columns["t"] == text


def test_a_50_mb_row_is_kept_whole(tmp_path: Path) -> None:
    """A very large row is a row like others (fault 52)."""
    path = write(tmp_path / "rows.jsonl", b'{"t": "' + b"x" * 50_000_000 + b'"}\n{"t": "y"}\n')
    big, small = rows_of(dataset(path))
    assert isinstance(big, Row)
    assert isinstance(small, Row)
    assert len(big.columns["t"]) == 50_000_000
    assert small.line == 2


def test_an_overlong_line_is_read_over_in_bounded_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A line above the limit becomes a bad row with its size and its own digest; it is never held whole (promise 8)."""
    monkeypatch.setattr(lines, "MAX_LINE_BYTES", 1 << 20)
    path = write(tmp_path / "rows.jsonl", b'{"a": 1}\n' + b"x" * 40_000_000 + b"\n" + b"y" * 2_000_000 + b'\n{"a": 2}')
    tracemalloc.start()
    first, long, other, last = rows_of(dataset(path))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 12_000_000
    assert isinstance(first, Row)
    assert isinstance(last, Row)
    assert last.line == 4
    assert isinstance(long, BadRow)
    assert isinstance(other, BadRow)
    assert "the line has 40,000,000 bytes" in long.message
    assert long.digest != other.digest
    assert dataset(path).count() == 4


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_a_cut_packed_file_is_an_error_that_names_it(tmp_path: Path, suffix: str) -> None:
    """The end of a cut file is never taken for the end of the data (promise 1)."""
    whole = pack(b"".join(b'{"n": %d}\n' % n for n in range(100_000)), suffix, 400_000)
    for cut in (len(whole) // 3, len(whole) - 3):
        path = write(tmp_path / f"rows.jsonl{suffix}", whole[:cut])
        for read in (lambda: rows_of(dataset(path)), dataset(path).count):  # noqa: B023 - called within the loop
            with pytest.raises(InputError, match=rf"rows\.jsonl{suffix}: cannot be read to its end"):
                read()


def test_a_damaged_gz_is_an_error_that_names_it(tmp_path: Path) -> None:
    """A wrong checksum or a file that is not packed at all is told as such."""
    packed = bytearray(pack(b'{"a": 1}\n' * 1000, ".gz"))
    packed[-40] ^= 1
    for data in (bytes(packed), b'{"a": 1}\n'):
        with pytest.raises(InputError, match=r"rows\.jsonl\.gz"):
            rows_of(dataset(write(tmp_path / "rows.jsonl.gz", data)))


def test_utf16_is_told(tmp_path: Path) -> None:
    """A file in UTF-16 is refused with what to do, not as thousands of bad rows."""
    with pytest.raises(InputError, match='UTF-16; set encoding = "utf-16"'):
        rows_of(dataset(write(tmp_path / "rows.jsonl", '{"a": 1}'.encode("utf-16"))))


def test_memory_does_not_depend_on_the_number_of_rows(tmp_path: Path) -> None:
    """Reading holds a block and a batch, not the file (promise 8, fault 56)."""
    path = write(tmp_path / "rows.jsonl", b'{"text": "%s"}\n' % (b"x" * 1000) * 30_000)
    tracemalloc.start()
    total = sum(map(len, dataset(path).batches()))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert total == 30_000
    assert peak < 8_000_000


@pytest.mark.parametrize("begin", [b"\xef\xbb\xbf", b"\x1e", b"\xef\xbb\xbf\x1e"])
def test_marks_before_an_object_are_passed_over(begin: bytes) -> None:
    """A byte order mark in the middle of files put together, and the separators of JSON text sequences, cost no row."""
    assert parse(begin + b'{"text": "a", "n": 123456789012345678901234567890}') == {"text": "a", "n": 123456789012345678901234567890}
    assert isinstance(parse(begin + b"{"), UnreadableRecord)
