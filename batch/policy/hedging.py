"""Decides when a request that lasts long gets a second one beside it: hedging, as in "The Tail at Scale" (Dean and Barroso, 2013).

Pure: times are monotonic seconds, given by the caller.
"""

from __future__ import annotations

import math
from collections import deque

# A quantile is that of the newest answers of a variant.
WINDOW = 2000
FEWEST = 20
# The quantile is computed again after this many answers; sorting the window takes a tenth of a millisecond.
EVERY = 64
FLOOR_S = 0.5
"""An answer that comes sooner is never late, whatever the quantile says."""

SHARE = 0.05
"""Second requests in flight are at most this share of all in flight, and one where that is less than one."""


class Quantile:
    """A quantile of the newest seconds; unknown until enough of them have come for one to lie beyond it."""

    def __init__(self, share: float) -> None:
        self._share = share
        # Rounded: 1 / (1 - 0.99) is a little more than 100.
        self._fewest = max(FEWEST, round(1 / (1 - share)))
        self._seconds: deque[float] = deque(maxlen=max(WINDOW, self._fewest))
        self._new = 0
        self.value = math.inf

    def add(self, seconds: float) -> None:
        """Take an answer's seconds into account."""
        self._seconds.append(seconds)
        self._new += 1
        count = len(self._seconds)
        if count == self._fewest or (self._new >= EVERY and count > self._fewest):
            self._new = 0
            self.value = sorted(self._seconds)[min(count - 1, math.ceil(self._share * count) - 1)]


class HedgePolicy:
    """When second requests may be sent: `after` is in seconds, or a quantile such as "p99" of each variant's answers."""

    def __init__(self, after: float | str) -> None:
        self._after = after if not isinstance(after, str) else None
        self._share = float(after[1:]) / 100 if isinstance(after, str) else 0.0
        self._quantiles: dict[str, Quantile] = {}

    def served(self, variant: str, seconds: float) -> None:
        """Learn from an answer that took this long."""
        if self._after is None:
            quantile = self._quantiles.get(variant)
            if quantile is None:
                quantile = self._quantiles[variant] = Quantile(self._share)
            quantile.add(seconds)

    def patience_s(self, variant: str) -> float:
        """Return the seconds from which a request of a variant is late; infinity while too few answers have come."""
        if self._after is not None:
            return self._after
        quantile = self._quantiles.get(variant)
        return math.inf if quantile is None else max(FLOOR_S, quantile.value)

    @property
    def shortest_s(self) -> float:
        """Return the shortest patience of all variants, in seconds; infinity while none is known."""
        if self._after is not None:
            return self._after
        return min((max(FLOOR_S, each.value) for each in self._quantiles.values()), default=math.inf)

    def is_late(self, variant: str, began: float, now: float) -> bool:
        """Return whether a request of a variant that began at `began` has lasted too long."""
        return now - began >= self.patience_s(variant)

    @staticmethod
    def allows(in_flight: int, hedged: int) -> bool:
        """Return whether another second request may be in flight beside `hedged` others, of `in_flight` first ones."""
        return hedged < max(1, math.floor(SHARE * in_flight))
