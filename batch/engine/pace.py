"""What one endpoint bears now: concurrency, shared pause, breaker, retry budget. All its users ask it before they send.

Pure but for its state: times are monotonic seconds and come from the caller.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from batch.policy.breaker import Breaker
from batch.policy.budget import RetryBudget
from batch.policy.concurrency import Concurrency
from batch.policy.verdicts import Verdict
from batch.policy.waits import MAX_WAIT_S, backoff
from batch.records import Task
from batch.settings import RunSettings

# Codes by which an endpoint, or the network before it, says that it serves nobody at the moment.
UNREADY = frozenset({"loading", "connect", "resolve"})
# A wait that no server means (10^30 s); it is treated as if none had been given.
ABSURD_WAIT_S = 7 * 86_400.0
# Tasks in a row, all different, that must be forbidden before the endpoint is held to refuse everything.
FORBIDDEN_TASKS = 5


@dataclass(slots=True)
class Work:
    """A task on its way through the pool. `attempts` are those that count, `tries` all of them; `doubled` may be billed twice."""

    task: Task
    previous: str | None = None
    attempts: int = 0
    tries: int = 0
    doubled: int = 0
    first_sent: float | None = None
    charged_retry: bool = False


class Pace:
    """The pace of one endpoint."""

    def __init__(self, name: str, run: RunSettings, *, rng: random.Random) -> None:
        self.name = name
        self.concurrency = Concurrency(run.concurrency)
        self.breaker = Breaker()
        self.budget = RetryBudget(floor=max(20, 2 * run.concurrency))
        self._run = run
        self._random = rng
        self._paused_until = 0.0
        self._refusals = 0
        self._outage_since: float | None = None
        self._forbidden: set[tuple[str, int, int]] = set()

    @property
    def outage_deadline(self) -> float | None:
        """When an endpoint that serves nothing is given up; None while it serves."""
        return None if self._outage_since is None else self._outage_since + self._run.outage_timeout_s

    def hold(self, now: float) -> float:
        """Seconds until something may be sent: 0 now, infinity until a probe has come back."""
        return max(self.breaker.hold(now), self._paused_until - now, 0.0)

    def sent(self, work: Work) -> None:
        """A request leaves."""
        self.breaker.sent()
        self.budget.sent(retry=work.charged_retry)

    def served(self) -> bool:
        """An answer came; True when that ended an outage."""
        self.concurrency.served()
        self._refusals = 0
        self._outage_since = None
        if self._forbidden:
            self._forbidden.clear()
        return self.breaker.served()

    def answered(self) -> bool:
        """The endpoint refused a row for the row's own fault: it is alive. True when that ended an outage."""
        self._outage_since = None
        return self.breaker.served()

    def forbidden(self, task: Task) -> bool:
        """A 403 for `task`; True when so many different tasks got one, and none an answer, that it is not about the tasks."""
        self._forbidden.add((task.variant, task.ordinal, task.repeat))
        return len(self._forbidden) >= FORBIDDEN_TASKS

    def postpone(self, work: Work, verdict: Verdict, sent_at: float, now: float) -> tuple[float, str | None]:
        """When `work` may be tried again after a fault that is not its own, and what a person should know about it.

        A server's wait is never shortened; one refusal pauses the whole endpoint once.
        """
        if self._outage_since is None:
            self._outage_since = now
        wait = verdict.wait if verdict.wait is not None and verdict.wait <= ABSURD_WAIT_S else None
        refused = verdict.shrink or wait is not None
        notice = self._refused(verdict, wait, sent_at, now) if refused else None
        # A rate limit says that the endpoint lives; only as the answer to a probe it tells the breaker something.
        if _code(verdict) != "rate_limit" or not self.breaker.closed:
            task = (work.task.variant, work.task.ordinal, work.task.repeat)
            if self.breaker.failed(task, now, unready=_code(verdict) in UNREADY):
                notice = f"{self.name} is out of order ({_reason(verdict)}); probing until it serves again"
        own = now + backoff(max(1, work.tries), self._random.random())
        return max(own, self._paused_until), notice

    def _refused(self, verdict: Verdict, wait: float | None, sent_at: float, now: float) -> str | None:
        """Cut the concurrency once an episode, and pause everybody for the server's wait or one of our own."""
        cut = verdict.shrink and self.concurrency.refused(sent_at, now)
        if cut:
            self._refusals += 1
        if wait is None and cut:
            wait = backoff(self._refusals, self._random.random())
        return None if wait is None else self._pause(wait, _code(verdict), now)

    def _pause(self, wait: float, code: str, now: float) -> str | None:
        until = now + wait
        if until <= self._paused_until:
            return None
        news = until - self._paused_until > 1.0
        self._paused_until = until
        if not news or wait < 1.0:
            return None
        verb = "parked" if wait > MAX_WAIT_S else "paused"
        return f"{self.name} {verb} for {wait:,.0f} s ({code})"


def _code(verdict: Verdict) -> str:
    return verdict.error.code if verdict.error else ""


def _reason(verdict: Verdict) -> str:
    return verdict.error.message if verdict.error else ""
