"""CSV as it comes: everything is text, quoted newlines are data, bad rows are told."""

from __future__ import annotations

import csv
import io
import tempfile
from pathlib import Path
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch.errors import InputError
from batch.readers import csv as csv_format
from batch.readers import lines
from batch.records import BadRow, Row
from tests.support.files import dataset, pack, rows_of, write

CELL = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from(',"\n\r'), max_size=8)


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[str], list[list[str]]]:
    """A header and rows of its width."""
    header = draw(st.lists(CELL, min_size=1, max_size=4, unique=True))
    return header, draw(st.lists(st.lists(CELL, min_size=len(header), max_size=len(header)), max_size=5))


@given(
    table=tables(),
    ends=st.sampled_from(["\n", "\r\n"]),
    bom=st.booleans(),
    suffix=st.sampled_from(["", ".gz", ".zst"]),
    block=st.integers(1, 40),
)
def test_what_a_writer_wrote_is_read(table: tuple[list[str], list[list[str]]], ends: str, bom: bool, suffix: str, block: int) -> None:
    """Quotes, commas, newlines and line ends within values come back as they were; the count agrees."""
    header, rows = table
    text = io.StringIO(newline="")
    # Python 3.11's writer forgets to quote a lone carriage return unless it quotes everything.
    quoting = csv.QUOTE_ALL if any("\r" in cell for row in [header, *rows] for cell in row) else csv.QUOTE_MINIMAL
    csv.writer(text, lineterminator=ends, quoting=quoting).writerows([header, *rows])
    raw = b"\xef\xbb\xbf" * bom + text.getvalue().encode()
    with tempfile.TemporaryDirectory() as folder, patch.object(lines, "BLOCK_BYTES", block):
        # One column whose name and value hold a ; could be two.
        read = dataset(write(Path(folder) / f"rows.csv{suffix}", pack(raw, suffix, len(raw) // 2)), delimiter=",")
        got = rows_of(read)
        assert all(isinstance(row, Row) for row in got), got
        assert [row.columns for row in got] == [dict(zip(header, row, strict=True)) for row in rows]
        assert read.count() == len(rows)


def test_values_stay_as_they_are_written(tmp_path: Path) -> None:
    """007 stays 007, an empty cell is an empty text; ids are what the user sees in the file."""
    first, second = rows_of(dataset(write(tmp_path / "rows.csv", b"id,n,note\n007,1.50,\n8,NaN,x\n"), id="id"))
    assert isinstance(first, Row)
    assert first.columns == {"id": "007", "n": "1.50", "note": ""}
    assert (first.id, second.id) == ("007", "8")


HINT = 'if the file is Windows-1252 or Latin-1, set encoding = "cp1252" or "latin-1" in [input]'


def test_bad_rows_name_their_lines_and_the_rest_is_read(tmp_path: Path) -> None:
    """Too few or many fields, a wrong quote, bad UTF-8: a bad row with the line where it begins; the run goes on (fault 50)."""
    raw = b'a,b\n1,"x\ny"\n\n2\n3,4,5\n"6"7,8\n9,\xff\n"10\n",\xfe\n11,12\n13,"open\n14,15\n'
    read = dataset(write(tmp_path / "rows.csv", raw))
    got = rows_of(read)
    bad = {row.line: row.message for row in got if isinstance(row, BadRow)}
    assert {row.line: row.columns for row in got if isinstance(row, Row)} == {
        2: {"a": "1", "b": "x\ny"},
        11: {"a": "11", "b": "12"},
        13: {"a": "14", "b": "15"},
    }
    assert bad == {
        5: "rows.csv:5: 1 field where the header has 2",
        6: "rows.csv:6: 3 fields where the header has 2",
        7: "rows.csv:7: not CSV: ',' expected after '\"' (a quote within quotes is written twice)",
        8: f"rows.csv:8: not UTF-8: byte 0xff at column 3 ({HINT})",
        9: f"rows.csv:9: not UTF-8: byte 0xfe at column 3 ({HINT})",
        12: "rows.csv:12: a quote in this line is not closed up to line 13 (unexpected end of data);"
        " the lines after this one are read without it",
    }
    assert len({row.digest for row in got if isinstance(row, BadRow)}) == 6
    assert read.count() == len(got) == 9


def test_long_fields_are_kept(tmp_path: Path) -> None:
    """The parser's default limit of 128 KiB a field does not hold here (fault 52)."""
    (row,) = rows_of(dataset(write(tmp_path / "rows.csv", b"a,b\n" + b"x" * 1_000_000 + b",y\n")))
    assert isinstance(row, Row)
    assert len(row.columns["a"]) == 1_000_000


def test_an_overlong_line_is_a_bad_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A line above the limit is read over and told (fault 52)."""
    monkeypatch.setattr(lines, "MAX_LINE_BYTES", 1000)
    monkeypatch.setattr(lines, "BLOCK_BYTES", 100)
    bad, good = rows_of(dataset(write(tmp_path / "rows.csv", b"a,b\n" + b"x" * 5000 + b"\n1,2\n")))
    assert isinstance(bad, BadRow)
    assert "5,000 bytes" in bad.message
    assert isinstance(good, Row)
    assert good.line == 3


@pytest.mark.parametrize(
    ("header", "says"),
    [
        (b"a,b,a\n1,2,3", "names the column 'a' twice"),
        (b"a,\xff\n1,2", "header cannot be read: not UTF-8.*set encoding"),
        (b",,\n1,2,3", "the header has no name"),
    ],
)
def test_a_header_that_cannot_be_used_is_told(tmp_path: Path, header: bytes, says: str) -> None:
    """Without a header no row can be read, so the file is refused."""
    with pytest.raises(InputError, match=rf"rows\.csv:1: .*{says}"):
        rows_of(dataset(write(tmp_path / "rows.csv", header)))


def test_empty_files_have_no_rows(tmp_path: Path) -> None:
    """Nothing, and a header alone, are input without rows."""
    assert rows_of(dataset(write(tmp_path / "a.csv", b""), write(tmp_path / "b.csv", b"a,b\n"))) == []


@pytest.mark.parametrize(
    ("raw", "settings", "columns"),
    [
        (b"id;text;preis\n1;hallo;1,50\n", {}, {"id": "1", "text": "hallo", "preis": "1,50"}),
        (b"id\ttext\n1\ta, b\n", {}, {"id": "1", "text": "a, b"}),
        (b"id|text\n1|a;b\n", {}, {"id": "1", "text": "a;b"}),
        (b'id;"name, first"\n1;x\n', {}, {"id": "1", "name, first": "x"}),
        (b"id;name, first;n\n1;x;2\n", {}, {"id": "1", "name, first": "x", "n": "2"}),
        (b"a,b;c\n1,2\n", {}, {"a": "1", "b;c": "2"}),
        (b"text\na;b\n", {}, {"text": "a;b"}),
        (b"a;b\n1\n", {"delimiter": ","}, {"a;b": "1"}),
        (b"a:b\n1:2\n", {"delimiter": ":"}, {"a": "1", "b": "2"}),
        ("id,text\n1,\u201eq\u201d 5 €\n".encode("cp1252"), {"encoding": "cp1252"}, {"id": "1", "text": "\u201eq\u201d 5 €"}),
        ("id,text\n1,ü\n".encode("utf-16"), {"encoding": "utf-16"}, {"id": "1", "text": "ü"}),
        (b"id,text,,\n1,a,,\n", {}, {"id": "1", "text": "a"}),
        (b",id\n0,x\n", {}, {"": "0", "id": "x"}),
    ],
)  # fmt: skip
def test_csv_as_people_have_it(tmp_path: Path, raw: bytes, settings: dict[str, str], columns: dict[str, str]) -> None:
    """The header's delimiter is taken, or the set one; a named encoding is read; empty names are no columns (fault 72)."""
    (row,) = rows_of(dataset(write(tmp_path / "rows.csv", raw), **settings))
    assert isinstance(row, Row)
    assert row.columns == columns


def test_tsv_by_name(tmp_path: Path) -> None:
    """The ending .tsv means tabs, also packed (fault 72)."""
    (row,) = rows_of(dataset(write(tmp_path / "rows.tsv", b"a,b\tc\n1\t2\n")))
    assert isinstance(row, Row)
    assert row.columns == {"a,b": "1", "c": "2"}


def test_an_open_quote_costs_its_line_only(tmp_path: Path) -> None:
    """All lines behind a quote that is never closed are rows, and each line is accounted for (fault 72)."""
    raw = b'id,text\n1,ok\n2,"never closed\n' + b"".join(b"%d,row %d\n" % (n, n) for n in range(3, 203)) + b'203,"in\nside"\n'
    read = dataset(write(tmp_path / "rows.csv", raw))
    rows = rows_of(read)
    assert read.count() == len(rows) == 203
    (bad,) = [row for row in rows if isinstance(row, BadRow)]
    assert bad.line == 3
    assert "a quote in this line is not closed" in bad.message
    assert [row.columns["id"] for row in rows if isinstance(row, Row)] == [str(n) for n in range(1, 204) if n != 2]


def test_lines_read_as_one_are_named(tmp_path: Path) -> None:
    """A quote that a later line closes makes one record of both; with a wrong number of fields the message says so (fault 72)."""
    (bad,) = rows_of(dataset(write(tmp_path / "rows.csv", b'a,b\n1,"x\n2,y",z\n')))
    assert isinstance(bad, BadRow)
    assert bad.message == "rows.csv:2: 3 fields where the header has 2: the lines 2 to 3 were read as one because of the quote in line 2"


def test_an_open_quote_is_given_up_in_bounded_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A quote that nothing closes is not followed to the end of a large file (promise 8)."""
    monkeypatch.setattr(csv_format, "MAX_RECORD_BYTES", 1000)
    raw = b'a,b\n1,"open\n' + b"2,x\n" * 5000
    rows = rows_of(dataset(write(tmp_path / "rows.csv", raw)))
    assert len(rows) == 5001
    assert isinstance(rows[0], BadRow)
    assert "more than 1,000 bytes" in rows[0].message
