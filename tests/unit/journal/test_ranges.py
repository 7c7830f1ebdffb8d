"""Sets of numbers as ranges, against Python's sets."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from batch.journal import ranges
from batch.journal.ranges import OrdinalRanges

NUMBERS = st.sets(st.integers(0, 40), max_size=30)


def of(numbers: set[int]) -> OrdinalRanges:
    return ranges.of_numbers(np.array(sorted(numbers), np.int64))


@given(a=NUMBERS, b=NUMBERS, c=NUMBERS, start=st.integers(0, 40), length=st.integers(0, 40))
def test_ranges_are_sets(a: set[int], b: set[int], c: set[int], start: int, length: int) -> None:
    """Each operation gives what Python's sets give, in the one form that a set of numbers has."""
    within = set(range(start, start + length))
    for found, right in (
        (ranges.union([of(a), of(b), of(c)]), a | b | c),
        (ranges.intersection([of(a), of(b), of(c)]), a & b & c),
        (ranges.difference(of(a), of(b)), a - b),
        (ranges.clip(of(a), start, start + length), a & within),
        (ranges.gaps(of(a), start, start + length), within - a),
    ):
        assert found.tolist() == of(right).tolist()
    assert ranges.contains(of(a), np.arange(45)).tolist() == [number in a for number in range(45)]
    assert ranges.count(of(a)) == len(a)
