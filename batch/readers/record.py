"""What the format readers give to the dataset: one record after the other, readable or not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class Flaw:
    """Why a record cannot be read, without its place; `digest` is the 16-byte hash of the raw record."""

    message: str
    digest: bytes


# (line from 1, columns, size in bytes): a plain tuple, since one is made for each row.
Record = tuple[int, dict[str, Any] | Flaw, int]


class Format(Protocol):
    """What each format's module offers. Both raise InputError when the file as a whole cannot be read."""

    def read(self, path: str) -> Iterator[Record]:
        """The records of one file, in order."""

    def count(self, path: str) -> int:
        """How many records `read` gives, bad ones included."""


def digest(raw: bytes) -> bytes:
    """The 16-byte hash that stands for a raw record; blake2b."""
    return blake2b(raw, digest_size=16).digest()
