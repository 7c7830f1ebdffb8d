"""A file that is not what its name says is refused, with what it is and what to do."""

from __future__ import annotations

import gzip
import io
import zipfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from batch.errors import InputError
from batch.records import BadRow, Row
from tests.support.files import dataset, rows_of, write

TEXT = b'id,text\n1,hello\n{"id": 1}\n'


def _zip() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(zipfile.ZipInfo("xl/workbook.xml"), "<workbook/>")
    return file.getvalue()


def _parquet() -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.table({"id": [1]}), file)
    return file.getvalue()


@pytest.mark.parametrize(
    ("name", "data", "says"),
    [
        ("rows.csv", _zip(), r"is a zip archive, as \.xlsx files are; save the table as CSV"),
        ("rows.csv", gzip.compress(TEXT, mtime=0), r"is packed by gzip; let its name end with \.gz"),
        ("rows.jsonl", _parquet(), r'is Parquet; set format = "parquet"'),
        ("rows.jsonl", b"<!DOCTYPE html><html>Sign in</html>", "is a web page"),
        ("rows.csv", b"%PDF-1.7\n", "is a PDF"),
        ("rows.json", b'<?xml version="1.0"?><rows/>', "is XML; convert it"),
        ("rows.jsonl", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "is a pointer of Git LFS.*git lfs pull"),
        ("rows.parquet", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "is a pointer of Git LFS.*git lfs pull"),
        ("rows.parquet", TEXT, "is no Parquet but text; set format"),
        ("rows.arrow", TEXT, "is no Arrow but text; set format"),
        ("rows.arrow", _parquet(), r'is Parquet; set format = "parquet"'),
        ("rows.jsonl.gz", TEXT, r"is not packed by gzip; take \.gz from its name"),
        ("rows.csv.zst", TEXT, r"is not packed by zstd; take \.zst from its name"),
        ("rows.csv", TEXT.decode().encode("utf-16"), 'is UTF-16; set encoding = "utf-16"'),
        ("rows.csv", TEXT.decode().encode("utf-16-le"), 'is UTF-16-LE; set encoding = "utf-16-le"'),
        ("rows.jsonl", TEXT.decode().encode("utf-16-be"), 'is UTF-16-BE; set encoding = "utf-16-be"'),
        ("rows.csv", TEXT.decode().encode("utf-32"), 'is UTF-32; set encoding = "utf-32"'),
    ],
)
def test_a_file_of_another_kind_is_refused_by_what_it_is(tmp_path: Path, name: str, data: bytes, says: str) -> None:
    """The message says what the file is and what to do; no row of it is run (fault 72)."""
    with pytest.raises(InputError, match=says):
        rows_of(dataset(write(tmp_path / name, data)))


@pytest.mark.parametrize("header", ["PAR1,x", "ORC,x", "BZh,x", "FEA1,x", "html,x"])
def test_text_that_begins_like_another_kind_is_text(tmp_path: Path, header: str) -> None:
    """A header may have any name."""
    (row,) = rows_of(dataset(write(tmp_path / "rows.csv", f"{header}\n1,2\n".encode())))
    assert isinstance(row, Row)
    assert list(row.columns.values()) == ["1", "2"]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_what_the_message_says_to_set_reads_the_file(tmp_path: Path, encoding: str) -> None:
    """The encoding that the message names is the one that reads it."""
    path = write(tmp_path / "rows.csv", "id,text\n1,grüße\n".encode(encoding))
    rows = rows_of(dataset(path, encoding=encoding))
    assert [row.columns for row in rows if isinstance(row, Row)] == [{"id": "1", "text": "grüße"}]


@pytest.mark.parametrize("declaration", ["sep=;", '"sep=;"', "SEP=;"])
@pytest.mark.parametrize("ends", ["\n", "\r\n"])
def test_the_line_by_which_excel_names_the_delimiter_is_no_header(tmp_path: Path, declaration: str, ends: str) -> None:
    """`sep=;` in the first line sets the delimiter; lines keep their numbers."""
    path = write(tmp_path / "rows.csv", ends.join([declaration, "id;text", "1;a,b", ""]).encode())
    (row,) = rows_of(dataset(path))
    assert isinstance(row, Row)
    assert (row.columns, row.line) == ({"id": "1", "text": "a,b"}, 3)
    assert dataset(path).count() == 1


@pytest.mark.parametrize(
    ("name", "data", "says"),
    [
        ("rows.jsonl", b'{"id": 1},\n', "a comma stands after the object"),
        ("rows.jsonl", b'{"id": 1}\r{"id": 2}\r', "carriage returns between; write the file with line feeds"),
        ("rows.jsonl", b'{"id": 1}{"id": 2}\n', "more stands after the object, from column 10 on"),
        ("rows.jsonl", b'{"id": %s}\n' % (b"1" * 5000), "an integer of more than 4,300 digits"),
        ("rows.csv", b'id,text\n1,"a \\"q\\" b"\n', "a quote within quotes is written twice"),
    ],
)
def test_a_bad_line_says_what_to_do(tmp_path: Path, name: str, data: bytes, says: str) -> None:
    """The message speaks of the file, not of the parser's own settings (fault 72)."""
    (row,) = rows_of(dataset(write(tmp_path / name, data)))
    assert isinstance(row, BadRow)
    assert says in row.message


def test_lines_that_end_with_carriage_returns_alone_are_named(tmp_path: Path) -> None:
    """A CSV file of old Macs cannot be read; the message says how it must be written (fault 72)."""
    with pytest.raises(InputError, match="as on old Macs, write the file with line feeds"):
        rows_of(dataset(write(tmp_path / "rows.csv", b"id,text\r1,a\r2,b\r")))


@pytest.mark.parametrize("name", ["ROWS.JSONL.GZ", "rows.Jsonl.Gz"])
def test_the_case_of_an_ending_does_not_matter(tmp_path: Path, name: str) -> None:
    """Packed text is unpacked also where its name is in capitals, as from old file systems."""
    path = write(tmp_path / name, gzip.compress(b'{"id": 1}\n{"id": 2}\n', mtime=0))
    assert [row.columns for row in rows_of(dataset(path)) if isinstance(row, Row)] == [{"id": 1}, {"id": 2}]
    assert len(dataset(path).marks(1)[1]) == 1
    assert dataset(path).count() == 2
