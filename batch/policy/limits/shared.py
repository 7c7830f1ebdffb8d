"""A worker's share of an endpoint's limits, where other workers send to it too: requests in flight, and rates.

The coordinator grants shares and takes them back (executors.workers.limit_allocator); this module keeps to them and records their use.
Pure: times are monotonic seconds of the worker, given by the caller.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

from batch.policy.rate_limiter import BURST_S, GATHER_S

LOCAL_CUT = 0.7


@dataclass(frozen=True, slots=True)
class RateGrant:
    """A granted part of a rate: `amount` falls due evenly, one each `interval` seconds, the first `starts_in` seconds after check-in."""

    amount: float
    starts_in: float
    interval: float


@dataclass(frozen=True, slots=True)
class LimitShare:
    """A worker's part of one endpoint's limits: requests at once, and what of each rate it may use (names: "requests", "tokens").

    `pause_s` is how long the endpoint has asked others to wait.
    """

    concurrency: int
    flows: Mapping[str, RateGrant] = field(default_factory=dict)
    pause_s: float = 0.0


@dataclass(frozen=True, slots=True)
class RateUsage:
    """Use of a rate since the last check-in: `used` (net of corrections), and `left` of it (below 0: used ahead).

    `short` says whether it delayed something.
    """

    used: float
    left: float
    short: bool


@dataclass(frozen=True, slots=True)
class LimitUsage:
    """A worker's use of its share in the `elapsed` seconds since its last check-in.

    `in_flight` is now, `peak` the most, `area` their integral over time. `short` says that it could have used more. Of the answers:
    their number, their tokens and seconds in flight. `refusals` is how many were refused for the rate, `refusal_age` how long ago
    the last of them was sent. `faults` counts other failures of the endpoint, `pause_s` is what it asked to wait.
    """

    elapsed: float
    in_flight: int
    peak: int
    area: float
    short: bool
    answers: int = 0
    tokens: float = 0.0
    seconds: float = 0.0
    refusals: int = 0
    refusal_age: float = 0.0
    faults: int = 0
    pause_s: float = 0.0
    flows: Mapping[str, RateUsage] = field(default_factory=dict)


class LeasedConcurrency:
    """A limit that the coordinator sets; between check-ins it only falls, once for each episode of refusals."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.limit = 0
        self._in_flight = 0
        self._at = 0.0
        self._peak = 0
        self._latest_refused = -math.inf
        self._cut_at = -math.inf
        self._begin(0.0)

    def grant(self, limit: int) -> None:
        """Set how many requests may be in flight from now on."""
        self.limit = min(limit, self.most)

    def sent(self, now: float) -> None:
        """Count a request that leaves."""
        self._advance(now)
        self._in_flight += 1
        self._peak = max(self._peak, self._in_flight)

    def ended(self, now: float) -> None:
        """Count a request that ended, in any way."""
        self._advance(now)
        self._in_flight -= 1

    def served(self, sent_at: float, now: float, tokens: float) -> None:
        """Count an answer."""
        self._answers += 1
        self._tokens += tokens
        self._seconds += now - sent_at

    def faulted(self) -> None:
        """Count a failure of the endpoint."""
        self._faults += 1

    def refused(self, sent_at: float, now: float) -> bool:
        """Learn from a refusal of a request sent at `sent_at`. Returns True if that cut the limit, which the next grant may reset."""
        self._refusals += 1
        self._latest_refused = max(self._latest_refused, sent_at)
        if sent_at < self._cut_at:
            return False
        self._cut_at = now
        self.limit = max(1, int(self.limit * LOCAL_CUT))
        return True

    def take_use(self, now: float, *, ready: bool, pause_s: float, flows: Mapping[str, RateUsage]) -> LimitUsage:
        """Return and reset the use since the last call; `ready`: there is something to send now."""
        self._advance(now)
        use = LimitUsage(
            elapsed=now - self._since,
            in_flight=self._in_flight,
            peak=self._peak,
            area=self._area,
            short=ready and self._peak >= self.limit < self.most,
            answers=self._answers,
            tokens=self._tokens,
            seconds=self._seconds,
            refusals=self._refusals,
            refusal_age=now - self._latest_refused if self._refusals else 0.0,
            faults=self._faults,
            pause_s=pause_s,
            flows=flows,
        )
        self._begin(now)
        return use

    def _begin(self, now: float) -> None:
        self._since = self._at = now
        self._peak, self._area = self._in_flight, 0.0
        self._answers = self._refusals = self._faults = 0
        self._tokens = self._seconds = 0.0

    def _advance(self, now: float) -> None:
        if now > self._at:
            self._area += self._in_flight * (now - self._at)
            self._at = now


@dataclass(slots=True)
class _Due:
    """A flow on the worker's own clock: `left` of it is not yet due or not yet lapsed; the first of that falls due at `at`."""

    left: float
    at: float
    interval: float

    def by(self, moment: float) -> float:
        """Return how much has become available by `moment`."""
        return 0.0 if moment < self.at else min(self.left, math.floor((moment - self.at) / self.interval) + 1.0)

    def take(self, amount: float) -> None:
        self.left -= amount
        self.at += amount * self.interval


class LeasedBucket:
    """A rate of which the coordinator hands out pieces, each due at its time; what is not used within BURST_S of that lapses.

    So all workers together never use more in any time than one alone may, however many of them come and go, and nothing has to be
    taken back from those that die.
    """

    def __init__(self) -> None:
        self._dues: deque[_Due] = deque()
        self._used = 0.0
        self._debt = 0.0
        self._short = False

    def grant(self, flow: RateGrant, asked_at: float) -> None:
        """Add a piece. Times count from when it was requested, so that a late piece has lapsed."""
        if flow.amount > 0:
            self._dues.append(_Due(flow.amount, asked_at + flow.starts_in, flow.interval))

    def hold(self, now: float) -> float:
        """Return the seconds until something may be taken; 0: now; infinity: not before the next check-in."""
        self._settle(now)
        if self._debt <= -1:
            return 0.0
        needed = max(0.0, self._debt) + 1
        for due in self._dues:
            if due.left >= needed:
                wait = due.at + (needed - 1) * due.interval - now
                self._short = self._short or wait > 0
                return wait + GATHER_S if wait > 0 else 0.0
            needed -= due.left
        self._short = True
        return math.inf

    def take(self, amount: float, now: float) -> None:
        """Take `amount`, even beyond what is available."""
        self._used += amount
        self._debt += amount
        self._settle(now)

    def correct(self, amount: float) -> None:
        """Correct an earlier estimate: `amount` more (less if negative) was used than was taken."""
        self._used += amount
        self._debt += amount

    def take_use(self, now: float, *, ready: bool) -> RateUsage:
        """Return and reset the use since the last call; `ready`: there is something to send now."""
        self._settle(now)
        if not self._short:
            # Less was used than expected, and no request waited for it: that is no stock for later.
            self._debt = max(0.0, self._debt)
        use = RateUsage(self._used, sum(due.left for due in self._dues) - self._debt, self._short and ready)
        self._used, self._short = 0.0, False
        return use

    def _settle(self, now: float) -> None:
        """Pay the debt from what is available, and drop what was available for too long."""
        while self._dues:
            due = self._dues[0]
            paid = min(max(0.0, self._debt), due.by(now))
            if paid:
                due.take(paid)
                self._debt -= paid
            due.take(due.by(now - BURST_S))
            if due.left > 0:
                return
            self._dues.popleft()
