"""Allocates the limits of one endpoint to all workers that send to it: never more than the whole in sum. Pure.

Concurrency is allocated by demand: what a worker does not use goes to others. A lowered limit counts in full until the worker checks in
again, since only then it is known to be kept; so do requests that are still in flight. Rates are granted in pieces of one schedule (the
generic cell rate algorithm): each piece falls due at its time and lapses soon after, so nothing is taken back from a worker that dies.
All times are monotonic seconds of the coordinator.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

from batch.policy.limits.adaptive import AdaptiveConcurrency
from batch.policy.limits.fixed import FixedConcurrency
from batch.policy.limits.own import own_concurrency
from batch.policy.limits.shared import LimitShare, LimitUsage, RateGrant, RateUsage
from batch.policy.rate_limiter import BURST_S
from batch.settings import RunSettings

# Demand of a worker that was not limited: this factor of its use, plus one.
HEADROOM = 1.25
# Pieces of a rate are granted for this multiple of the time until the next check-in.
AHEAD = 1.5
# Seconds between two comparisons of demands: with a thousand workers, not at each check-in.
WEIGH_INTERVAL_S = 0.1


def level(whole: float, answer_checks: Iterable[float]) -> float:
    """Compute the level up to which each demand is met, so that the sum is at most `whole` (water filling)."""
    ordered = sorted(answer_checks)
    left, count = whole, len(ordered)
    for place, demand in enumerate(ordered):
        if demand * (count - place) >= left:
            return left / (count - place)
        left -= demand
    return math.inf


class Schedule:
    """A rate as a sequence of moments, each of which is granted once."""

    def __init__(self, per_minute: float, begins: float = -math.inf) -> None:
        self.interval = 60.0 / per_minute
        self._next = begins

    def reserve(self, amount: float, now: float, ahead: float) -> RateGrant:
        """Reserve up to `amount` moments that lie at most `ahead` seconds in the future; unused earlier moments have lapsed."""
        # Moments that passed unused more than a burst ago have lapsed.
        first = max(self._next, now - BURST_S)
        free = math.floor((now + ahead - first) / self.interval) + 1 if first <= now + ahead else 0
        taken = min(amount, free)
        if taken > 0:
            self._next = first + taken * self.interval
        return RateGrant(taken, first - now, self.interval)


@dataclass(slots=True)
class _Worker:
    """The state of one worker: its granted `limit`, the requests it may have in flight at worst (`exposed`), its demands."""

    limit: int = 0
    exposed: int = 0
    demand: float = 0.0
    in_flight: float = 0.0
    flows: dict[str, float] = field(default_factory=dict)


class LimitAllocator:
    """Allocates one endpoint's limits."""

    def __init__(self, run: RunSettings) -> None:
        self._run = run
        self.controller: FixedConcurrency | AdaptiveConcurrency = own_concurrency(run)
        self._schedules = {name: Schedule(rate) for name, rate in _rates(run).items() if rate}
        self._workers: dict[str, _Worker] = {}
        self._exposed = 0
        self._in_flight = 0.0
        self._levels: dict[str, float] = {}
        self._weighed_at = -math.inf
        self._paused_until = -math.inf

    def change(self, run: RunSettings, now: float) -> None:
        """Divide other limits from now on. What is in flight, or granted, counts against them until it has ended or lapsed."""
        before, self._run = self._run, run
        if before.concurrency != run.concurrency:
            self.controller = own_concurrency(run)
            if isinstance(self.controller, AdaptiveConcurrency):
                self.controller.occupied(self._in_flight, now)
        for name, rate in _rates(run).items():
            if rate != _rates(before)[name]:
                self._schedules.pop(name, None)
                if rate:
                    # What was granted of the old rate may still be used for a moment.
                    self._schedules[name] = Schedule(rate, now + BURST_S)
        self._weighed_at = -math.inf
        for worker in self._workers.values():
            worker.flows = {name: worker.flows.get(name, math.inf) for name in self._schedules}

    @property
    def exposed(self) -> int:
        """The number of requests that all workers may have in flight at worst."""
        return self._exposed

    def checkin(self, name: str, use: LimitUsage | None, now: float, again_s: float, *, eager: bool) -> LimitShare:
        """Return the worker's share until its next check-in; `eager` when it gets new work, whatever it could use before."""
        worker = self._workers.get(name)
        if worker is None:
            worker = self._workers[name] = _Worker()
            self._weighed_at = -math.inf
        if use is not None:
            self._observe(worker, use, now)
        self._weigh(worker, use, now, eager=eager)
        self._set_limit(worker, 0 if use is None else use.in_flight)
        flows = {
            each: self._flow(worker, each, schedule, None if use is None else use.flows.get(each), now, AHEAD * again_s)
            for each, schedule in self._schedules.items()
        }
        return LimitShare(worker.limit, flows, max(0.0, self._paused_until - now))

    def lost(self, name: str) -> None:
        """Free the share of a worker that died or ended."""
        worker = self._workers.pop(name, None)
        if worker is not None:
            self._exposed -= worker.exposed
            self._in_flight -= worker.in_flight
            self._weighed_at = -math.inf

    def _observe(self, worker: _Worker, use: LimitUsage, now: float) -> None:
        in_flight = use.area / use.elapsed if use.elapsed > 0 else float(use.in_flight)
        self._in_flight += in_flight - worker.in_flight
        worker.in_flight = in_flight
        self._paused_until = max(self._paused_until, now + use.pause_s)
        controller = self.controller
        if isinstance(controller, AdaptiveConcurrency):
            controller.occupied(self._in_flight, now)
        if use.answers and controller.limit_may_move:
            sent_at, tokens = now - use.seconds / use.answers, use.tokens / use.answers
            for _ in range(use.answers):
                controller.served(sent_at, now, tokens)
        for _ in range(use.faults):
            controller.faulted()
        if use.refusals:
            controller.refused(now - use.refusal_age, now)
            # The age of the latest refusal only is reported; the others count as older, so that they cut the limit once.
            for _ in range(use.refusals - 1):
                controller.refused(-math.inf, now)

    def _weigh(self, worker: _Worker, use: LimitUsage | None, now: float, *, eager: bool) -> None:
        busy = use is not None and use.peak > 0
        short = eager or (use is not None and use.short)
        worker.demand = math.inf if short else HEADROOM * use.peak + 1 if use is not None and busy else 0.0
        for name in self._schedules:
            flow = None if use is None else use.flows.get(name)
            if eager or (flow is not None and flow.short):
                worker.flows[name] = math.inf
            else:
                worker.flows[name] = HEADROOM * max(0.0, flow.used) / use.elapsed if flow is not None and use and use.elapsed > 0 else 0.0
        if now - self._weighed_at >= WEIGH_INTERVAL_S:
            self._weighed_at = now
            workers = self._workers.values()
            self._levels = {
                name: level(1 / schedule.interval, (each.flows.get(name, 0.0) for each in workers))
                for name, schedule in self._schedules.items()
            }
            self._levels["concurrency"] = level(self.controller.limit, (each.demand for each in workers))

    def _set_limit(self, worker: _Worker, in_flight: int) -> None:
        """Lower the limit now; raise it only into what no other worker may be using."""
        fair = min(worker.demand, self._levels["concurrency"], self.controller.limit)
        room = self.controller.limit - (self._exposed - worker.exposed)
        # What the worker may be using until it has heard of a lower limit.
        confirmed = max(worker.limit, in_flight)
        whole, rest = math.floor(fair), fair % 1 > 0
        wanted = whole + (rest and whole < room)
        limit = wanted if wanted <= worker.limit else max(worker.limit, min(wanted, room))
        exposed = max(confirmed, limit)
        self._exposed += exposed - worker.exposed
        worker.limit, worker.exposed = limit, exposed

    def _flow(self, worker: _Worker, name: str, schedule: Schedule, use: RateUsage | None, now: float, ahead: float) -> RateGrant:
        fair = min(worker.flows[name], self._levels[name])
        wanted = math.ceil(min(fair, 1 / schedule.interval) * ahead - (use.left if use is not None else 0.0))
        return schedule.reserve(max(0, wanted), now, ahead)


def _rates(run: RunSettings) -> dict[str, int | None]:
    return {"requests": run.requests_per_minute, "tokens": run.tokens_per_minute}
