"""Divides rows into contiguous ranges. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from batch.records import InputOffset

FEWEST_ROWS, MOST_ROWS = 250, 10_000
# Enough for hundreds of workers to stay busy to the end.
WANTED_SHARDS = 1024


@dataclass(frozen=True, slots=True)
class Shard:
    """The rows with ordinals from `start` up to `stop`; `offset` is the nearest known place in the input at or before `start`."""

    number: int
    start: int
    stop: int
    offset: InputOffset


def rows_per_shard(rows: int) -> int:
    """Return the number of rows of a shard, by the input alone: the same for any number of workers.

    Few enough that a lost shard costs little and all workers are busy to the end, many enough that its files and messages (about 2 ms) do
    not matter.
    """
    return min(MOST_ROWS, max(FEWEST_ROWS, -(-rows // WANTED_SHARDS)))


def divide(rows: int, offsets: Sequence[InputOffset]) -> list[Shard]:
    """Divide `rows` rows into shards, in order. `offsets` are sorted; the first is that of row 0."""
    size = rows_per_shard(rows)
    shards: list[Shard] = []
    place = 0
    for number, start in enumerate(range(0, rows, size)):
        while place + 1 < len(offsets) and offsets[place + 1].ordinal <= start:
            place += 1
        shards.append(Shard(number, start, min(rows, start + size), offsets[place]))
    return shards
