"""A circuit breaker: closed → open (nothing is sent) → half-open (one probe) → closed.

It opens at once when the endpoint says that it is not ready, and otherwise only when several distinct tasks fail in a row and none
succeeds between. Where a reference can test the endpoint (see `blame.py`) it is tested before it is called out of order.
"""

from __future__ import annotations

import math
from collections.abc import Hashable

# One row that fails again and again, or one burst of refusals, is not yet an outage.
DISTINCT_TASKS = 3
FAULTS_IN_A_ROW = 10
MOST_PATIENCE = 64
# A restart of a server takes seconds; probes double up to the longest interval.
FIRST_PROBE_S = 1.0
LONGEST_PROBE_S = 15.0


class Breaker:
    """The breaker of one endpoint. All times are monotonic seconds, given by the caller.

    `patience_s` is how long an endpoint that serves nothing is waited for: several probes fit into it, `longest_interval` seconds apart
    at most. `is_unready`: the endpoint itself
    said that it serves nothing now.
    """

    def __init__(self, patience_s: float = math.inf) -> None:
        self._first = min(FIRST_PROBE_S, patience_s / 20)
        self.longest_interval = min(LONGEST_PROBE_S, patience_s / 10)
        self._failing: set[Hashable] = set()
        self._faults = 0
        self._needed = 1
        self._probe_at: float | None = None
        self._probe: Hashable | None = None
        self._interval = self._first
        self._suspected_at: float | None = None
        self.is_unready = False

    @property
    def closed(self) -> bool:
        """Whether requests flow freely."""
        return self._probe_at is None

    @property
    def is_suspected(self) -> bool:
        """Whether it is open for a suspicion that no probe has confirmed yet."""
        return self._suspected_at is not None

    def hold(self, now: float) -> float:
        """Seconds until a request may be sent: 0 now, infinity while a probe is under way."""
        if self._probe_at is None:
            return 0.0
        return math.inf if self._probe is not None else max(0.0, self._probe_at - now)

    def sent(self, task: Hashable) -> None:
        """Count a request of `task`; in an open breaker it is the probe."""
        if self._probe_at is not None:
            self._probe = task

    def suspect(self, now: float) -> None:
        """Open it for a suspicion: the next request, at once, is the test."""
        if self.closed:
            self._probe_at = self._suspected_at = now

    def served(self, sent_at: float = math.inf, *, by_reference: bool = False) -> bool:
        """Record an answer to a request sent at `sent_at`. Returns True when it closes a breaker that was confirmed open."""
        if self._suspected_at is not None and (self._probe is None or sent_at < self._suspected_at):
            return False  # It was on its way when the suspicion arose, and shows nothing about the time since.
        was_open = not self.closed and not self.is_suspected
        # The suspicion was wrong: the next one needs twice the evidence, so that odd rows do not stop the rest each time.
        self._needed = min(MOST_PATIENCE, 2 * self._needed) if by_reference else 1
        if self._faults or not self.closed:
            self._probe_at = self._probe = self._suspected_at = None
            self._failing.clear()
            self.is_unready = False
            self._faults, self._interval = 0, self._first
        return was_open

    def failed(self, task: Hashable, now: float, *, unready: bool, testable: bool = False) -> bool:
        """Record a failure that is the endpoint's fault. Returns True when it opens the breaker.

        `unready`: the endpoint said so itself. `testable`: a reference is there, so several failures only raise a suspicion.
        """
        self._failing.add(task)
        self._faults += 1
        if not self.closed:
            # What was in flight when it opened shows nothing new; only the probe does.
            if task != self._probe:
                return False
            confirmed, self._suspected_at = self.is_suspected, None
            self._probe = None
            if not confirmed:
                self._interval = min(2 * self._interval, self.longest_interval)
            self._probe_at = now + self._interval
            return confirmed
        if unready:
            self.is_unready = True
            self._probe_at = now + self._interval
            return True
        if len(self._failing) >= DISTINCT_TASKS * self._needed and self._faults >= FAULTS_IN_A_ROW * self._needed:
            if testable:
                self.suspect(now)
                return False
            self._probe_at = now + self._interval
            return True
        return False
