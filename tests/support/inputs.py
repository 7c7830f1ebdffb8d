"""Input files for tests, and the dataset over them."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import zstandard

from batch.readers import Dataset
from batch.records import BadRow, Row
from batch.settings import InputSettings


def pack(data: bytes, suffix: str, cut: int = 0) -> bytes:
    """`data` as `suffix` ("", ".gz", ".zst") wants it, in two members or frames that meet at `cut`."""
    pack_one = {"": bytes, ".gz": gzip.compress, ".zst": zstandard.ZstdCompressor().compress}[suffix]
    return pack_one(data[:cut]) + pack_one(data[cut:])


def dataset(*paths: Path, **settings: Any) -> Dataset:
    """The dataset over `paths`."""
    return Dataset(InputSettings(paths=tuple(map(str, paths)), **settings))


def rows_of(data: Dataset, size: int = 256) -> list[Row | BadRow]:
    """All rows in order."""
    return [row for batch in data.batches(size) for row in batch]


def write(path: Path, data: bytes) -> Path:
    """`path`, now holding `data`."""
    path.write_bytes(data)
    return path
