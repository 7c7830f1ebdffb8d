"""Applies the limits of one endpoint: concurrency, rates, shared pause, breaker, retry budget, and evidence of what failed.

Pure but for its state: times are monotonic seconds and come from the caller.
"""

from __future__ import annotations

import math
import random
from collections import defaultdict

from batch.engine.steering import Steering
from batch.engine.task_keys import key_of
from batch.policy.blame import BLAMELESS, OF_THE_RATE, Evidence
from batch.policy.breaker import Breaker
from batch.policy.dialects import NO_CAPACITY
from batch.policy.limits import ConcurrencyLimit
from batch.policy.limits.adaptive import AdaptiveConcurrency
from batch.policy.limits.learned_rate import LearnedRate
from batch.policy.limits.own import own_concurrency
from batch.policy.pause_notices import PauseNotices, in_seconds, outage_words
from batch.policy.rate_limiter import RateLimiter, Ticket, tokens_of
from batch.policy.retry_budget import RetryBudget
from batch.policy.tiers import CapacityRefusals
from batch.policy.verdicts import Verdict
from batch.policy.waits import backoff
from batch.records import ErrorInfo, ErrorKind, Exchange, Request, Task
from batch.settings import RunSettings

# Codes by which an endpoint, or the network before it, says that it serves no request at the moment.
UNREADY = frozenset({"loading", "connect", "resolve", "tls"})
# No evidence against the endpoint. The breaker must only learn how a probe ended.
NO_FAULT = frozenset({"rate_limit"}) | BLAMELESS
# An implausible wait (10^30 s); it is ignored.
ABSURD_WAIT_S = 7 * 86_400.0
LONGEST_REASON = 2000
# A rate's delay that is longer than this is reported.
LONG_HOLD_S = 30.0
TOO_MANY = 429
# The floor of the retry budget under "auto", whose most says little about how many are in flight.
AUTO_RETRIES = 64


