"""`sample` of [input]: N rows drawn by a seed, the same in every pass, without holding the rows.

Each ordinal has a rank: a bijection of 64 bits that mixes well (splitmix64's finaliser, Steele, Lea and Flood 2014), so no two rows share
one. The N rows of the lowest ranks are the sample. A larger N thus keeps the rows of a smaller one, and a run that has answered 100 rows
continues to 1,000 without sending any again.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable

_BITS = (1 << 64) - 1
_GOLDEN = 0x9E3779B97F4A7C15


def rank(ordinal: int, seed: int) -> int:
    """The row's place in the order in which rows are drawn, below 2**64."""
    mixed = (ordinal * _GOLDEN + _scrambled((seed & _BITS) + _GOLDEN & _BITS)) & _BITS
    return _scrambled(mixed)


def highest_rank(ordinals: Iterable[int], size: int, seed: int) -> int:
    """The highest rank of a sample of `size` out of `ordinals`; -1 when it is empty. Holds `size` numbers."""
    drawn = heapq.nsmallest(size, (rank(ordinal, seed) for ordinal in ordinals))
    return drawn[-1] if drawn else -1


def _scrambled(value: int) -> int:
    value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9 & _BITS
    value = (value ^ (value >> 27)) * 0x94D049BB133111EB & _BITS
    return value ^ (value >> 31)
