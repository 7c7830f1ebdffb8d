"""The names of files of rows that a run directory keeps."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

ROWS = "rows"
"""The folder of rows that were made for a run: read from stdin, given from Python, or made of another run's answers."""


def numbered(made: Path, stem: str, names: Sequence[str]) -> str:
    """Return the name of a new file of kept rows beside those of `names`."""
    numbers = [int(text) for name in names if (text := name.partition(".")[0].rpartition("-")[2]).isdecimal()]
    return f"{stem}-{max(numbers, default=0) + 1:06}{made.suffix}"