class EndpointLimiter:
    """The limits of one endpoint. `concurrency` and `rates` are given where other workers send to it too, and limits are shared out.

    Nothing is sent until `asked_until`, by the endpoint's request. `outage_since` is when the first attempt failed after the
    last answer; None while it serves.
    """

    def __init__(
        self,
        name: str,
        run: RunSettings,
        *,
        rng: random.Random,
        concurrency: ConcurrencyLimit | None = None,
        rates: RateLimiter | None = None,
    ) -> None:
        self.name = name
        auto = run.concurrency == "auto"
        self.concurrency: ConcurrencyLimit = own_concurrency(run) if concurrency is None else concurrency
        self._run, self._is_alone = run, concurrency is None
        self.rates = rates or RateLimiter(run.requests_per_minute, run.tokens_per_minute)
        self.breaker = Breaker(run.outage_timeout_s)
        floor = max(20, 2 * min(run.most_in_flight, AUTO_RETRIES) if auto else 2 * run.most_in_flight)
        self.budget = RetryBudget(floor, run.retry_share)
        self._patience_s, self._random = run.outage_timeout_s, rng
        self.asked_until = self._paused_until = 0.0
        self._failed_from = -math.inf
        self._pauses, self._capacity = PauseNotices(), CapacityRefusals()
        self._refusals = self._in_flight = 0
        self.outage_since: float | None = None
        self.has_served = False
        self._last_fault = ""
        self._failing: dict[str, tuple[float, str]] = {}
        self._evidence: defaultdict[str, Evidence] = defaultdict(Evidence)
        # Where other workers send too, each learns the part of the rate that it gets; the parts add up to the endpoint's.
        self.learned = LearnedRate()
        self._long_hold_until = -math.inf

    def steer(self, steering: Steering, now: float) -> None:
        """Keep to other limits from now on; those that stay keep what they have learned."""
        before, self._run = self._run, steering.applied(self._run)
        if self._is_alone and before.concurrency != self._run.concurrency:
            self.concurrency = own_concurrency(self._run)
            if isinstance(self.concurrency, AdaptiveConcurrency):
                self.concurrency.occupied(self._in_flight, now)
        self.rates.change(self._run.requests_per_minute, self._run.tokens_per_minute)

    def evidence(self, variant: str) -> Evidence:
        """Return the evidence about the endpoint and the tasks of a variant."""
        return self._evidence[variant]

    @property
    def outage_deadline(self) -> float | None:
        """When an endpoint that serves nothing is given up; None while it serves."""
        return None if self.outage_since is None else self.outage_since + self._patience_s

    @property
    def failed_late(self) -> bool:
        """Whether a last attempt, sent after the outage's deadline, failed."""
        deadline = self.outage_deadline
        return deadline is not None and self._failed_from >= deadline

    def asks_too_long(self, now: float) -> bool:
        """Whether the endpoint asks to wait beyond the deadline, or, if it served after it asked, for longer than it is waited for."""
        deadline = self.outage_deadline
        return self.asked_until > now and self.asked_until >= (now + self._patience_s if deadline is None else deadline)

    def hold(self, now: float) -> float:
        """Return the seconds until something may be sent; 0: now; infinity: until a probe has returned, or for good if it `failed_late`."""
        if self.outage_since is not None and self.failed_late:
            return math.inf
        return max(self.breaker.hold(now), self._paused_until - now, self.rates.hold(now), self.learned.hold(now), 0.0)

    def long_hold(self, now: float) -> str | None:
        """Return a notice if a rate delays everything for long; each delay is reported once."""
        hold = self.rates.hold(now)
        # Infinity: until a share of the rate comes, at the next check-in of a worker.
        if not LONG_HOLD_S <= hold < math.inf or now < self._long_hold_until:
            return None
        self._long_hold_until = now + hold
        return f"{self.name}: its rate is used up; the next request may be sent in {in_seconds(hold)}"

    def sent(self, task: Task, request: Request, now: float, *, first: bool, retried: bool) -> Ticket:
        """Count a request that leaves; `first` and `retried` are for the retry budget. The ticket is for `ended`."""
        self.concurrency.sent(now)
        self._in_flight += 1
        self.learned.sent(now)
        # A closed breaker keeps no track of requests.
        if not self.breaker.closed:
            self.breaker.sent(key_of(task))
        self.budget.sent(first=first, retried=retried)
        return self.rates.sent(request.body, now, request.media)

    def ended(self, ticket: Ticket, exchange: Exchange) -> None:
        """Learn the rates from the headers and usage of an ended attempt."""
        self.concurrency.ended(exchange.done_at)
        self._in_flight -= 1
        usage = exchange.reply.usage if exchange.reply else None
        self.rates.ended(ticket, exchange.headers, usage, exchange.done_at, refused=exchange.status == TOO_MANY)

    def given_up(self, now: float) -> None:
        """Count a request whose answer is not waited for any more; its rates stay as they were estimated."""
        self.concurrency.ended(now)
        self._in_flight -= 1

    def is_calm(self, now: float) -> bool:
        """Whether more than what is needed may be sent now: it serves, refuses nothing, holds nothing back and is not being ramped up."""
        ramping = isinstance(self.concurrency, AdaptiveConcurrency) and self.concurrency.is_ramping(now)
        return self.breaker.closed and self.outage_since is None and not self._refusals and self.hold(now) <= 0 and not ramping

    def served(self, variant: str, exchange: Exchange, *, by_reference: bool = False) -> bool:
        """Learn from an answer. Returns True if it ended an outage. `by_reference`: it was the test of a suspicion."""
        usage = exchange.reply.usage if exchange.reply else None
        self.concurrency.served(exchange.sent_at, exchange.done_at, max(1.0, tokens_of(usage, "completion_tokens")))
        self.learned.served(exchange.done_at, self._in_flight + 1)
        self._refusals = 0
        self.outage_since = None
        self.has_served = True
        self._failing.pop(variant, None)
        self.evidence(variant).served(exchange.sent_at, by_reference=by_reference)
        return self.breaker.served(exchange.sent_at, by_reference=by_reference)

    def answered(self, sent_at: float) -> bool:
        """Count a refusal through the row's own fault: the endpoint is alive. Returns True if that ended an outage."""
        self.outage_since = None
        return self.breaker.served(sent_at)

    def suspect(self, now: float) -> None:
        """Send only the reference next: it is unclear whether the endpoint or its rows are to blame."""
        self.breaker.suspect(now)

    def refused(self, task: Task, error: ErrorInfo, sent_at: float, now: float, *, testable: bool) -> str | None:
        """Learn from a refusal that may be the endpoint's fault. Returns a notice."""
        self._failing_since(now, sent_at, error, task.variant)
        return self._out_of_order if self.breaker.failed(key_of(task), now, unready=False, testable=testable) else None

    def postpone(
        self, task: Task, tries: int, verdict: Verdict, sent_at: float, now: float, *, testable: bool = False
    ) -> tuple[float, str | None]:
        """Return when a task may be retried after a fault that is not its own, and a notice.

        A server's wait is never shortened, but stands in `paused`: one refusal pauses the whole endpoint once.
        `testable`: a reference is there to test a suspicion with.
        """
        error = verdict.error or ErrorInfo(ErrorKind.API, "", "")
        self._failing_since(now, sent_at, error, task.variant)
        code = error.code
        wait = verdict.wait if verdict.wait is not None and verdict.wait <= ABSURD_WAIT_S else None
        if code == NO_CAPACITY.code:
            return self._without_capacity(task, tries, wait, now, testable=testable)
        limited = verdict.reduce_concurrency or wait is not None
        notice = self._limited(verdict, wait, code, sent_at, now) if limited else None
        if not verdict.reduce_concurrency and code not in OF_THE_RATE:
            self.concurrency.faulted()
        is_fault = code not in NO_FAULT or not self.breaker.closed
        if is_fault and self.breaker.failed(key_of(task), now, unready=code in UNREADY, testable=testable):
            notice = self._out_of_order
        own = backoff(max(1, tries), self._random.random())
        # A row may be the next probe: its own backoff must not make probes rarer than the breaker wants them.
        return now + (own if self.breaker.closed else min(own, self.breaker.longest_interval)), notice

    def _without_capacity(self, task: Task, tries: int, wait: float | None, now: float, *, testable: bool) -> tuple[float, str | None]:
        """Let the one task wait: other tiers are served, so that nothing is cut or paused, and the breaker stays closed."""
        if not self.breaker.closed:
            self.breaker.failed(key_of(task), now, unready=False, testable=testable)
        due, news = self._capacity.refused(tries, wait, now, self._random.random())
        return due, f"{self.name}: {news}" if news else None

    def refused_all(self, task: Task, error: ErrorInfo, sent_at: float, now: float) -> None:
        """Rest an endpoint that refuses every request; it is probed."""
        self._failing_since(now, sent_at, error, task.variant)
        self.breaker.failed(key_of(task), now, unready=True)

    def spare(self, now: float) -> None:
        """Restart the clock of its outage, because other endpoints serve in its place."""
        if self.outage_since is not None:
            self.outage_since = now

    def pause(self, seconds: float, now: float) -> None:
        """Pause for the seconds that the endpoint asked other workers to wait."""
        self._paused_until = max(self._paused_until, now + seconds)

    def paused(self, now: float) -> float:
        """Return the seconds left of the wait that the endpoint asked for."""
        return max(0.0, self._paused_until - now)

    def unready(self, error: ErrorInfo, now: float) -> str:
        """Start with probes, one row at a time: the endpoint could not be reached before anything was sent. Returns a notice."""
        self.outage_since, self._last_fault = now, error.message
        self.breaker.failed(None, now, unready=True)
        return self._out_of_order

    def put_off(self, seconds: float) -> None:
        """Shift the deadlines by the seconds in which this process was suspended."""
        if self.outage_since is not None:
            self.outage_since += seconds

    def outage(self, now: float) -> str:
        """Return, in one sentence, why the endpoint is given up."""
        silent_s = now - (now if self.outage_since is None else self.outage_since)
        return outage_words(self.name, silent_s, self.asked_until - now, self._patience_s, self._reason, too_long=self.asks_too_long(now))

    @property
    def _out_of_order(self) -> str:
        return f"{self.name} is out of order ({self._reason}); probing until it serves again, for up to {in_seconds(self._patience_s)}"

    @property
    def _reason(self) -> str:
        text = self._last_fault
        return text if len(text) <= LONGEST_REASON else text[: LONGEST_REASON - 1] + "…"

    def late_variants(self, now: float) -> dict[str, str]:
        """Return the variants of which nothing was served for as long as the endpoint is waited for, each with its last fault."""
        return {variant: fault for variant, (since, fault) in self._failing.items() if now - since >= self._patience_s}

    def forget_failures(self, variant: str) -> None:
        """Forget since when nothing of the variant was served: nothing of it is left."""
        self._failing.pop(variant, None)

    def _failing_since(self, now: float, sent_at: float, error: ErrorInfo, variant: str) -> None:
        since, _ = self._failing.get(variant, (now, ""))
        self._failing[variant] = since, error.message
        if self.outage_since is None:
            self.outage_since = now
        self._failed_from = max(self._failed_from, sent_at)
        self._last_fault = error.message

    def _limited(self, verdict: Verdict, wait: float | None, code: str, sent_at: float, now: float) -> str | None:
        """Cut the concurrency once an episode, and pause the whole endpoint for the server's wait.

        Without one the cut is tried first; only when requests sent after it are refused as well, and none is served, all pause.
        """
        if code == "rate_limit" and verdict.reduce_concurrency:
            self.learned.refused(sent_at, now, self.concurrency.limit, self._in_flight + 1)
        cut = verdict.reduce_concurrency and self.concurrency.refused(sent_at, now)
        if cut:
            self._refusals += 1
        if wait is not None:
            self.asked_until = max(self.asked_until, now + wait)
        if wait is None and cut and self._refusals > 1 and not self._has_learned:
            wait = min(backoff(self._refusals - 1, self._random.random()), self.breaker.longest_interval)
        return None if wait is None else self._pause(wait, code, now)

    @property
    def _has_learned(self) -> bool:
        return self.learned.is_active and not self.learned.is_starved

    def _pause(self, wait: float, code: str, now: float) -> str | None:
        until = now + wait
        # Refusals of requests that were in flight together ask for about the same wait: one pause, one notice.
        if until <= self._paused_until:
            return None
        news, self._paused_until = until - self._paused_until > 1.0, until
        return self._pauses.notice(self.name, wait, code, now) if news else None
