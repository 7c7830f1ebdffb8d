"""Say what a file holds that is not what its name says: a spreadsheet, a web page, a pointer, text of another encoding.

Magic numbers: https://en.wikipedia.org/wiki/List_of_file_signatures and each format's own specification.
"""

from __future__ import annotations

import codecs
import re

HEAD_BYTES = 512
GZIP, ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"

# First bytes, what that is, what to do. A header of CSV may begin with those that are ASCII: a control byte must follow (_is_binary).
_SIGNATURES = (
    (b"PK\x03\x04", "a zip archive, as .xlsx files are", "save the table as CSV, or unpack the archive"),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook", "save the table as CSV"),
    (GZIP, "packed by gzip", "let its name end with .gz"),
    (ZSTD, "packed by zstd", "let its name end with .zst"),
    (b"BZh", "packed by bzip2", "unpack it first"),
    (b"\xfd7zXZ\0", "packed by xz", "unpack it first"),
    (b"PAR1", "Parquet", 'set format = "parquet" in [input], or let its name end with .parquet'),
    (b"ARROW1", "Arrow IPC", 'set format = "arrow" in [input], or let its name end with .arrow'),
    (b"FEA1", "Feather version 1, which is obsolete", "write it as version 2"),
    (b"ORC", "ORC", "convert it to Parquet"),
    (b"Obj\x01", "Avro", "convert it to Parquet"),
    (b"SQLite format 3\0", "an SQLite database", "export the table as CSV"),
    (b"\x89HDF", "HDF5", "convert it to Parquet"),
)
_WORDS = (
    (b"%pdf-", "a PDF", "extract its text first"),
    (b"version https://git-lfs", "a pointer of Git LFS, not the file", "fetch the file: git lfs pull"),
    (b"<!doctype html", "a web page", "download the file itself (is a login needed?)"),
    (b"<html", "a web page", "download the file itself (is a login needed?)"),
    (b"<?xml", "XML", "convert it to one JSON object per line"),
)
_BOMS = ((codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
_TEXT_BYTES = re.compile(rb"[\x00-\x08\x0e-\x1a]")


def no_text(head: bytes) -> str | None:
    """Say what a file that begins with `head` is instead of UTF-8 text, and what to do; None where it may be text."""
    if wide := _wide_encoding(head):
        return f'is {wide.upper()}; set encoding = "{wide}" in [input], or save it as UTF-8'
    return _described(head)


def no_table(head: bytes, wanted: str) -> str | None:
    """Say what a file that begins with `head` is instead of the binary format `wanted`, and what to do; None where that is not clear."""
    found = _described(head)
    if found and not found.startswith(f"is {wanted}"):
        return found
    if head and not _is_binary(head):
        return f'is no {wanted} but text; set format = "jsonl" or "csv" in [input], or let its name say so'
    return None


def _described(head: bytes) -> str | None:
    for magic, what, remedy in _SIGNATURES:
        if head.startswith(magic) and (not magic.isascii() or _is_binary(head)):
            return f"is {what}; {remedy}"
    begin = head.lstrip().lower()
    return next((f"is {what}; {remedy}" for words, what, remedy in _WORDS if begin.startswith(words)), None)


def _is_binary(head: bytes) -> bool:
    return _TEXT_BYTES.search(head) is not None


def _wide_encoding(head: bytes) -> str | None:
    """UTF-32 or UTF-16, by its mark, or where every other byte of the first ones is zero, as in Latin text without a mark."""
    for bom, name in _BOMS:
        if head.startswith(bom):
            return name
    start = head[:16]
    if len(start) < 8:
        return None
    odd, even = start[1::2], start[0::2]
    if not any(odd) and all(even):
        return "utf-16-le"
    return "utf-16-be" if not any(even) and all(odd) else None
