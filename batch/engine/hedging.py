"""Sends second requests beside slow ones, where the job asks for it (run.hedge_after). The first answer counts, the other is given up.

A second request is an attempt of the same task: it is reserved from the budget, paced, and counted by its endpoint as any other. What was
given up may have been answered and billed: it counts as possibly billed twice, and for what it may cost at most. Where one of the two
fails, the other is waited for; the one that ends last is judged as the task's attempt, so that a task has one outcome in any case.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import anyio
from anyio.abc import TaskGroup

from batch.clock import Clock
from batch.engine.costs import Costs
from batch.engine.endpoint_pool import EndpointPool
from batch.engine.halt import Halt
from batch.engine.monitor import PoolMonitor
from batch.engine.work import PooledEndpoint, Work
from batch.events import Event, Notice
from batch.policy.hedging import HedgePolicy
from batch.policy.tiers import of_tier
from batch.policy.verdicts import Action, Verdict, judge
from batch.records import Exchange
from batch.settings import RunSettings
from batch.tally import Tally

SOONEST_LOOK_S, LATEST_LOOK_S = 0.05, 1.0


@dataclass(slots=True, eq=False)
class _Second:
    """A second request: `sent` is the work that it is made of, `exchange` how it ended, None until then."""

    sent: Work
    endpoint: PooledEndpoint
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    over: anyio.Event = field(default_factory=anyio.Event)
    exchange: Exchange | None = None


@dataclass(slots=True, eq=False)
class _Flight:
    """A request in flight, with the second one beside it if there is one; `was_hedged`: it has had one.

    `is_failed`: the first has ended without an answer.
    """

    work: Work
    endpoint: PooledEndpoint
    began: float
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    second: _Second | None = None
    was_hedged: bool = False
    is_failed: bool = False


@dataclass(frozen=True, slots=True)
class Helpers:
    """What a pool has beside its endpoints; `wake` lets it look again at what can be sent."""

    halt: Halt
    monitor: PoolMonitor
    notify: Callable[[Event], None]
    wake: Callable[[], None]


class Hedger:
    """Sends the requests of one pool, and second ones beside those that are late."""

    def __init__(self, run: RunSettings, endpoint_pool: EndpointPool, costs: Costs, tallies: Mapping[str, Tally], clock: Clock) -> None:
        assert run.hedge_after is not None  # noqa: S101 - hedger_of has seen that
        self._policy = HedgePolicy(run.hedge_after)
        self._run = run
        self._endpoint_pool = endpoint_pool
        self._costs = costs
        self._tallies = tallies
        self._clock = clock
        self._flights: dict[_Flight, None] = {}
        self._hedged = 0

    async def exchange(self, work: Work, endpoint: PooledEndpoint) -> tuple[Exchange, PooledEndpoint]:
        """Send `work`, and return the exchange that is to be judged with the endpoint that it was with."""
        flight = _Flight(work, endpoint, self._clock.monotonic())
        self._flights[flight] = None
        first: Exchange | None = None
        try:
            with flight.scope:
                first = await endpoint.client.exchange(work.request)
            exchange, chosen = await self._chosen(flight, first)
        except BaseException:
            # Cancelled by a stop, which the caller counts for one of the two: the endpoint may still answer and bill the other.
            if flight.second is not None and not flight.is_failed:
                self._tallies[work.task.variant].abandoned += 1
            raise
        finally:
            del self._flights[flight]
            if flight.second is not None:
                flight.second.scope.cancel()
        if self._verdict(exchange).action is Action.DONE and not work.is_probe:
            self._policy.served(work.task.variant, exchange.done_at - exchange.sent_at)
        return exchange, chosen

    async def _chosen(self, flight: _Flight, first: Exchange | None) -> tuple[Exchange, PooledEndpoint]:
        """Return the exchange that counts for a task; `first` is None where the second one has answered."""
        work, second = flight.work, flight.second
        if second is None:
            assert first is not None  # noqa: S101 - only a second request ends the wait for the first
            return first, flight.endpoint
        if first is not None and second.exchange is None:
            verdict = self._verdict(first)
            if verdict.action is Action.DONE:
                self._give_up(work, second.endpoint, second.sent.reserved)
                return first, flight.endpoint
            flight.is_failed = True
            self._fail(work, flight.endpoint, work, first, verdict)
            await second.over.wait()
        if second.exchange is None:
            raise AssertionError("a second request ended without an exchange")
        if not flight.is_failed:
            self._give_up(work, flight.endpoint, work.reserved)
        work.ticket, work.reserved, work.endpoint = second.sent.ticket, second.sent.reserved, second.endpoint
        return second.exchange, second.endpoint

    async def watch(self, group: TaskGroup, helpers: Helpers) -> None:
        """Send second requests, in `group`, beside those that are late, until cancelled."""
        self._helpers = helpers
        while True:
            await anyio.sleep(max(SOONEST_LOOK_S, min(LATEST_LOOK_S, self._policy.shortest_s / 4)))
            now = self._clock.monotonic()
            for flight in self._late(now):
                if not self._policy.allows(len(self._flights), self._hedged):
                    break
                if (second := self._hedge(flight, now)) is not None:
                    group.start_soon(self._send, flight, second)

    def _late(self, now: float) -> list[_Flight]:
        """Return the requests that are late, oldest first."""
        if self._helpers.halt.sends_nothing:
            return []
        late = []
        for flight in self._flights:
            if now - flight.began < self._policy.shortest_s:
                break
            work = flight.work
            # Both may fail, and both are attempts.
            may = not flight.was_hedged and not work.is_probe and work.attempts + 2 <= self._run.attempts
            if may and self._policy.is_late(work.task.variant, flight.began, now):
                late.append(flight)
        return late

    def _endpoint_for(self, flight: _Flight, now: float) -> PooledEndpoint | None:
        """Return the endpoint for a second request: another one than that of the first if there is one, and the least loaded."""
        free = [
            each
            for each in self._endpoint_pool.endpoints
            if each.refusal is None and each.in_flight < each.limiter.concurrency.limit and each.limiter.is_calm(now)
        ]
        first = flight.endpoint
        return min(free, key=lambda each: (each is first, each.in_flight / each.limiter.concurrency.limit, each.sent), default=None)

    def _hedge(self, flight: _Flight, now: float) -> _Second | None:
        """Count and return a second request that is to be sent; None if no endpoint has room for it, or the budget."""
        work = flight.work
        endpoint = self._endpoint_for(flight, now)
        # The number of tries tells the retry budget that this is no first attempt.
        sent = Work(work.task, mended=work.mended, fell_back=work.fell_back, tries=work.tries)
        if endpoint is None or not self._costs.reserve(sent):
            return None
        self._endpoint_pool.sent(endpoint, sent, now)
        self._costs.sent(sent)
        tally = self._tallies[work.task.variant]
        tally.requests += 1
        tally.hedges += 1
        tally.in_flight += 1
        work.tries += 1
        sent.tries = work.tries
        self._hedged += 1
        flight.second, flight.was_hedged = _Second(sent, endpoint), True
        self._helpers.monitor.began(sent, endpoint, now)
        return flight.second

    async def _send(self, flight: _Flight, second: _Second) -> None:
        tally, helpers = self._tallies[flight.work.task.variant], self._helpers
        exchange: Exchange | None = None
        try:
            with second.scope:
                exchange = await second.endpoint.client.exchange(second.sent.request)
        finally:
            self._hedged -= 1
            tally.in_flight -= 1
            second.endpoint.in_flight -= 1
            helpers.monitor.ended(second.sent)
            helpers.wake()
        if exchange is None or flight not in self._flights:
            # Given up, and settled: the first has answered.
            return
        verdict = self._verdict(exchange)
        if verdict.action is Action.DONE or flight.is_failed:
            second.exchange = exchange
            second.over.set()
            flight.scope.cancel()
        else:
            self._fail(flight.work, second.endpoint, second.sent, exchange, verdict)
            flight.second = None

    def _fail(self, work: Work, endpoint: PooledEndpoint, sent: Work, exchange: Exchange, verdict: Verdict) -> None:
        """Settle one of two requests that gave no answer while the other may give it; its endpoint learns from it."""
        endpoint.limiter.ended(sent.ticket, exchange)
        reserved, work.reserved = work.reserved, sent.reserved
        self._costs.ended(work, exchange, verdict)
        work.reserved = 0.0 if sent is work else reserved
        work.attempts += verdict.charged
        if verdict.may_be_billed_twice:
            self._count_double(work)
        if verdict.action is Action.RETRY:
            _, notice = endpoint.limiter.postpone(work.task, work.tries, of_tier(verdict, sent.request), exchange.sent_at, exchange.done_at)
            if notice:
                self._helpers.notify(Notice(notice))
        list(self._helpers.monitor.followed(sent, exchange, verdict, ()))

    def _give_up(self, work: Work, endpoint: PooledEndpoint, reserved: float) -> None:
        """Settle a request in flight whose answer is not waited for any more: it may have been given, and billed."""
        endpoint.limiter.given_up(self._clock.monotonic())
        self._costs.given_up(work, reserved)
        self._count_double(work)

    def _count_double(self, work: Work) -> None:
        work.may_be_billed_twice += 1
        self._tallies[work.task.variant].doubled += 1

    def _verdict(self, exchange: Exchange) -> Verdict:
        return judge(exchange, self._clock.wall())


def hedger_of(run: RunSettings, endpoint_pool: EndpointPool, costs: Costs, tallies: Mapping[str, Tally], clock: Clock) -> Hedger | None:
    """Return what sends second requests for a pool; None where the job wants none."""
    return None if run.hedge_after is None else Hedger(run, endpoint_pool, costs, tallies, clock)
