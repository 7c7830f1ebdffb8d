"""Compare two written text files."""

from __future__ import annotations

from itertools import zip_longest
from pathlib import Path


def first_difference(path: Path, other: Path) -> int | None:
    """Return the first line (from 1) in which two files differ; None when they are equal byte for byte."""
    with path.open("rb") as left, other.open("rb") as right:
        return next((number for number, (a, b) in enumerate(zip_longest(left, right), 1) if a != b), None)
