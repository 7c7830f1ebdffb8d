"""The files that a row names or holds: read, identified by their bytes, shrunk, and made into parts of a message.

A value is a path, an http(s) URL (passed on), a data: URL, bytes, Hugging Face's {bytes, path}, or a list of these, also as JSON text.
Paths are read by a `FileSource`, which a higher floor gives: nothing here opens a file.
"""

from __future__ import annotations

import base64
import binascii
import math
import posixpath
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol
from urllib.parse import unquote_to_bytes

import orjson

from batch.errors import FileError, RowError
from batch.media import Media
from batch.prompts.current_files import files_of
from batch.prompts.kinds import kind_in_words, kind_of
from batch.prompts.parts import FileData, FileUrl, Part, PartApi, Purpose, UnsupportedFileError, digest_of, encoded_size, part_of
from batch.prompts.pictures import shrunk
from batch.prompts.templates import missing_column, row_place
from batch.records import Row
from batch.settings.files import FileSettings

_WEB = re.compile(r"https?://", re.IGNORECASE)
_DATA = re.compile(r"data:([^,]*?)(;base64)?,", re.IGNORECASE)
_MOST_SHOWN = 120
_LONGEST_NAME = 200


class FileSource(Protocol):
    """Reads files on disk and on stores."""

    def read(self, row_file: str, path: str, settings: FileSettings) -> bytes:
        """Read the file that a row of `row_file` names. Raises FileError."""


class NoFiles:
    """A source for requests whose files cannot be read."""

    def read(self, row_file: str, path: str, settings: FileSettings) -> bytes:
        """Read nothing. Raises FileError."""
        del row_file, path, settings
        raise FileError("bad_file", "files cannot be read here")


class RowFiles:
    """The files of one row; counts what they put into the request. Raises RowError, which names row, column and path."""

    def __init__(self, row: Row, settings: FileSettings, source: FileSource) -> None:
        self._row = row
        self._settings = settings
        self._source = source
        self._counts = {"image": 0, "audio": 0, "document": 0}
        self._bytes = self._picture_bytes = 0

    @property
    def media(self) -> Media | None:
        """What the files put into the request; None when there was none."""
        if not any(self._counts.values()):
            return None
        pictures, sounds, files = self._counts.values()
        return Media(pictures, sounds, files, self._bytes, self._picture_bytes)

    def parts(self, api: PartApi, sounds: tuple[str, ...]) -> list[Part]:
        """The parts of all columns that the prompt names, in the order images, audio, files."""
        settings = self._settings
        named: list[tuple[Purpose, tuple[str, ...]]] = [("images", settings.images), ("audio", settings.audio), ("files", settings.files)]
        return [part for purpose, columns in named for column in columns for part in self._of_column(api, purpose, column, sounds)]

    def _of_column(self, api: PartApi, purpose: Purpose, column: str, sounds: tuple[str, ...]) -> Iterator[Part]:
        if column not in self._row.columns:
            raise missing_column(self._row, column)
        for value in values_of(self._row.columns[column]):
            file = self.load(value, column)
            try:
                part = part_of(api, purpose, file, detail=self._settings.detail, sounds=sounds)
            except UnsupportedFileError as error:
                raise self._failed(FileError("bad_file", str(error)), column, value) from error
            self._count(part.family, part.size)
            yield part

    def load(self, value: Any, column: str | None = None) -> FileData | FileUrl:
        """One file, pictures shrunk to the prompt's `max_pixels`. `column` None is found by its value."""
        column = self._column_of(value) if column is None else column
        try:
            return self._loaded(value)
        except FileError as error:
            raise self._failed(error, column, value) from error

    def embedded(self, value: Any) -> FileData | FileUrl:
        """One file that a template puts in whole, by a filter; counted."""
        file = self.load(value)
        if isinstance(file, FileData):
            self._count(file.kind.family, encoded_size(file.raw))
        return file

    def text(self, value: Any) -> str:
        """The text of a file in UTF-8, without a byte order mark."""
        file = self.load(value)
        if isinstance(file, FileUrl):
            raise self._failed(FileError("bad_file", "is a URL, whose text is not fetched"), self._column_of(value), value)
        try:
            return file.raw.decode("utf-8-sig")
        except UnicodeDecodeError:
            problem = FileError("bad_file", f"is {kind_in_words(file.raw)}, not text in UTF-8")
            raise self._failed(problem, self._column_of(value), value) from None

    def _loaded(self, value: Any) -> FileData | FileUrl:
        if isinstance(value, str) and _WEB.match(value):
            return FileUrl(value)
        raw, name = self._raw(value)
        if not raw:
            raise FileError("bad_file", "is empty")
        if len(raw) > self._settings.max_file_bytes:
            raise FileError("bad_file", f"has {len(raw):,} bytes, more than max_file_bytes = {self._settings.max_file_bytes:,}")
        kind, limit = kind_of(raw), self._settings.max_pixels
        if limit is None or kind.family != "image" or kind.name == "svg":
            return FileData(raw, kind, name)
        digest = digest_of(raw)
        try:
            raw, kind = shrunk(raw, kind, limit)
        except ValueError as error:
            raise FileError("bad_file", str(error)) from error
        return FileData(raw, kind, name, digest, limit)

    def _raw(self, value: Any) -> tuple[bytes, str | None]:
        """The bytes of a value, and its name."""
        if isinstance(value, Mapping):
            path = value.get("path")
            name = _name(path) if isinstance(path, str) else None
            if (inner := value.get("bytes")) is not None:
                return (self._raw(inner)[0] if isinstance(inner, bytes | bytearray | memoryview) else _not_a_file(value)), name
            return (self._read(path), name) if isinstance(path, str) and path else (_not_a_file(value), None)
        if isinstance(value, bytes | bytearray | memoryview):
            return bytes(value), None
        if not isinstance(value, str) or not value.strip():
            return _not_a_file(value), None
        if value[:5].lower() == "data:":
            return _of_data_url(value), None
        return self._read(value), _name(value)

    def _read(self, path: str) -> bytes:
        return self._source.read(self._row.file, path, self._settings)

    def _count(self, family: str, size: int) -> None:
        self._counts[family] += 1
        self._bytes += size
        self._picture_bytes += size if family == "image" else 0

    def _column_of(self, value: Any) -> str | None:
        for name, stored in self._row.columns.items():
            if stored is value or (isinstance(stored, list) and any(item is value for item in stored)):
                return name
        return None

    def _failed(self, error: FileError, column: str | None, value: Any) -> RowError:
        at = f"the column {column!r}" if column is not None else "the prompt"
        return RowError(error.code, f"{row_place(self._row)}: {at}: {_shown(value)}: {error}")


