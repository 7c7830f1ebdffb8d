"""The requests per second that an endpoint accepts, learned from its refusals where no header states the rate.

The rate falls to just below what was admitted, returns to just below where it was refused, and rises slowly from there (as CUBIC
does: RFC 9438). It is needed where a number in flight is too coarse: at 20 requests a second and 50 ms each, one request in flight is
the whole rate, two are twice the rate. Pure: times are monotonic seconds, given by the caller.
"""

from __future__ import annotations

import math
from collections import deque

# A limit in flight of at most this many is too coarse for a rate.
COARSE_LIMIT = 8
# A refusal at less than this share of the number that was served at once before is about a rate, not about a number.
RATE_SHARE = 0.25
# One row that is refused each time must not be taken for a rate.
FEWEST_REFUSALS = 5
# Nor does a rate show in fewer answers than this, as of the test requests among rows that are all refused.
FEWEST_ADMITTED = 5
# Cuts in a row to less than this share of the first: the refusals do not depend on the rate, or the window is older than the endpoint's
# present limit. The rate is learned afresh; where that ends in the same way, refusals are by chance, and are ignored for a while.
LOWEST_SHARE = 0.5
IGNORED_S = 60.0
WINDOW_S = 60.0
BIN_S = 0.25
SHORTEST_S = 1.0
CUT = 0.95
# A refusal when less than this many seconds' worth was served since the last one: the rate was used up then, and is not back yet.
STARVED_S = 2.0
# After a cut: back to `BELOW` of the refused rate within RECOVERY_S, there until PLATEAU_S, then growth by this much per second.
BELOW, RECOVERY_S, PLATEAU_S = 0.985, 4.0, 15.0
GROWTH, FAST_GROWTH, FAST_AFTER_S = 0.001, 0.02, 45.0
# Growth of a rate that was taken from what was admitted and never refused itself.
GUESS_GROWTH = 0.05
# A rate that was not refused for this long is dropped.
FORGOTTEN_S = 300.0
GATHER_S = 0.01


class LearnedRate:
    """The rate of one endpoint; without refusals there is no limit."""

    def __init__(self) -> None:
        self._admitted: deque[tuple[float, int]] = deque()
        self._count = 0
        self._begun = math.inf
        self._next = -math.inf
        self._base = self._most = self._first = math.inf
        self._cut_at = -math.inf
        self._is_guess = True
        self._in_vain = 0
        self._ignored_until = -math.inf
        self._served_since = 0
        self._refusals = 0
        self._served_at_once = 0.0

    @property
    def is_active(self) -> bool:
        """Whether a rate was learned."""
        return self._most < math.inf

    @property
    def is_starved(self) -> bool:
        """Whether the last refusal came before much was served since the one before: the rate is used up for some time."""
        return self._is_guess

    def rate(self, now: float) -> float:
        """Requests a second; infinity where none was learned."""
        if not self.is_active:
            return math.inf
        age = now - self._cut_at
        top = BELOW * self._most
        if age < RECOVERY_S:
            return min(top, self._base + (top - self._base) * age / RECOVERY_S) if self._base < top else top
        if self._is_guess:
            return top * math.exp(GUESS_GROWTH * (age - RECOVERY_S))
        slow = max(0.0, min(age, FAST_AFTER_S) - PLATEAU_S)
        return top * math.exp(GROWTH * slow + FAST_GROWTH * max(0.0, age - FAST_AFTER_S))

    def hold(self, now: float) -> float:
        """Return the seconds until something may be sent; 0: now."""
        return max(0.0, self._next - GATHER_S - now) if self.is_active else 0.0

    def sent(self, now: float) -> None:
        """Count a request that leaves."""
        self._begun = min(self._begun, now)
        if self.is_active:
            if now - self._cut_at > FORGOTTEN_S:
                self._base = self._most = self._first = math.inf
                return
            self._next = max(self._next, now - GATHER_S) + 1 / self.rate(now)

    def served(self, now: float, in_flight: float) -> None:
        """Count a request that was admitted and answered, with `in_flight` at once."""
        self._served_at_once = max(in_flight, 0.999 * self._served_at_once)
        if self._admitted and now - self._admitted[-1][0] < BIN_S:
            start, count = self._admitted[-1]
            self._admitted[-1] = (start, count + 1)
        else:
            self._admitted.append((now, 1))
        self._count += 1
        self._served_since += 1
        self._forget(now)

    def refused(self, sent_at: float, now: float, limit: int, in_flight: float) -> None:
        """Learn from a refusal for the rate, with `in_flight` at once under a concurrency limit of `limit`.

        Requests that were on their way at the last cut belong to the same episode.
        """
        coarse = limit <= COARSE_LIMIT or in_flight <= RATE_SHARE * self._served_at_once
        self._refusals += 1
        if now < self._ignored_until:
            return
        if self._refusals < FEWEST_REFUSALS or sent_at < self._cut_at or not (self.is_active or coarse):
            return
        self._forget(now)
        elapsed = max(SHORTEST_S, min(WINDOW_S, now - self._begun))
        admitted = self._count / elapsed
        if self._count < FEWEST_ADMITTED:
            return
        before = self.rate(now)
        self._is_guess = self._served_since < STARVED_S * before
        self._most = min(before, admitted / BELOW) if self._is_guess else before
        if not self._is_guess:
            self._in_vain = 0
        if self._first == math.inf or not self._is_guess:
            self._first = self._most
        if self._most < LOWEST_SHARE * self._first:
            self._forget_all(now)
            return
        self._served_since = 0
        self._base = min(admitted, CUT * self._most)
        self._cut_at = now
        self._next = max(self._next, now)

    def _forget_all(self, now: float) -> None:
        self._in_vain += 1
        if self._in_vain > 1:
            self._ignored_until = now + IGNORED_S
        self._admitted.clear()
        self._count = self._refusals = self._served_since = 0
        self._base = self._most = self._first = math.inf
        self._begun = self._cut_at = self._next = now
        self._is_guess = True

    def _forget(self, now: float) -> None:
        while self._admitted and self._admitted[0][0] < now - WINDOW_S:
            self._count -= self._admitted.popleft()[1]
