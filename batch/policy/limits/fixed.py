"""A fixed number of requests in flight, which is cut once an episode while the endpoint refuses."""

from __future__ import annotations

import math

CUT = 0.7


class FixedConcurrency:
    """A limit between 1 and `most`: multiplied by 0.7 on a refusal, then grown by one a round of answers up to `most` again."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._limit = float(most)
        self._cut_at = -math.inf

    @property
    def limit(self) -> int:
        """Requests that may be in flight at once."""
        return int(self._limit)

    @property
    def limit_may_move(self) -> bool:
        """Whether answers can move the limit: while it is below `most`."""
        return self._limit < self.most

    def sent(self, now: float) -> None:
        """Ignored: the number is fixed."""

    def ended(self, now: float) -> None:
        """Ignored: the number is fixed."""

    def faulted(self) -> None:
        """Ignored: the number is fixed."""

    def served(self, sent_at: float, now: float, tokens: float) -> None:  # noqa: ARG002 - as the adaptive one has it
        """Grow back towards `most` after an answer."""
        if self._limit < self.most:
            self._limit = min(self.most, self._limit + 1 / self._limit)

    def refused(self, sent_at: float, now: float) -> bool:
        """Learn from a refusal of a request sent at `sent_at`. Returns True if that cut the limit.

        Requests that were already on their way when the limit was cut belong to the same episode.
        """
        if sent_at < self._cut_at:
            return False
        self._cut_at = now
        self._limit = max(1.0, self._limit * CUT)
        return True
