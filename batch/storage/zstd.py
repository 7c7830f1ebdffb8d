"""Streams of zstd (RFC 8878) over open files, by Arrow's own library."""

from __future__ import annotations

from typing import Any, BinaryIO


def zstd_writer(file: BinaryIO) -> Any:
    """Open a stream that writes what it gets to `file`, compressed. Closing it closes `file`'s stream, not the file on disk."""
    import pyarrow as pa

    return pa.CompressedOutputStream(pa.PythonFile(_Kept(file), "w"), "zstd")


def zstd_reader(file: BinaryIO) -> Any:
    """Open a stream that reads `file` decompressed. Reading raises OSError without a number where the bytes are no zstd."""
    import pyarrow as pa

    return pa.CompressedInputStream(pa.PythonFile(_Kept(file), "r"), "zstd")


class _Kept:
    """A file that stays open when a stream over it is closed: it must be synced first."""

    closed = False

    def __init__(self, file: BinaryIO) -> None:
        self.read, self.write, self.seek, self.tell, self.flush = file.read, file.write, file.seek, file.tell, file.flush

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return False

    def close(self) -> None:
        """Leave the file open."""