def with_row_files(
    row: Row, make: Callable[[Row], Any], settings: FileSettings, source: FileSource, api: PartApi, sounds: tuple[str, ...]
) -> tuple[Any, list[Part], Media | None]:
    """What `make` gives for a row whose files its templates may read; the parts of the prompt's columns; and what all of them are.

    Raises:
        RowError: as `make`, and missing_file, refused_path or bad_file.
    """
    files = RowFiles(row, settings, source)
    with files_of(files):
        made = make(row)
    parts = files.parts(api, sounds) if settings.columns else []
    return made, parts, files.media


def values_of(value: Any) -> list[Any]:
    """The files of a column's value; none for an empty list."""
    if isinstance(value, str) and value.lstrip()[:1] == "[":
        try:
            value = orjson.loads(value)
        except orjson.JSONDecodeError:
            return [value]
    return list(value) if isinstance(value, list | tuple) else [value]


def _not_a_file(value: Any) -> bytes:
    if value is None or (isinstance(value, float) and math.isnan(value)) or value == "":
        raise FileError("missing_file", "there is none in this row; an empty list is sent as it is, without a file")
    if isinstance(value, Mapping):
        raise FileError("missing_file", "holds neither bytes nor a path")
    raise FileError(
        "bad_file", f"a value of type {type(value).__name__} is no file: a path, a URL, bytes, {{bytes, path}} or a list of these"
    )


def _of_data_url(value: str) -> bytes:
    found = _DATA.match(value)
    if found is None:
        raise FileError("bad_file", "is no data: URL")
    data = unquote_to_bytes(value[found.end() :])
    try:
        return base64.b64decode(data, validate=True) if found[2] else data
    except binascii.Error:
        raise FileError("bad_file", "is a data: URL whose base64 cannot be read") from None


def _name(path: str) -> str | None:
    """A file's name without its folders, which are the user's own affair."""
    return posixpath.basename(path.replace("\\", "/").partition("?")[0])[-_LONGEST_NAME:] or None


def _shown(value: Any) -> str:
    if isinstance(value, Mapping):
        value = value.get("path") or value.get("bytes")
    if isinstance(value, bytes | bytearray | memoryview):
        return f"{len(value):,} bytes"
    if value is None:
        return "null"
    text = str(value) if isinstance(value, str | int | float) else type(value).__name__
    if text[:5].lower() == "data:":
        return f"a data: URL of {len(text):,} characters"
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}…"
