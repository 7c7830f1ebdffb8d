"""Write derived files as JSON lines."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

from batch.writers import Layout
from batch.writers.difference import TextSample, first_difference
from batch.writers.values import json_bytes

__all__ = ["first_difference", "open_lines"]


class JsonLines:
    """Write one JSON object per line, with the columns of the layout."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._sample = TextSample()

    def write(self, lines: Sequence[Mapping[str, Any]]) -> None:
        """Add lines."""
        if lines:
            texts = [json_bytes(line) + b"\n" for line in lines]
            self._sample.add(texts)
            self._file.writelines(texts)

    def close(self) -> None:
        """Do nothing: lines are written when they are added."""

    def check(self, path: Path) -> None:
        """Read back the file's size, and its first and last line as JSON. Raises ValueError."""
        for line in self._sample.read_back(path):
            # Values may be nested deeper than the parser goes, as orjson reads them.
            with suppress(RecursionError):
                json.loads(line)

    def abandon(self) -> None:
        """Do nothing: no resource is open."""


def open_lines(file: BinaryIO, layout: Layout, folder: Path) -> JsonLines:  # noqa: ARG001 - lines have their columns already
    """Make a writer to `file`."""
    return JsonLines(file)
