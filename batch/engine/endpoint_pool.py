"""The endpoints of one lane: one, or several equal ones that serve the same models.

Each has a pace of its own: its limits, its breaker, its pauses. Work goes to the least loaded one that may be sent to; one that is out of
order rests and is probed, and what failed there goes elsewhere. Only when none serves is that an outage of the lane.
"""

from __future__ import annotations

from collections.abc import Sequence

from batch.engine.work import PooledEndpoint, Work
from batch.policy.cut_prompts import cut_prompt
from batch.policy.verdicts import Verdict
from batch.records import ErrorInfo, Exchange

NAMED = 3


class EndpointPool:
    """What a pool of workers sends to. With one endpoint it adds nothing to that endpoint's pace.

    `cuts_prompts` tells that these cut prompts that are too long and say nothing: the first that shows it is told.
    """

    def __init__(self, name: str, endpoints: Sequence[PooledEndpoint], *, cuts_prompts: bool = False) -> None:
        self.name = name
        self._watches_prompts = cuts_prompts
        self.endpoints = tuple(endpoints)
        self._only = self.endpoints[0] if len(self.endpoints) == 1 else None

    def __len__(self) -> int:
        return len(self.endpoints)

    @property
    def limit(self) -> int:
        """Requests that may be in flight at once, on all of them."""
        if self._only is not None:
            return self._only.limiter.concurrency.limit
        return sum(endpoint.limiter.concurrency.limit for endpoint in self.endpoints)

    @property
    def outage_since(self) -> float | None:
        """When the first attempt failed after the last answer of any; None while one serves."""
        since = [endpoint.limiter.outage_since for endpoint in self.endpoints]
        return None if None in since else max(time for time in since if time is not None)

    @property
    def outage_deadline(self) -> float | None:
        """When they are given up; None while one serves."""
        deadlines = [endpoint.limiter.outage_deadline for endpoint in self.endpoints]
        return None if None in deadlines else max(time for time in deadlines if time is not None)

    @property
    def is_probing(self) -> bool:
        """Whether all are out of order, so that nothing but probes is sent."""
        return not any(endpoint.limiter.breaker.closed for endpoint in self.endpoints)

    def asks_too_long(self, now: float) -> bool:
        """Whether all ask to wait for longer than they are waited for."""
        return all(endpoint.limiter.asks_too_long(now) for endpoint in self.endpoints)

    def hold(self, now: float) -> float:
        """Seconds until one of them may be sent to; infinity when that takes more than time."""
        if self._only is not None:
            return self._only.limiter.hold(now)
        self._spare_late(now)
        return min(endpoint.limiter.hold(now) for endpoint in self.endpoints)

    def may_retry(self, work: Work) -> bool:
        """Whether the retry budget of any allows to try `work` again."""
        return not work.charged_retry or any(m.limiter.budget.allows_retry or not m.limiter.breaker.closed for m in self.endpoints)

    def pick(self, work: Work, now: float) -> PooledEndpoint | None:
        """The endpoint that `work` may be sent to now: the least loaded one, at best not where it failed; None when there is none."""
        endpoint = self._only
        if endpoint is not None:
            return endpoint if endpoint.in_flight < endpoint.limiter.concurrency.limit and endpoint.limiter.hold(now) <= 0 else None
        self._spare_late(now)
        # One that forbade the row would do so again, at once and for as long as the others are busy.
        endpoints = (self._untried(work) if work.shunned else None) or self.endpoints
        free = [m for m in endpoints if m.in_flight < m.limiter.concurrency.limit and m.limiter.hold(now) <= 0]
        return min(free, key=lambda m: (m is work.failed_at, m.in_flight / m.limiter.concurrency.limit, m.sent), default=None)

    def sent(self, endpoint: PooledEndpoint, work: Work, now: float) -> bool:
        """`work` leaves for `endpoint`; True when it failed elsewhere before."""
        moved = work.failed_at is not None and work.failed_at is not endpoint
        work.endpoint, work.failed_at = endpoint, None
        endpoint.in_flight += 1
        endpoint.sent += 1
        work.ticket = endpoint.limiter.sent(work.task, work.request, now, retry=work.charged_retry)
        return moved

    def served(self, work: Work, exchange: Exchange) -> str | None:
        """An answer came; what a person should know: that an outage is over, or that prompts are cut."""
        endpoint = self._of(work)
        again = endpoint.limiter.served(exchange)
        endpoint.refusal = None
        self._spare_others(endpoint, exchange.done_at)
        if self._watches_prompts and (cut := cut_prompt(work.request.body, exchange.reply.usage if exchange.reply else None)):
            self._watches_prompts = False
            return f"{endpoint.limiter.name} {_cut(work, *cut)}"
        return f"{endpoint.limiter.name} serves again" if again else None

    def answered(self, work: Work, now: float) -> str | None:
        """A row was refused for its own fault; what a person should know when that ended an outage."""
        endpoint = self._of(work)
        again = endpoint.limiter.answered()
        self._spare_others(endpoint, now)
        return f"{endpoint.limiter.name} serves again" if again else None

    def postpone(self, work: Work, verdict: Verdict, sent_at: float, now: float) -> tuple[float, str | None]:
        """When `work` may be tried again, here or elsewhere, after a fault that is not its own, and what a person should know about it."""
        endpoint = self._of(work)
        own, notice = endpoint.limiter.postpone(work.task, work.tries, verdict, sent_at, now)
        work.failed_at = endpoint
        return max(own, now + min(other.limiter.paused(now) for other in self.endpoints)), notice

    def refused(self, work: Work, error: ErrorInfo, sent_at: float, now: float) -> str | None:
        """An endpoint refuses every request: it rests. What a person should know about it, "" when that was said; None when all do so."""
        endpoint = self._of(work)
        known, endpoint.refusal = endpoint.refusal is not None, error.message
        if all(other.refusal is not None for other in self.endpoints):
            return None
        work.failed_at = endpoint
        endpoint.limiter.refused_all(work.task, error, sent_at, now)
        return "" if known else f"{endpoint.limiter.name} is left out for now: {error.message}"

    def forbids(self, work: Work) -> bool:
        """A row was forbidden; False when another endpoint, which serves, may still take it."""
        endpoint = self._of(work)
        work.shunned = (*work.shunned, endpoint)
        work.failed_at = endpoint if self._untried(work) else None
        return work.failed_at is None

    def suspects_endpoint(self, work: Work) -> bool:
        """Whether it is the fault of the endpoint that `work` failed, and not its own."""
        return self._of(work).limiter.breaker.suspects_endpoint

    def put_off(self, seconds: float) -> None:
        """The process itself stood still for so long."""
        for endpoint in self.endpoints:
            endpoint.limiter.put_off(seconds)

    def outage(self, now: float) -> str:
        """In one sentence, why they are given up."""
        if self._only is not None:
            return self._only.limiter.outage(now)
        reasons = [endpoint.refusal or endpoint.limiter.outage(now) for endpoint in self.endpoints]
        more = f"; and {len(reasons) - NAMED} more" if len(reasons) > NAMED else ""
        return f"none of the {len(reasons)} endpoints of {self.name} serves: {'; '.join(reasons[:NAMED])}{more}"

    def _spare_late(self, now: float) -> None:
        """One that failed for longer than it is waited for is probed on, as long as another may serve."""
        late = [endpoint for endpoint in self.endpoints if endpoint.limiter.failed_late]
        if late and self.outage_since is None:
            for endpoint in late:
                endpoint.limiter.spare(now)

    def _untried(self, work: Work) -> list[PooledEndpoint]:
        """Those that serve and have not forbidden the row."""
        return [m for m in self.endpoints if m not in work.shunned and m.refusal is None and m.limiter.breaker.closed]

    def _spare_others(self, endpoint: PooledEndpoint, now: float) -> None:
        """While one serves the others may take their time: none is given up."""
        if self._only is None:
            for other in self.endpoints:
                if other is not endpoint:
                    other.limiter.spare(now)

    def _of(self, work: Work) -> PooledEndpoint:
        if work.endpoint is None:
            raise AssertionError("work that was never sent has no endpoint")
        return work.endpoint


def _cut(work: Work, characters: int, tokens: int) -> str:
    seen = f"row {work.task.ordinal} (id {work.task.id}) has {characters:,} characters, and only {tokens:,} tokens were read"
    return f"seems to cut prompts: {seen}; its answer is to a part. Give the server a longer context, or send less"
