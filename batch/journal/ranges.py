"""Sets of whole numbers as sorted ranges: an array of (start, stop) pairs that neither overlap nor touch. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

OrdinalRanges: TypeAlias = NDArray[np.int64]
Numbers: TypeAlias = NDArray[np.int64]

NONE: OrdinalRanges = np.empty((0, 2), np.int64)


def of_numbers(numbers: Numbers) -> OrdinalRanges:
    """Make the ranges of sorted numbers, each of which occurs once."""
    if not len(numbers):
        return NONE
    breaks = np.flatnonzero(np.diff(numbers) != 1)
    starts = np.concatenate((numbers[:1], numbers[breaks + 1]))
    stops = np.concatenate((numbers[breaks], numbers[-1:])) + 1
    return np.column_stack((starts, stops))


def count(ranges: OrdinalRanges) -> int:
    """Count the numbers."""
    return int((ranges[:, 1] - ranges[:, 0]).sum())


def union(sets: Sequence[OrdinalRanges]) -> OrdinalRanges:
    """Return the numbers that are in any of the sets."""
    sets = [each for each in sets if len(each)]
    if len(sets) < 2:
        return sets[0] if sets else NONE
    whole = np.concatenate(sets)
    whole = whole[np.argsort(whole[:, 0], kind="stable")]
    stops = np.maximum.accumulate(whole[:, 1])
    first = np.concatenate((np.ones(1, np.bool_), whole[1:, 0] > stops[:-1]))
    last = np.concatenate((first[1:], np.ones(1, np.bool_)))
    return np.column_stack((whole[first, 0], stops[last]))


def gaps(ranges: OrdinalRanges, start: int, stop: int) -> OrdinalRanges:
    """Return the numbers from `start` up to `stop` that are not in the set."""
    within = clip(ranges, start, stop)
    edges = np.concatenate(([start], within.ravel(), [stop])).reshape(-1, 2)
    return edges[edges[:, 0] < edges[:, 1]]


def intersection(sets: Sequence[OrdinalRanges]) -> OrdinalRanges:
    """Return the numbers that are in all of the sets. Raises ValueError for no set."""
    if not sets:
        raise ValueError("no set")
    if any(not len(each) for each in sets):
        return NONE
    start, stop = max(int(each[0, 0]) for each in sets), min(int(each[-1, 1]) for each in sets)
    return gaps(union([gaps(each, start, stop) for each in sets]), start, stop) if start < stop else NONE


def difference(ranges: OrdinalRanges, without: OrdinalRanges) -> OrdinalRanges:
    """Return the numbers of `ranges` that are not in `without`."""
    if not len(ranges) or not len(without):
        return ranges
    return intersection([ranges, gaps(without, int(ranges[0, 0]), int(ranges[-1, 1]))])


def clip(ranges: OrdinalRanges, start: int, stop: int) -> OrdinalRanges:
    """Return the numbers from `start` up to `stop`."""
    if start >= stop:
        return NONE
    first = int(np.searchsorted(ranges[:, 1], start, "right"))
    last = int(np.searchsorted(ranges[:, 0], stop, "left"))
    if first >= last:
        return NONE
    part = ranges[first:last].copy()
    part[0, 0], part[-1, 1] = max(part[0, 0], start), min(part[-1, 1], stop)
    return part


def contains(ranges: OrdinalRanges, numbers: Numbers) -> NDArray[np.bool_]:
    """Return for each number whether it is in the set."""
    if not len(ranges):
        return np.zeros(len(numbers), np.bool_)
    places = np.searchsorted(ranges[:, 0], numbers, "right") - 1
    within: NDArray[np.bool_] = (places >= 0) & (numbers < ranges[places, 1])
    return within
