"""What the format readers give to the dataset: one record after the other, readable or not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Protocol

from batch.records import InputOffset


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


@dataclass(slots=True)
class Skip:
    """How many of the next records nobody wants: they are passed over, if the format allows without being read."""

    records: int = 0


EVERYTHING = Skip()
"""Nothing is passed over; never changed."""


class RowFilter(Protocol):
    """Who reads knows rows that he wants no more."""

    def __call__(self, ids: Sequence[str]) -> Sequence[bool]:
        """For each of some rows, by its id, whether it is wanted."""


class Format(Protocol):
    """What each format's module offers. All raise InputError when the file as a whole cannot be read."""

    def read(self, path: str, mark: InputOffset = START, skip: Skip = EVERYTHING) -> Iterator[Record]:
        """The records of one file from `mark` on, in order, but for those that `skip` says, also when it is changed on the way."""

    def marks(self, path: str, every: int) -> tuple[int, list[InputOffset]]:
        """How many records `read` gives, and where reading can begin: at the start and, where that is possible, at about every so many.

        Of each mark `ordinal` and `file` are left to the caller.
        """

    def count(self, path: str) -> int:
        """How many records `read` gives, bad ones included."""


def digest(raw: bytes) -> bytes:
    """The 16-byte hash that stands for a raw record; blake2b."""
    return blake2b(raw, digest_size=16).digest()
