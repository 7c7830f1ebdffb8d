"""Write derived files as JSON lines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from batch.writers import Layout
from batch.writers.difference import first_difference
from batch.writers.values import json_bytes

__all__ = ["first_difference", "open_lines"]


class JsonLines:
    """Write one JSON object per line, with the columns of the layout."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def write(self, lines: Sequence[Mapping[str, Any]]) -> None:
        """Add lines."""
        if lines:
            self._file.write(b"\n".join(map(json_bytes, lines)) + b"\n")

    def close(self) -> None:
        """Do nothing: lines are written when they are added."""

    def abandon(self) -> None:
        """Do nothing: no resource is open."""


def open_lines(file: BinaryIO, layout: Layout, folder: Path) -> JsonLines:  # noqa: ARG001 - lines have their columns already
    """Make a writer to `file`."""
    return JsonLines(file)
