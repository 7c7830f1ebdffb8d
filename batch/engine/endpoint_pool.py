"""Distributes requests over the endpoints of one worker pool: one, or several equal ones that serve the same models.

Each has its own limits: concurrency, breaker, pauses. Work goes to the least loaded endpoint that is available. An endpoint that is out
of order rests and is probed, and its failed work goes elsewhere. The pool has an outage only when no endpoint serves.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from batch.engine.byte_limit import ByteLimit
from batch.engine.limiter import EndpointLimiter
from batch.engine.prefix_order import PrefixAffinity
from batch.engine.steering import Steering
from batch.engine.work import PooledEndpoint, Work
from batch.policy.blame import BLAMELESS, OF_THE_RATE, OF_THE_ROW, Evidence
from batch.policy.cut_prompts import cut_notice, cut_prompt
from batch.policy.verdicts import Verdict
from batch.records import ErrorInfo, Exchange, Task
from batch.settings import RowOrder, RunSettings

NAMED = 3


class EndpointPool:
    """The endpoints of a worker pool. With one endpoint it adds nothing to that endpoint's limits.

    `cuts_prompts`: these endpoints cut long prompts silently; the first occurrence is reported.
    `variants` are those that are sent here; where none are named, a model's fault counts as the endpoint's.
    `byte_limit` bounds the bytes of requests in flight. Rows of `own_models`, some of the variants, name their models themselves.
    `references` are by variant the smallest requests that were answered, to test endpoints with.
    """

    def __init__(
        self,
        name: str,
        endpoints: Sequence[PooledEndpoint],
        *,
        cuts_prompts: bool = False,
        variants: Sequence[str] = (),
        order: RowOrder = "input",
        byte_limit: ByteLimit | None = None,
        own_models: Collection[str] = (),
    ) -> None:
        self.name = name
        self.variants, self.own_models = tuple(variants), frozenset(own_models)
        self._watches_prompts, self.endpoints = cuts_prompts, tuple(endpoints)
        self.references: dict[str, Task] = {}
        self.largest_served = 0
        self.bytes = byte_limit or ByteLimit(RunSettings().max_bytes_in_flight)
        self._only = self.endpoints[0] if len(self.endpoints) == 1 else None
        self._affinity = PrefixAffinity() if order == "prefix" and self._only is None else None

    def __len__(self) -> int:
        return len(self.endpoints)

    @property
    def limit(self) -> int:
        """Requests that may be in flight at once, over all endpoints."""
        if self._only is not None:
            return self._only.limiter.concurrency.limit
        return sum(endpoint.limiter.concurrency.limit for endpoint in self.endpoints)

    @property
    def outage_since(self) -> float | None:
        """When the first attempt failed since the last answer of any endpoint; None while one serves."""
        since = [endpoint.limiter.outage_since for endpoint in self.endpoints]
        return None if None in since else max(time for time in since if time is not None)

    @property
    def outage_deadline(self) -> float | None:
        """When the pool is given up; None while one serves."""
        deadlines = [endpoint.limiter.outage_deadline for endpoint in self.endpoints]
        return None if None in deadlines else max(time for time in deadlines if time is not None)

    @property
    def is_probing(self) -> bool:
        """Whether all are out of order, so that nothing but probes is sent."""
        return not any(endpoint.limiter.breaker.closed for endpoint in self.endpoints)

    @property
    def is_testing(self) -> bool:
        """Whether one of them is about to be tested with a reference, or rests until it is."""
        return any(not endpoint.limiter.breaker.closed for endpoint in self.endpoints)

    def asks_too_long(self, now: float) -> bool:
        """Whether all ask for a longer wait than the deadline allows."""
        return all(endpoint.limiter.asks_too_long(now) for endpoint in self.endpoints)

    def limiter_of(self, work: Work) -> EndpointLimiter:
        """Return the limits of the last attempt's endpoint."""
        return self._of(work).limiter

    def hold(self, now: float) -> float:
        """Return the seconds until an endpoint is available; infinity if time alone will not make it so."""
        if self._only is not None:
            return self._only.limiter.hold(now)
        self._spare_late(now)
        return min(endpoint.limiter.hold(now) for endpoint in self.endpoints)

    def may_retry(self, work: Work) -> bool:
        """Return whether the retry budget of any endpoint allows a retry of `work`."""
        return not work.charged_retry or any(m.limiter.budget.allows_retry or not m.limiter.breaker.closed for m in self.endpoints)

    def pick(self, work: Work, now: float) -> PooledEndpoint | None:
        """Return the endpoint to send `work` to now: the least loaded, preferably not where it failed; None if none is available."""
        endpoint = self._only
        if endpoint is not None:
            return endpoint if endpoint.in_flight < endpoint.limiter.concurrency.limit and endpoint.limiter.hold(now) <= 0 else None
        self._spare_late(now)
        # An endpoint that refused the row would refuse it again, at once, as long as the others are busy.
        endpoints = (self._untried(work, now) if work.shunned else None) or self.endpoints
        free = [m for m in endpoints if m.in_flight < m.limiter.concurrency.limit and m.limiter.hold(now) <= 0]
        # Not where it failed; then by load relative to the limit; then in turn, so that equally loaded endpoints all serve.
        shared = self._affinity.shared_by(work.request.body) if self._affinity is not None else None
        return min(
            free,
            key=lambda m: (m is work.failed_at, -shared(m) if shared else 0, m.in_flight / m.limiter.concurrency.limit, m.sent),
            default=None,
        )

    def sent(self, endpoint: PooledEndpoint, work: Work, now: float) -> bool:
        """Count a request that leaves for `endpoint`. Returns True if it failed elsewhere before."""
        retried, first = work.charged_retry and not work.was_retried, work.tries == 0 and not work.is_probe
        work.was_retried |= retried
        moved = work.failed_at is not None and work.failed_at is not endpoint
        work.endpoint, work.failed_at = endpoint, None
        endpoint.in_flight += 1
        endpoint.sent += 1
        if self._affinity is not None:
            self._affinity.sent(endpoint, work.request.body)
        work.ticket = endpoint.limiter.sent(work.task, work.request, now, first=first, retried=retried)
        return moved

    def served(self, work: Work, exchange: Exchange) -> str | None:
        """Count an answer. Returns notices: an outage is over, or prompts are cut."""
        endpoint = self._of(work)
        again = endpoint.limiter.served(work.task.variant, exchange, by_reference=work.is_probe)
        if work.is_probe and (variant := self._tested_by_others(endpoint)) is not None:
            # The endpoint serves another model: what it refuses of this one is this one's fault.
            endpoint.limiter.evidence(variant).served(exchange.sent_at, by_reference=True)
        endpoint.refusal = None
        if endpoint.limiter.breaker.closed:
            endpoint.suspected_for = None
        request = work.request
        size = len(request.body)
        if self._is_smaller(size, work.task.variant):
            self.references[work.task.variant] = replace(work.task, request=request)
        self.largest_served = max(self.largest_served, size)
        self._spare_others(endpoint, exchange.done_at)
        if self._watches_prompts and (cut := cut_prompt(work.request.body, exchange.reply.usage if exchange.reply else None)):
            self._watches_prompts = False
            return f"{endpoint.limiter.name} {cut_notice(work.task, *cut)}"
        return f"{endpoint.limiter.name} serves again" if again else None

    def add_reference(self, task: Task) -> None:
        """Keep an answered task as its variant's reference, if there is none or this one is smaller."""
        if self._is_smaller(len(task.request.body), task.variant):
            self.references[task.variant] = task

    def answered(self, work: Work, exchange: Exchange) -> str | None:
        """Count a row refused for its own fault. Returns a notice if that ended an outage."""
        endpoint = self._of(work)
        again = endpoint.limiter.answered(exchange.sent_at)
        self._spare_others(endpoint, exchange.done_at)
        return f"{endpoint.limiter.name} serves again" if again else None

    def postpone(self, work: Work, verdict: Verdict, sent_at: float, now: float) -> tuple[float, str | None]:
        """Return when `work` may be retried, here or elsewhere, after a fault that is not its own, and a notice."""
        endpoint = self._of(work)
        testable = work.task.variant in self.references
        own, notice = endpoint.limiter.postpone(work.task, work.tries, verdict, sent_at, now, testable=testable)
        work.failed_at, endpoint.failed_for = endpoint, work.task.variant
        return max(own, now + min(other.limiter.paused(now) for other in self.endpoints)), notice

    def refused(self, work: Work, error: ErrorInfo, sent_at: float, now: float) -> str | None:
        """Rest an endpoint that refuses every request. Returns a notice, "" if already given; None if all endpoints refuse."""
        endpoint = self._of(work)
        known, endpoint.refusal = endpoint.refusal is not None, error.message
        if all(other.refusal is not None for other in self.endpoints):
            return None
        work.failed_at = endpoint
        endpoint.limiter.refused_all(work.task, error, sent_at, now)
        return "" if known else f"{endpoint.limiter.name} is not used for now: {error.message}"

    def moves(self, work: Work, now: float) -> bool:
        """Return whether another endpoint, which serves, may take a row that this one refused."""
        work.shunned = (*work.shunned, endpoint := self._of(work))
        work.failed_at = endpoint if self._untried(work, now) else None
        return work.failed_at is not None

    def evidence(self, work: Work) -> Evidence:
        """Return the evidence about the last attempt's endpoint and the row's variant."""
        return self._of(work).limiter.evidence(work.task.variant)

    def has_served(self, work: Work) -> bool:
        """Return whether the last attempt's endpoint served anything in this session, or the row's variant has an answer from before."""
        return self._of(work).limiter.has_served or work.task.variant in self.references

    def is_serving(self, work: Work) -> bool:
        """Return whether the breaker of the last attempt's endpoint is closed."""
        return self._of(work).limiter.breaker.closed

    def suspect(self, work: Work, now: float) -> None:
        """Test the endpoint of the last attempt with the reference of the row's variant, before anything else is sent there."""
        self._of(work).limiter.suspect(now)
        self._of(work).suspected_for = work.task.variant

    def pick_probe(self, now: float, *, has_rows: bool, has_fresh: bool) -> tuple[Work, PooledEndpoint] | None:
        """Return a reference and the endpoint whose test is due.

        `has_rows`: there are rows to probe with; `has_fresh`: some of them were never sent.
        """
        for endpoint in self.endpoints:
            breaker = endpoint.limiter.breaker
            if breaker.closed or endpoint.limiter.hold(now) > 0 or endpoint.in_flight >= endpoint.limiter.concurrency.limit:
                continue
            # A row that was never sent tests an endpoint as well, and its answer is useful. So does any row where the endpoint said that it
            # is not ready, which costs the row no attempt; but where others of its model were answered, it may be to blame itself.
            unready = breaker.is_unready and (has_fresh or (has_rows and endpoint.failed_for not in self.references))
            is_new = has_fresh and not breaker.is_unready and not breaker.is_suspected and len(self.endpoints) == 1
            fresh = (unready or is_new) and endpoint.suspected_for is None
            variant = endpoint.suspected_for or endpoint.failed_for
            task = None if fresh or variant is None else self.references.get(variant)
            if variant not in self.references and self.references and not breaker.is_unready:
                # The failing variant was never served: one that was shows whether the endpoint is at fault.
                task = next(iter(self.references.values()))
            if task is not None:
                return Work(task, is_probe=True), endpoint
        return None

    def refused_probe(self, work: Work, verdict: Verdict, exchange: Exchange) -> str | None:
        """Blame the endpoint that refused the reference. Returns a notice."""
        error = verdict.error
        assert error is not None  # noqa: S101 - a refusal has one
        endpoint = self._of(work)
        if error.code in OF_THE_RATE or error.code in BLAMELESS:
            return endpoint.limiter.postpone(work.task, work.tries, verdict, exchange.sent_at, exchange.done_at)[1]
        if error.code in OF_THE_ROW:
            # An endpoint that judges the row works, even if it judged the row otherwise before.
            endpoint.limiter.evidence(work.task.variant).served(exchange.sent_at, by_reference=True)
            return self.answered(work, exchange)
        endpoint.limiter.evidence(work.task.variant).condemn()
        if (variant := self._tested_by_others(endpoint)) is not None:
            endpoint.limiter.evidence(variant).condemn()
        return endpoint.limiter.refused(work.task, error, exchange.sent_at, exchange.done_at, testable=True)

    def refused_unclear(self, work: Work, error: ErrorInfo, exchange: Exchange) -> str | None:
        """Count a refusal that may be the endpoint's fault. Returns a notice."""
        testable = bool(self.references)
        self._of(work).failed_for = work.task.variant
        return self._of(work).limiter.refused(work.task, error, exchange.sent_at, exchange.done_at, testable=testable)

    def steer(self, steering: Steering, now: float) -> None:
        """Keep to other limits from now on, each endpoint for itself."""
        for endpoint in self.endpoints:
            endpoint.limiter.steer(steering, now)

    def long_holds(self, now: float) -> list[str]:
        """Return notices about endpoints whose rates delay everything for long, and about requests that are too large to send as many."""
        notices = [self.bytes.notice(), *(each.limiter.long_hold(now) for each in self.endpoints)]
        return [notice for notice in notices if notice is not None]

    def put_off(self, seconds: float) -> None:
        """Shift the deadlines by the seconds in which this process was suspended."""
        for endpoint in self.endpoints:
            endpoint.limiter.put_off(seconds)

    def late_variants(self, now: float) -> dict[str, str]:
        """Return the variants that no endpoint has served for its whole patience, while others are served; each with its fault."""
        if self.outage_deadline is not None and now >= self.outage_deadline:
            return {}
        first, *others = (endpoint.limiter.late_variants(now) for endpoint in self.endpoints)
        return {variant: fault for variant, fault in first.items() if all(variant in other for other in others)}

    def give_another_chance(self, now: float) -> None:
        """Begin the outages again: what failed was of variants that are not sent any more."""
        for endpoint in self.endpoints:
            endpoint.limiter.spare(now)

    def outage(self, now: float) -> str:
        """Return, in one sentence, why the pool is given up."""
        if self._only is not None:
            return self._only.limiter.outage(now)
        reasons = [endpoint.refusal or endpoint.limiter.outage(now) for endpoint in self.endpoints]
        more = f"; and {len(reasons) - NAMED} more" if len(reasons) > NAMED else ""
        return f"none of the {len(reasons)} endpoints of {self.name} serves: {'; '.join(reasons[:NAMED])}{more}"

    def _spare_late(self, now: float) -> None:
        """Keep probing an endpoint past its deadline while another may serve."""
        late = [endpoint for endpoint in self.endpoints if endpoint.limiter.failed_late]
        if late and self.outage_since is None:
            for endpoint in late:
                endpoint.limiter.spare(now)

    def _untried(self, work: Work, now: float) -> list[PooledEndpoint]:
        """Return the endpoints that serve, at once or soon, and have not refused the row."""
        serve = [m for m in self.endpoints if m not in work.shunned and m.refusal is None and m.limiter.breaker.closed]
        return [m for m in serve if m.limiter.paused(now) <= m.limiter.breaker.longest_interval]

    def _spare_others(self, endpoint: PooledEndpoint, now: float) -> None:
        """While one serves, give up none of the others."""
        if self._only is None:
            for other in self.endpoints:
                if other is not endpoint:
                    other.limiter.spare(now)

    def _tested_by_others(self, endpoint: PooledEndpoint) -> str | None:
        """Return the variant for whose sake it is tested, if that has no reference, so that another one's tests it; else None."""
        return None if endpoint.suspected_for in self.references else endpoint.suspected_for

    def _is_smaller(self, size: int, variant: str) -> bool:
        """Whether a request of `size` bytes is smaller than the reference of its variant, or the first."""
        kept = self.references.get(variant)
        return kept is None or size < len(kept.request.body)

    def _of(self, work: Work) -> PooledEndpoint:
        assert work.endpoint is not None  # noqa: S101 - work that was sent has one
        return work.endpoint
