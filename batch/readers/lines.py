"""The lines of a text file, by blocks, whatever their length.

Lines end at line feeds only: U+2028 and lone carriage returns are data, in JSON as in CSV.
"""

from __future__ import annotations

import codecs
import io
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b
from typing import cast

from batch.errors import InputError
from batch.readers.contents import GZIP, HEAD_BYTES, ZSTD, no_text
from batch.storage import file_name, head, open_input

BLOCK_BYTES = 1 << 18
SHORT_BLOCK_BYTES = 1 << 16
MAX_LINE_BYTES = 256 << 20
_UTF8_BOM = b"\xef\xbb\xbf"
_PACKED = {".gz": (GZIP, "gzip"), ".zst": (ZSTD, "zstd")}
# What gzip, zlib and Arrow raise for packed files that are cut or damaged.
_UNREADABLE = (OSError, EOFError, zlib.error, io.UnsupportedOperation)


@dataclass(frozen=True, slots=True)
class Overlong:
    """A line above MAX_LINE_BYTES, passed over without keeping it in memory."""

    size: int
    digest: bytes

    def __len__(self) -> int:
        return self.size

    def isspace(self) -> bool:
        """Always False: its text is not available. Mirrors bytes.isspace."""
        return False

    def __str__(self) -> str:
        return f"the line has {self.size:,} bytes; at most {MAX_LINE_BYTES:,} are read"


TextLine = bytes | Overlong


class Pending:
    """The beginning of a line whose end is not read yet."""

    def __init__(self) -> None:
        self._clear()

    def _clear(self) -> None:
        self._parts: list[bytes] = []
        self._hash: blake2b | None = None
        self.size = 0

    def add(self, part: bytes) -> None:
        """Append a part of the line."""
        self.size += len(part)
        if self._hash is None and self.size > MAX_LINE_BYTES:
            self._hash = blake2b(b"".join(self._parts), digest_size=16)
            self._parts.clear()
        if self._hash is None:
            self._parts.append(part)
        else:
            self._hash.update(part)

    def take(self) -> TextLine:
        """Return the whole line, and begin the next one."""
        line: TextLine = b"".join(self._parts) if self._hash is None else Overlong(self.size, self._hash.digest())
        self._clear()
        return line


def line_groups(path: str, offset: int = 0, encoding: str | None = None) -> Iterator[list[TextLine]]:
    """The lines of `path` in order, without their newlines, grouped as the blocks bring them; a group may be empty.

    With `offset` from that byte on, at which a line must begin. Text of another `encoding` than UTF-8 is read from its start, and given
    as UTF-8; bytes that the encoding does not have stay as they are.

    A byte order mark at the start is dropped; a last line without newline counts; carriage returns stay.

    Raises:
        InputError: the file cannot be read or unpacked to its end, or is no UTF-8 text (contents.py).
    """
    pending = Pending()
    for block in _utf8_blocks(path, offset, encoding):
        lines = cast("list[TextLine]", block.split(b"\n"))
        if len(lines) > 1:
            if pending.size:
                pending.add(cast("bytes", lines[0]))
                lines[0] = pending.take()
            pending.add(cast("bytes", lines.pop()))
            yield lines
        else:
            pending.add(block)
    if pending.size:
        yield [pending.take()]


def first_line(path: str) -> int:
    """The byte at which the first line begins: behind a byte order mark. Raises InputError."""
    with open_input(path) as stream:
        return len(_UTF8_BOM) if stream.read(len(_UTF8_BOM)) == _UTF8_BOM else 0


def is_utf8(encoding: str | None) -> bool:
    """Whether text of this encoding is read as it is."""
    return encoding is None or codecs.lookup(encoding).name in ("utf-8", "utf-8-sig", "ascii")


def is_encoding(name: str) -> bool:
    """Whether Python can decode text of this name; not base64 and the like, which are codecs too."""
    try:
        # Of no bytes at all Python makes a text by any name. Eight zeros are text in all encodings, the wide ones too.
        bytes(8).decode(name)
        found = codecs.lookup(name).name.replace("_", "-")
    except (LookupError, UnicodeError, ValueError):
        return False
    return found not in {"idna", "punycode", "unicode-escape", "raw-unicode-escape"}


def _utf8_blocks(path: str, offset: int, encoding: str | None) -> Iterator[bytes]:
    if encoding is None or is_utf8(encoding):
        yield from _blocks(path, offset)
        return
    # surrogateescape: a byte that the encoding lacks spoils its own line only, which is then reported as not UTF-8.
    decoder = codecs.getincrementaldecoder(encoding)(errors="surrogateescape")
    try:
        for block in _raw_blocks(path):
            yield decoder.decode(block).encode(errors="surrogateescape")
        yield decoder.decode(b"", final=True).encode(errors="surrogateescape")
    except UnicodeError as error:
        raise InputError(f"{path}: is not {encoding}, as encoding in [input] says: {error}") from error


def _unreadable(path: str, error: Exception) -> InputError:
    """The error for a file that cannot be read or unpacked; says so where it is not packed as its name says."""
    name, start = file_name(path).lower(), head(path, HEAD_BYTES)
    for suffix, (magic, program) in _PACKED.items():
        if name.endswith(suffix) and start and not start.startswith(magic):
            return InputError(f"{path}: is not packed by {program}; take {suffix} from its name, or fetch it again")
    return InputError(f"{path}: cannot be read to its end (is it cut or damaged?): {error}")


def _raw_blocks(path: str) -> Iterator[bytes]:
    with open_input(path) as stream:
        try:
            while block := stream.read(BLOCK_BYTES):
                yield block
        except _UNREADABLE as error:
            raise _unreadable(path, error) from error


def _blocks(path: str, offset: int) -> Iterator[bytes]:
    with open_input(path, offset) as stream:
        try:
            if offset:
                # A reader that begins in the middle often needs only part of a block.
                size = SHORT_BLOCK_BYTES
                while size < BLOCK_BYTES and (block := stream.read(size)):
                    yield block
                    size *= 2
            start = stream.read(HEAD_BYTES) if not offset else b""
            if problem := no_text(start):
                raise InputError(f"{path}: {problem}")
            start = start.removeprefix(_UTF8_BOM)
            yield from (start[at : at + BLOCK_BYTES] for at in range(0, len(start), BLOCK_BYTES))
            while block := stream.read(BLOCK_BYTES):
                yield block
        except _UNREADABLE as error:
            raise _unreadable(path, error) from error


def encoding_problem(raw: bytes) -> str | None:
    """What is wrong with `raw` as UTF-8, for people; None when nothing is."""
    try:
        raw.decode()
    except UnicodeDecodeError as error:
        hint = 'if the file is Windows-1252 or Latin-1, set encoding = "cp1252" or "latin-1" in [input]'
        return f"not UTF-8: byte 0x{raw[error.start]:02x} at column {error.start + 1} ({hint})"
    return None
