"""Rows in pieces: contiguous ranges that workers take one after the other. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from batch.records import InputOffset

FEWEST_ROWS, MOST_ROWS = 250, 10_000
WANTED_SHARDS = 1024


@dataclass(frozen=True, slots=True)
class Shard:
    """The rows with ordinals from `start` up to `stop`; `mark` is the nearest known place at or before `start`."""

    number: int
    start: int
    stop: int
    mark: InputOffset


def rows_per_shard(rows: int) -> int:
    """How many rows make a shard: by the input alone, so that it is the same for any number of workers.

    Few enough that a lost one costs little and that all have something to do to the end, many enough that its files and
    messages (about 2 ms) do not show.
    """
    return min(MOST_ROWS, max(FEWEST_ROWS, -(-rows // WANTED_SHARDS)))


def divide(rows: int, marks: Sequence[InputOffset]) -> list[Shard]:
    """`rows` rows as shards, in their order. `marks` are sorted; the first is that of row 0."""
    size = rows_per_shard(rows)
    shards: list[Shard] = []
    place = 0
    for number, start in enumerate(range(0, rows, size)):
        while place + 1 < len(marks) and marks[place + 1].ordinal <= start:
            place += 1
        shards.append(Shard(number, start, min(rows, start + size), marks[place]))
    return shards
