"""Queues work: new rows in input order, and retries by due time."""

from __future__ import annotations

import heapq
import math
from collections import deque
from collections.abc import Callable
from itertools import count

from batch.engine.work import Bundle, Work

# Rows with images are megabytes each: reading ahead is bounded by size as well as by number.
READY_BYTES = 64 * 1024 * 1024
# A row of a bundle beside its request. Bundles count as few, and may be of thousands of rows.
_ROW_BYTES = 1024


class Backlog:
    """The queue of one worker pool. Its callers bound it: they add nothing while it `is_full`.

    `dropped` is called with work of a skipped variant, which gets no outcome.
    """

    def __init__(self, high_water: int, dropped: Callable[[Work], None]) -> None:
        self.ready: deque[Work] = deque()
        self._ready_bytes = self._retry_bytes = 0
        self._retries: list[tuple[float, int, Work]] = []
        # Breaks ties between equal due times: the heap would compare the work itself otherwise.
        self._numbers = count()
        self.high_water = high_water
        self._skipped: set[str] = set()
        self._dropped = dropped

    def __bool__(self) -> bool:
        return bool(self.ready or self._retries)

    def __len__(self) -> int:
        return len(self.ready) + len(self._retries)

    @property
    def is_full(self) -> bool:
        """Whether no further rows should be read."""
        return len(self) >= self.high_water or self._ready_bytes + self._retry_bytes > READY_BYTES

    @property
    def next_due(self) -> float:
        """Return when the first retry is due; infinity if there is none."""
        return self._retries[0][0] if self._retries else math.inf

    @property
    def next_retry(self) -> Work:
        """Return the retry that is due first."""
        return self._retries[0][2]

    @property
    def next(self) -> Work:
        """Return the next new row, or else the retry that is due first."""
        return self.ready[0] if self.ready else self.next_retry

    @property
    def variants(self) -> set[str]:
        """Return the variants of the work in it."""
        return {work.task.variant for work in [*self.ready, *(retry[2] for retry in self._retries)]}

    def retry_of(self, variant: str) -> Work | None:
        """Return a task of the variant that waits for another attempt; None if there is none."""
        return next((work for *_, work in self._retries if work.task.variant == variant and work.endpoint is not None), None)

    def due(self, now: float) -> int:
        """Count the retries that are due."""
        if not self._retries or self._retries[0][0] > now:
            return 0
        return sum(1 for at, _, _ in self._retries if at <= now)

    def skip(self, variant: str) -> int:
        """Drop the work of a variant, now and later. Returns how many retries it contained."""
        self._skipped.add(variant)
        retries, self._retries, self._retry_bytes = self._retries, [], 0
        for due, number, work in retries:
            if self.skips(work):
                self._dropped(work)
            else:
                heapq.heappush(self._retries, (due, number, work))
                self._retry_bytes += _bytes_of(work)
        dropped = len(retries) - len(self._retries)
        ready, self.ready, self._ready_bytes = self.ready, deque(), 0
        for work in ready:
            self.add(work)
        return dropped

    def skips(self, work: Work) -> bool:
        """Return whether this is work of a skipped variant."""
        return work.task.variant in self._skipped

    def add(self, work: Work) -> None:
        """Add a new row."""
        if self.skips(work):
            self._dropped(work)
            return
        self.ready.append(work)
        self._ready_bytes += _bytes_of(work)

    def take(self) -> Work:
        """Remove and return the next new row."""
        work = self.ready.popleft()
        self._ready_bytes -= _bytes_of(work)
        return work

    def postpone(self, work: Work, due: float) -> None:
        """Add work to be retried at `due` (monotonic seconds)."""
        if self.skips(work):
            self._dropped(work)
            return
        heapq.heappush(self._retries, (due, next(self._numbers), work))
        self._retry_bytes += _bytes_of(work)

    def shift(self, seconds: float) -> None:
        """Let the time for which nothing was sent not count against the tasks that wait for a retry."""
        for _, _, work in self._retries:
            if work.first_sent is not None:
                work.first_sent += seconds

    def take_retry(self) -> Work:
        """Return the retry that is due first."""
        work = heapq.heappop(self._retries)[2]
        self._retry_bytes -= _bytes_of(work)
        return work


def _bytes_of(work: Work) -> int:
    """Return about how much memory `work` takes: its request, and those of a bundle's rows with what is kept of each."""
    size = len(work.task.request.body)
    return size + sum(len(each.task.request.body) + _ROW_BYTES for each in work.members) if isinstance(work, Bundle) else size


def high_water(in_flight: int) -> int:
    """Return how many rows to read ahead for this many requests in flight."""
    # Twice what is in flight: reading, in its thread, stays ahead of sending.
    return max(512, 2 * in_flight)
