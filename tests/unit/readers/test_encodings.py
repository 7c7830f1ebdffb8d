"""The encodings of input files, by all names that Python knows, and by others."""

from __future__ import annotations

from contextlib import suppress
from encodings.aliases import aliases
from pathlib import Path

import pytest

from batch.errors import InputError
from batch.readers.lines import is_encoding, line_groups
from tests.support.files import write
from tests.support.jobs import GOOD, problem

NO_TEXT = [
    "utf-99",
    "hex",
    "rot13",
    "zlib",
    "idna",
    "IDNA",
    "punycode",
    "unicode_escape",
    "Unicode Escape",
    "raw-unicode-escape",
    "a\0b",
    "",
]


@pytest.mark.parametrize("name", NO_TEXT)
def test_what_is_no_text_encoding_is_not_taken(name: str) -> None:
    """Fault 72: an unknown encoding, and codecs that make no text of bytes, in any spelling."""
    assert not is_encoding(name)


def test_a_name_that_is_no_encoding_is_said_with_its_line(tmp_path: Path) -> None:
    """Fault 72: it is refused as a mistake of the job file, not as a file that cannot be read."""
    found = problem(tmp_path, GOOD.replace('path = "rows.jsonl"', 'path = "rows.jsonl"\nencoding = "utf-99"'))
    assert (found.place, found.key, found.message) == ("job.toml:3", "input.encoding", "'utf-99' is not a text encoding")


def test_each_encoding_that_is_taken_reads_any_bytes_or_refuses_them(tmp_path: Path) -> None:
    """Fault 72: no encoding's own exception comes out, whatever the file holds."""
    taken = [name for name in sorted({*aliases, *aliases.values()}) if is_encoding(name)]
    assert len(taken) > 300
    for name in taken:
        for data in (b"\0", b"\xff", '{"a": "x"}\n'.encode(name, "replace"), b'{"a": "\xff\xfe\x80\x81"}\n{"b": 1}'):
            path = write(tmp_path / "rows.jsonl", data)
            with suppress(InputError):
                assert list(line_groups(str(path), 0, name))
