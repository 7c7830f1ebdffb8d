"""A set of request keys, 8 bytes each: which requests were there before."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

# 400 MB. A job with more distinct requests gains nothing from deduplication.
MOST_KEYS = 50_000_000


class KeySet:
    """Remembers the first 8 bytes of up to `most` keys, in sorted runs of falling size, each at least twice as long as the next.

    `keys` are there at the start. The array is the set's own from then on, and sorted in place: at 80 MB a copy would be much.

    Two different keys collide with a probability of n²/2^65, so a caller must compare the whole keys before acting on a match.
    """

    def __init__(self, keys: NDArray[np.uint64] | None = None, *, most: int = MOST_KEYS) -> None:
        self._most = most
        self._runs: list[NDArray[np.uint64]] = []
        if keys is not None and len(keys):
            keys.sort()
            self._runs.append(keys)

    def __len__(self) -> int:
        return sum(len(run) for run in self._runs)

    @property
    def is_full(self) -> bool:
        """Whether the set is full and ignores further keys."""
        return len(self) >= self._most

    def add(self, keys: Sequence[bytes]) -> list[bool]:
        """Add keys; returns for each whether it was added before, also earlier in `keys`. Fast for many at once only."""
        if not keys:
            return []
        wanted, seen = self._found(keys)
        different, first = np.unique(wanted, return_index=True)
        if not self.is_full:
            self._push(different[~seen[first]])
        repeated = np.ones(len(wanted), np.bool_)
        repeated[first] = False
        return (seen | repeated).tolist()  # type: ignore[no-any-return]

    def known(self, keys: Sequence[bytes]) -> list[bool]:
        """Return for each key whether it was added. Fast for many at once only."""
        if not keys or not len(self):
            return [False] * len(keys)
        return self._found(keys)[1].tolist()  # type: ignore[no-any-return]

    def _found(self, keys: Sequence[bytes]) -> tuple[NDArray[np.uint64], NDArray[np.bool_]]:
        wanted = np.frombuffer(b"".join(key[:8] for key in keys), ">u8").astype(np.uint64)
        seen = np.zeros(len(wanted), np.bool_)
        for run in self._runs:
            places = np.searchsorted(run, wanted)
            places[places == len(run)] = 0
            seen |= run[places] == wanted
        return wanted, seen

    def _push(self, run: NDArray[np.uint64]) -> None:
        if not len(run):
            return
        while self._runs and len(self._runs[-1]) < 2 * len(run):
            run = np.sort(np.concatenate((self._runs.pop(), run)), kind="stable")
        self._runs.append(run)
