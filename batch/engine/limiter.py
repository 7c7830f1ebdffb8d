"""What one endpoint bears now: concurrency, shared pause, breaker, retry budget. All its users ask it before they send.

Pure but for its state: times are monotonic seconds and come from the caller.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from batch.policy.breaker import Breaker
from batch.policy.limits.adaptive import AdaptiveConcurrency
from batch.policy.limits.fixed import Concurrency
from batch.policy.limits.shared import LeasedConcurrency
from batch.policy.rate_limiter import RateLimiter, tokens_of
from batch.policy.retry_budget import RetryBudget
from batch.policy.verdicts import Verdict
from batch.policy.waits import MAX_WAIT_S, backoff
from batch.records import ErrorInfo, Exchange, Request, Task
from batch.settings import RunSettings

if TYPE_CHECKING:
    from batch.engine.endpoint_pool import PooledEndpoint

# Codes by which an endpoint, or the network before it, says that it serves nobody at the moment.
UNREADY = frozenset({"loading", "connect", "resolve", "tls"})
# What says nothing against the endpoint: it limits, or we stood still. Only what became of a probe the breaker must know all the same.
NO_FAULT = frozenset({"rate_limit", "held"})
# A wait that no server means (10^30 s); it is treated as if none had been given.
ABSURD_WAIT_S = 7 * 86_400.0
LONGEST_REASON = 300
TOO_MANY = 429
# The floor of the retry budget under "auto", whose most says little about how many are in flight.
AUTO_RETRIES = 64


@dataclass(slots=True)
class Work:
    """A task on its way through the pool. `attempts` are those that count, `tries` all of them; `doubled` may be billed twice.

    `shard` is the piece of the input that it belongs to, where rows are shared out over workers.
    `member` is the endpoint that got its last attempt, `failed_at` the same when it failed there; `shunned` are those that forbade the row.
    `mended` is sent instead of the task's own request once an answer did not fit the schema, `repairs` times in all; `used` is the usage of
    the answers before. `unusable` counts its answers that came whole in a form that cannot be used.
    Of its last attempt: its `number` among all that its endpoint got, the `tokens` that it was expected to use, and the US dollars that
    are `reserved` for it. `cost_usd` is what its attempts cost as far as it is known, `extra_usd` the most that the others may have cost.
    """

    task: Task
    previous: str | None = None
    attempts: int = 0
    tries: int = 0
    doubled: int = 0
    first_sent: float | None = None
    charged_retry: bool = False
    number: int = 0
    tokens: float = 0.0
    member: PooledEndpoint | None = None
    failed_at: PooledEndpoint | None = None
    shunned: tuple[PooledEndpoint, ...] = ()
    shard: int = 0
    reserved: float = 0.0
    cost_usd: float | None = None
    extra_usd: float = 0.0
    repairs: int = 0
    mended: Request | None = None
    used: Mapping[str, Any] | None = None
    unusable: int = 0

    @property
    def request(self) -> Request:
        """What is sent."""
        return self.mended or self.task.request


class EndpointLimiter:
    """The pace of one endpoint. `concurrency` and `rates` are given where others send to it too, and limits are shared out.

    Until `asked_until` nothing is sent to it, because it asked for that. `outage_since` is when the first attempt failed after the
    last answer; None while it serves.
    """

    def __init__(
        self,
        name: str,
        run: RunSettings,
        *,
        rng: random.Random,
        concurrency: LeasedConcurrency | None = None,
        rates: RateLimiter | None = None,
    ) -> None:
        self.name = name
        auto = run.concurrency == "auto"
        own = (AdaptiveConcurrency if auto else Concurrency)(run.most_in_flight)
        self.concurrency: Concurrency | AdaptiveConcurrency | LeasedConcurrency = own if concurrency is None else concurrency
        self.rates = rates or RateLimiter(run.requests_per_minute, run.tokens_per_minute)
        self.breaker = Breaker(run.outage_timeout_s)
        self.budget = RetryBudget(floor=max(20, 2 * min(run.most_in_flight, AUTO_RETRIES) if auto else 2 * run.most_in_flight))
        self._patience_s = run.outage_timeout_s
        self._random = rng
        self.asked_until = 0.0
        self._paused_until = 0.0
        self._refusals = 0
        self.outage_since: float | None = None
        self._failed_from = -math.inf
        self._last_fault = ""

    @property
    def outage_deadline(self) -> float | None:
        """When an endpoint that serves nothing is given up; None while it serves."""
        return None if self.outage_since is None else self.outage_since + self._patience_s

    @property
    def failed_late(self) -> bool:
        """Whether an attempt failed that was sent after the outage's deadline: it was asked once more, in vain."""
        deadline = self.outage_deadline
        return deadline is not None and self._failed_from >= deadline

    def asks_too_much(self, now: float) -> bool:
        """Whether the endpoint asks to wait beyond the deadline, or, if it served after it asked, for longer than it is waited for."""
        deadline = self.outage_deadline
        return self.asked_until > now and self.asked_until >= (now + self._patience_s if deadline is None else deadline)

    def hold(self, now: float) -> float:
        """Seconds until something may be sent: 0 now, infinity until a probe has come back, or for good when it `failed_late`."""
        if self.outage_since is not None and self.failed_late:
            return math.inf
        return max(self.breaker.hold(now), self._paused_until - now, self.rates.hold(now), 0.0)

    def sent(self, work: Work, now: float) -> None:
        """A request leaves."""
        self.concurrency.sent(now)
        work.number, work.tokens = self.rates.sent(work.request.body, now)
        if not self.breaker.closed:
            self.breaker.sent(_key(work.task))
        self.budget.sent(retry=work.charged_retry)

    def ended(self, work: Work, exchange: Exchange) -> None:
        """An attempt is over, however it went: what its headers and its usage say about the rates."""
        self.concurrency.ended(exchange.done_at)
        usage = exchange.reply.usage if exchange.reply else None
        self.rates.ended(work.number, work.tokens, exchange.headers, usage, exchange.done_at, refused=exchange.status == TOO_MANY)

    def served(self, exchange: Exchange) -> bool:
        """An answer came; True when that ended an outage."""
        usage = exchange.reply.usage if exchange.reply else None
        self.concurrency.served(exchange.sent_at, exchange.done_at, max(1.0, tokens_of(usage, "completion_tokens")))
        self._refusals = 0
        self.outage_since = None
        return self.breaker.served()

    def answered(self) -> bool:
        """The endpoint refused a row for the row's own fault: it is alive. True when that ended an outage."""
        self.outage_since = None
        return self.breaker.served()

    def postpone(self, work: Work, verdict: Verdict, sent_at: float, now: float) -> tuple[float, str | None]:
        """When `work` may be tried again after a fault that is not its own, and what a person should know about it.

        A server's wait is never shortened, but stands in `paused`: one refusal pauses the whole endpoint once.
        """
        if self.outage_since is None:
            self.outage_since = now
        self._failed_from = max(self._failed_from, sent_at)
        code, self._last_fault = (verdict.error.code, verdict.error.message) if verdict.error else ("", "")
        wait = verdict.wait if verdict.wait is not None and verdict.wait <= ABSURD_WAIT_S else None
        refused = verdict.shrink or wait is not None
        notice = self._refused(verdict, wait, code, sent_at, now) if refused else None
        if not verdict.shrink:
            self.concurrency.faulted()
        if (code not in NO_FAULT or not self.breaker.closed) and self.breaker.failed(_key(work.task), now, unready=code in UNREADY):
            notice = self._out_of_order
        own = now + backoff(max(1, work.tries), self._random.random())
        return own, notice

    def refused_all(self, work: Work, error: ErrorInfo, sent_at: float, now: float) -> None:
        """The endpoint refuses every request: it rests, and is probed."""
        if self.outage_since is None:
            self.outage_since = now
        self._failed_from = max(self._failed_from, sent_at)
        self._last_fault = error.message
        self.breaker.failed(_key(work.task), now, unready=True)

    def spare(self, now: float) -> None:
        """Others serve in its place: if it is out of order, its outage counts from now on only."""
        if self.outage_since is not None:
            self.outage_since = now

    def pause(self, seconds: float, now: float) -> None:
        """The endpoint asked others to wait for so long."""
        self._paused_until = max(self._paused_until, now + seconds)

    def paused(self, now: float) -> float:
        """Seconds that it has yet to wait, because the endpoint asked for that."""
        return max(0.0, self._paused_until - now)

    def unready(self, error: ErrorInfo, now: float) -> str:
        """The endpoint could not be reached before anything was sent: it is probed, by one row at a time. What a person should know."""
        self.outage_since, self._last_fault = now, error.message
        self.breaker.failed(None, now, unready=True)
        return self._out_of_order

    def put_off(self, seconds: float) -> None:
        """The process itself stood still for so long: that is no time in which the endpoint served nothing."""
        if self.outage_since is not None:
            self.outage_since += seconds

    def outage(self, now: float) -> str:
        """In one sentence, why the endpoint is given up."""
        wait = self.asked_until - now
        if wait > self._patience_s:
            limit = _seconds(self._patience_s)
            return f"{self.name} asks to wait for {_seconds(wait)}, and run.outage_timeout_s is {limit}: {self._reason}"
        silent = f"{self.name} has served nothing for {_seconds(now - (now if self.outage_since is None else self.outage_since))}"
        if self.asks_too_much(now):
            return f"{silent} and asks to wait for {_seconds(wait)} more, beyond run.outage_timeout_s: {self._reason}"
        return f"{silent} (run.outage_timeout_s): {self._reason}"

    @property
    def _out_of_order(self) -> str:
        return f"{self.name} is out of order ({self._reason}); probing until it serves again"

    @property
    def _reason(self) -> str:
        text = self._last_fault
        return text if len(text) <= LONGEST_REASON else text[: LONGEST_REASON - 1] + "…"

    def _refused(self, verdict: Verdict, wait: float | None, code: str, sent_at: float, now: float) -> str | None:
        """Cut the concurrency once an episode, and pause everybody for the server's wait.

        Without one the cut is tried first; only when requests sent after it are refused as well, and none is served, all pause.
        """
        cut = verdict.shrink and self.concurrency.refused(sent_at, now)
        if cut:
            self._refusals += 1
        if wait is not None:
            self.asked_until = max(self.asked_until, now + wait)
        if wait is None and cut and self._refusals > 1:
            wait = backoff(self._refusals - 1, self._random.random())
        return None if wait is None else self._pause(wait, code, now)

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


def _key(task: Task) -> tuple[str, int, int]:
    return task.variant, task.ordinal, task.repeat


def _seconds(seconds: float) -> str:
    return f"{seconds:,.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
