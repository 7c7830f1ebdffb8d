"""A circuit breaker: closed → open (nothing is sent) → half-open (one probe) → closed.

It tells an endpoint that is out of order from rows that are: it opens at once when the endpoint says that it is not ready, and
otherwise only when several distinct tasks fail in a row and none succeeds between.
"""

from __future__ import annotations

import math
from collections.abc import Hashable

DISTINCT_TASKS = 3
FAULTS_IN_A_ROW = 10
FIRST_PROBE_S = 1.0
LONGEST_PROBE_S = 15.0


class Breaker:
    """The breaker of one endpoint. All times are monotonic seconds, given by the caller.

    `patience_s` is how long the endpoint is waited for at all: the probes come often enough for several of them to fit into it.
    """

    def __init__(self, patience_s: float = math.inf) -> None:
        self._first = min(FIRST_PROBE_S, patience_s / 20)
        self._longest = min(LONGEST_PROBE_S, patience_s / 10)
        self._failing: set[Hashable] = set()
        self._faults = 0
        self._probe_at: float | None = None
        self._probe: Hashable | None = None
        self._interval = self._first

    @property
    def closed(self) -> bool:
        """Whether requests flow freely."""
        return self._probe_at is None

    @property
    def suspects_endpoint(self) -> bool:
        """Whether so many distinct tasks failed since the last success that it is the endpoint's fault and not theirs."""
        return not self.closed or len(self._failing) >= DISTINCT_TASKS

    def hold(self, now: float) -> float:
        """Seconds until a request may be sent: 0 now, infinity while a probe is under way."""
        if self._probe_at is None:
            return 0.0
        return math.inf if self._probe is not None else max(0.0, self._probe_at - now)

    def sent(self, task: Hashable) -> None:
        """A request of `task` leaves; in an open breaker it is the probe."""
        if self._probe_at is not None:
            self._probe = task

    def served(self) -> bool:
        """The endpoint answered a request as it should; True when that closes the breaker."""
        was_open = not self.closed
        if self._faults:
            self._probe_at = self._probe = None
            self._failing.clear()
            self._faults, self._interval = 0, self._first
        return was_open

    def failed(self, task: Hashable, now: float, *, unready: bool) -> bool:
        """A request of `task` failed by the endpoint's fault; `unready` when it said so itself. True when that opens the breaker."""
        self._failing.add(task)
        self._faults += 1
        if not self.closed:
            # What was in flight when it opened tells nothing new; only the probe does.
            if task == self._probe:
                self._probe = None
                self._interval = min(2 * self._interval, self._longest)
                self._probe_at = now + self._interval
            return False
        if unready or (len(self._failing) >= DISTINCT_TASKS and self._faults >= FAULTS_IN_A_ROW):
            self._probe_at = now + self._interval
            return True
        return False
