"""What the format readers give to the dataset: one record after the other, readable or not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Protocol

from batch.records import InputOffset

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, slots=True)
class UnreadableRecord:
    """Why a record cannot be read, without its place; `digest` is the 16-byte hash of the raw record."""

    message: str
    digest: bytes


# (line from 1, columns, size in bytes): a plain tuple, since one is made for each row. Columns are None where the record was passed over.
Record = tuple[int, dict[str, Any] | UnreadableRecord | None, int]

PACKED = (".gz", ".zst")
"""Endings of files that are unpacked as they are read, and cannot be begun in the middle."""

START = InputOffset(0)
"""Where a file begins."""


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """How files are read.

    `columns` are those that are needed; None: all. Formats that parse whole records may give more. `delimiter` is for CSV (None: the
    header's), `encoding` for text (None: UTF-8).
    """

    columns: frozenset[str] | None = None
    delimiter: str | None = None
    encoding: str | None = None


DEFAULTS = ReadOptions()


@dataclass(slots=True)
class Skip:
    """Number of next records to pass over, unread where the format allows it."""

    records: int = 0


EVERYTHING = Skip()
"""Nothing is passed over; never changed."""


class RowFilter(Protocol):
    """Filter by row id: True for rows that still need work."""

    def __call__(self, ids: Sequence[str]) -> Sequence[bool]:
        """For each of some rows, by its id, whether it is wanted."""


class FinishedRows(Protocol):
    """The rows that need no more work, by ordinal."""

    def gaps(self, start: int, stop: int) -> Iterator[tuple[int, int]]:
        """Yield the ranges of rows from `start` up to `stop` that still need work, in their order."""


class Format(Protocol):
    """The functions of each format's module. All raise InputError when the file as a whole cannot be read."""

    def read(self, path: str, mark: InputOffset = START, skip: Skip = EVERYTHING, options: ReadOptions = DEFAULTS) -> Iterator[Record]:
        """Yield the records of one file from `mark` on, in order, without those that `skip` passes over; `skip` may change meanwhile."""

    def marks(self, path: str, every: int, options: ReadOptions = DEFAULTS) -> tuple[int, list[InputOffset]]:
        """Count the records of `read`, and list where reading can start: at the beginning and, where possible, about every `every` records.

        The caller sets `ordinal` and `file` of each mark.
        """

    def count(self, path: str, options: ReadOptions = DEFAULTS) -> int:
        """Count the records of `read`, bad ones included."""


class TypedFormat(Format, Protocol):
    """A format whose columns have types."""

    def schema(self, paths: Sequence[str]) -> pa.Schema | None:
        """The exact column types of all files together; None when two files disagree on a column."""


def digest(raw: bytes) -> bytes:
    """The 16-byte hash that stands for a raw record; blake2b."""
    return blake2b(raw, digest_size=16).digest()
