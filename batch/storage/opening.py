"""Input files opened for reading, on disk and on object stores."""

from __future__ import annotations

from pathlib import Path
from typing import Any, BinaryIO, cast

from batch.errors import InputError
from batch.storage import stores
from batch.storage.urls import is_url, parse

_READ_AHEAD = 1 << 20


def open_input(path: str, offset: int = 0) -> BinaryIO:
    """`path` opened for reading; .gz and .zst are unpacked as they are read, also when they hold several members or frames.

    `offset` is the byte at which reading begins; of packed files it can only be 0. Reading a cut file raises EOFError or OSError
    when its end comes.

    Raises:
        InputError: the file cannot be opened.
    """
    name = file_name(path)
    try:
        if name.endswith(".gz"):
            import gzip

            return cast("BinaryIO", gzip.open(_buffered(path) if is_url(path) else path, "rb"))
        if name.endswith(".zst"):
            import pyarrow as pa

            # Not the zstandard package: its stream reader takes the end of a cut file for the end of the data.
            return cast("BinaryIO", pa.CompressedInputStream(_buffered(path) if is_url(path) else pa.OSFile(path), "zstd"))
        return cast("BinaryIO", _buffered(path, offset)) if is_url(path) else _local(path, offset)
    except OSError as error:
        raise InputError(str(error) if is_url(path) else f"{path}: cannot be read: {error.strerror or error}") from error


def seekable(path: str) -> Any:
    """Return what pyarrow's readers take for `path`: the path itself, or on a store a file that is fetched by ranges as it is read.

    Raises:
        InputError: the object cannot be opened.
    """
    if not is_url(path):
        return path
    try:
        return stores.open_object(parse(path))
    except OSError as error:
        raise InputError(str(error)) from error


def mapped(path: str) -> Any:
    """A seekable pyarrow.NativeFile: mapped into memory, or on a store fetched by ranges as it is read.

    Raises:
        InputError: it cannot be opened.
    """
    import pyarrow as pa

    if is_url(path):
        return seekable(path)
    try:
        return pa.memory_map(path)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error}") from error


def file_name(path: str) -> str:
    """The last part of a path or of an address, without its options."""
    return parse(path).name if is_url(path) else Path(path).name


def _local(path: str, offset: int) -> BinaryIO:
    file = Path(path).open("rb")  # noqa: SIM115 - the caller closes it
    file.seek(offset)
    return file


def _buffered(path: str, offset: int = 0) -> Any:
    import pyarrow as pa

    source = stores.open_object(parse(path))
    source.seek(offset)
    # Fewer and larger requests: a range for each megabyte, whatever small pieces are asked for.
    return pa.BufferedInputStream(source, _READ_AHEAD)
