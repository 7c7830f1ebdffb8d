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
    name = file_name(path).lower()
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


def head(path: str, size: int) -> bytes:
    """The first `size` bytes of `path` as they are stored, packed or not; none where they cannot be read."""
    try:
        with _buffered(path) if is_url(path) else _local(path, 0) as file:
            return bytes(file.read(size))
    except OSError:
        return b""


def seekable(path: str, *, as_file: bool = False) -> Any:
    """Return what pyarrow's readers take for `path`: the path itself, or on a store a file that is fetched by ranges as it is read.

    `as_file` asks for an open pyarrow.NativeFile in any case; it is not mapped into memory.

    Raises:
        InputError: it cannot be opened.
    """
    if not is_url(path):
        return _native(path, mapped=False) if as_file else path
    try:
        return stores.open_object(parse(path, inputs=True))
    except OSError as error:
        raise InputError(str(error)) from error


def mapped(path: str) -> Any:
    """The local file `path` mapped into memory, a pyarrow.NativeFile. Raises InputError when it cannot be opened."""
    return _native(path, mapped=True)


def _native(path: str, *, mapped: bool) -> Any:
    import pyarrow as pa

    try:
        return pa.memory_map(path) if mapped else pa.OSFile(path)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error}") from error


def local_size(path: str) -> int | None:
    """The bytes of a local file; None where there is none."""
    try:
        return Path(path).stat().st_size
    except OSError:
        return None


def file_name(path: str) -> str:
    """The last part of a path or of an address, without its options."""
    return parse(path, inputs=True).name if is_url(path) else Path(path).name


def _local(path: str, offset: int) -> BinaryIO:
    file = Path(path).open("rb")  # noqa: SIM115 - the caller closes it
    file.seek(offset)
    return file


def _buffered(path: str, offset: int = 0) -> Any:
    import pyarrow as pa

    source = stores.open_object(parse(path, inputs=True))
    source.seek(offset)
    # Fewer and larger requests: a range for each megabyte, whatever small pieces are asked for.
    return pa.BufferedInputStream(source, _READ_AHEAD)
