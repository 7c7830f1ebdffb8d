"""Runs a bounded pool of workers for one endpoint, or for several equal ones: they take work, attempt it, and act on the result.

Workers take their work themselves, so that a busy pool needs no switch between tasks for it; a worker without work parks.
Work that waits for its retry lies in a heap by due time and holds no worker. One timekeeper wakes parked workers when time alone
makes something possible.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable, Sequence

import anyio

from batch.clock import Clock
from batch.engine.backlog import Backlog, high_water
from batch.engine.bundles import OneByOne
from batch.engine.costs import Costs
from batch.engine.decisions import Decision, Fail, ReportBug, Retry, StopRun, Warn, code_of
from batch.engine.dispatcher import Dispatcher
from batch.engine.ending import LateVariants, is_given_up, reason_to_stop, stops_of_late
from batch.engine.endpoint_queue import EndpointQueue
from batch.engine.failure_handler import FailureHandler
from batch.engine.finisher import Finisher
from batch.engine.halt import Halt
from batch.engine.hedging import Helpers, hedger_of
from batch.engine.recorder import Recorder
from batch.engine.refused_variants import RefusedVariants, stopped_alone
from batch.engine.reply_notices import ReplyNotices
from batch.engine.row_reader import RowReader
from batch.engine.steering import Steering
from batch.engine.stop import Stop
from batch.engine.timekeeper import Timekeeper
from batch.engine.unexpected import fail_unexpected
from batch.engine.work import Bundle, PooledEndpoint, Work, count_sent
from batch.engine.workforce import Workforce
from batch.events import Event, Notice
from batch.policy.tiers import of_tier
from batch.policy.verdicts import Action, judge
from batch.records import Exchange
from batch.settings import RunSettings


class WorkerPool:
    """Sends the work of a feed to one endpoint until all of it has an outcome or the pool is stopped."""

    def __init__(
        self,
        queue: EndpointQueue,
        recorder: Recorder,
        costs: Costs,
        run: RunSettings,
        *,
        clock: Clock,
        notify: Callable[[Event], None],
        stop_run: Callable[[Stop, float], None],
    ) -> None:
        self._endpoint_pool = endpoint_pool = queue.endpoint_pool
        self._recorder, self._costs, self._run, self._clock, self._notify = recorder, costs, run, clock, notify
        self._answer_checks, self.monitor, flights = queue.answer_checks, queue.monitor, queue.monitor.in_flight
        self._workforce = Workforce(run.most_in_flight * len(endpoint_pool), self._work)
        self._backlog = Backlog(high_water(self._workforce.most), recorder.dropped)
        self._halt, self._stop_run = Halt(), stop_run
        self._hedger = hedger_of(run, endpoint_pool, costs, recorder.tallies, clock)
        self._finisher = Finisher(self._backlog, recorder, run)
        self._late = LateVariants(endpoint_pool, self._backlog)
        self._failures = FailureHandler(endpoint_pool, self._backlog, recorder.tallies, run, self._answer_checks, flights.values)
        self._reply_notices, self._one_by_one, self._done = ReplyNotices(), OneByOne(recorder.tallies, run), anyio.Event()
        self._reader = RowReader(queue.feed, self._backlog, self._finisher, added=self._rows_added, stop_if=self._stop_if, notify=notify)
        self._dispatcher = Dispatcher(endpoint_pool, self._backlog, costs, recorder.tallies, self._reader.make_room)
        self._timekeeper = Timekeeper(endpoint_pool, self._backlog, self._dispatcher, self._workforce, self._halt, clock, notify)
        self._refused = RefusedVariants(endpoint_pool.variants) if queue.refused is None else queue.refused
        self.monitor.watch(endpoint_pool, self._backlog, self._reader, self._halt, counts_attempts=run.metrics is not None)

    @property
    def stopped(self) -> Stop | None:
        """Why it ended, or is about to end, early."""
        return self._halt.stopped

    async def run(self) -> None:
        """Work until nothing is left. Raises nothing: `stopped` says why it ended early."""
        async with anyio.create_task_group() as group:
            group.start_soon(self._timekeeper.run, group, self._is_over, self._done)
            if self._hedger is not None:
                group.start_soon(self._hedger.watch, group, Helpers(self._halt, self.monitor, self._notify, self._timekeeper.wake))
            async with anyio.create_task_group() as reading:
                reading.start_soon(self._read)
                await self._done.wait()
                self._reader.stop()
            if self._reader.exhausted and not self._backlog and not self._workforce.in_flight and not self._failures.withheld:
                self._halt.stopped = self._refused.first  # A stop when nothing was left to do does not count.
            group.cancel_scope.cancel()

    def stop(self, stop: Stop, grace_s: float) -> None:
        """Send nothing more; requests in flight get `grace_s` to end. A second call can only shorten that."""
        if self.stopped is None:
            self._halt.stopped = stop
            self._reader.stop()
        self._halt.grace_until = min(self._halt.grace_until, self._clock.monotonic() + grace_s)
        self._timekeeper.wake()

    def skip(self, variant: str) -> None:
        """Send no more of a variant; its requests in flight end."""
        self._recorder.tallies[variant].waiting -= self._backlog.skip(variant)
        self._reader.make_room()
        self._timekeeper.wake()

    def refuse(self, variant: str, stop: Stop) -> None:
        """Send no more of a variant that was stopped elsewhere; nothing at all if that leaves none."""
        if self._drop({variant}, stop) is None:
            self.stop(stop, self._run.grace_s)

    def steer(self, steering: Steering) -> None:
        """Keep to other limits, and pause or resume: a pause lets what is in flight end."""
        now, pool = self._clock.monotonic(), self._endpoint_pool
        # Neither the endpoints nor the tasks are late by the time in which nothing was sent.
        lasted = self._halt.pause(now, paused=steering.paused)
        pool.put_off(lasted)
        self._backlog.shift(lasted)
        pool.steer(steering, now)
        self._workforce.most = steering.applied(self._run).most_in_flight * len(pool)
        self.wake()

    def add(self, works: Sequence[Work]) -> bool:
        """Send these tasks before further rows; False when the pool has ended, or is about to."""
        if self.stopped is not None or self._done.is_set():
            return False
        self._act(Retry(work, self._clock.monotonic()) for work in works)
        self._timekeeper.wake()
        return True

    @property
    def variants(self) -> Collection[str]:
        """The variants that are sent here and are not stopped."""
        return [name for name in self._endpoint_pool.variants if name not in self._refused]

    @property
    def has_ready_work(self) -> bool:
        """Whether something could be sent now, if the endpoint's limits allow."""
        return bool(self._backlog.ready) or self._backlog.next_due <= self._clock.monotonic()

    def wake(self) -> None:
        """Check again what can be sent and how far to read ahead, after the limits changed."""
        self._backlog.high_water = high_water(self._endpoint_pool.limit)
        self._timekeeper.wake()

    async def _read(self) -> None:
        problem = await self._reader.read(self._endpoint_pool)
        if problem is not None:
            self.stop(Stop("input", problem), self._run.grace_s)
        self._timekeeper.wake()

    def _rows_added(self) -> None:
        if self._workforce.has_parked or self._workforce.count < self._endpoint_pool.limit:
            self._timekeeper.wake()

    async def _work(self) -> None:
        while True:
            taken = None if self._halt.sends_nothing else self._dispatcher.take(self._clock.monotonic())
            if taken is None:
                await self._workforce.park()
                continue
            await self._attempt(*taken)

    async def _attempt(self, work: Work, endpoint: PooledEndpoint) -> None:
        tally, now, answered_by = self._recorder.tallies[work.task.variant], self._clock.monotonic(), endpoint
        tally.failovers += self._endpoint_pool.sent(endpoint, work, now)
        self._costs.sent(work)
        count_sent(tally, work)
        self._workforce.in_flight += 1
        self.monitor.began(work, endpoint, now)
        try:
            if self._hedger is None:
                exchange = await endpoint.client.exchange(work.request)
            else:
                exchange, answered_by = await self._hedger.exchange(work, endpoint)
        except BaseException:
            # Cancelled by a stop: the endpoint may still answer and bill it.
            tally.abandoned += 1
            raise
        finally:
            self.monitor.ended(work)
            tally.in_flight -= 1
            endpoint.in_flight -= 1
            self._endpoint_pool.bytes.ended(len(work.request.body))
        self._workforce.in_flight -= 1
        code = "unexpected"
        try:
            code = self._judge(work, answered_by, exchange)
        except Exception as error:  # noqa: BLE001 - whatever a server sends ends at most its attempt
            self._act(fail_unexpected(work, exchange, error, self._costs))
            self._timekeeper.wake()
        self.monitor.attempted(tally, work, answered_by, exchange, code)
        # Workers whose answers came in the same turn of the loop record theirs meanwhile: one write for all, before any sends again.
        await asyncio.sleep(0)
        self._stop_if(await self._finisher.flush(work.task.variant))
        if self._workforce.in_flight == 0 or self.stopped is not None:
            self._timekeeper.wake()
        elif self._backlog.ready and self._workforce.in_flight + 1 < (limit := self._endpoint_pool.limit):
            if self._workforce.has_parked:
                self._workforce.wake_one()
            elif self._workforce.count < limit:
                self._timekeeper.wake()

    def _judge(self, work: Work, endpoint: PooledEndpoint, exchange: Exchange) -> str:
        endpoint.limiter.ended(work.ticket, exchange)
        if work.first_sent is None:
            work.first_sent = exchange.sent_at
        verdict = judge(exchange, self._clock.wall())
        work.attempts += verdict.charged
        self._costs.ended(work, exchange, verdict)
        if verdict.action is Action.DONE:
            return self._complete(work, exchange)
        failures, exhausted = self._failures, self._reader.exhausted
        verdict = of_tier(verdict, work.request)
        found = failures.tested(work, verdict, exchange) if work.is_probe else failures.settle(work, verdict, exchange, exhausted=exhausted)
        self._act(self.monitor.followed(work, exchange, verdict, found))
        self._timekeeper.wake()
        return code_of(verdict)

    def _complete(self, work: Work, exchange: Exchange) -> str:
        if (notice := self._endpoint_pool.served(work, exchange)) is not None:
            self._timekeeper.wake()
            self._notify(Notice(notice))
        for text in self._reply_notices.of(work, exchange):
            self._notify(Notice(text))
        self._failures.served.add(work.task.request.api)
        if self._failures.withheld:
            self._act(self._failures.release())
        if work.is_probe:
            self._timekeeper.wake()
        elif (self._answer_checks or isinstance(work, Bundle)) and (decision := self._failures.reject(work, exchange)) is not None:
            self._act(self.monitor.refused(work, exchange, decision))
            self._timekeeper.wake()
            return code_of(decision)
        else:
            self._recorder.completed(work, exchange)
        return "ok"

    def _act(self, decisions: Iterable[Decision]) -> None:
        for decision in self._one_by_one(decisions):
            match decision:
                case Retry(work, due):
                    self._backlog.postpone(work, due)
                    self._recorder.tallies[work.task.variant].waiting += not self._backlog.skips(work)
                case Fail(work, error, exchange):
                    self._stop_if(self._finisher.fail(work, error, exchange))
                case Warn(text):
                    self._notify(Notice(text))
                case ReportBug(event):
                    self._notify(event)
                case StopRun():
                    self._stop_if(decision)

    def _stop_if(self, decision: StopRun | None) -> None:
        if decision is not None and not (decision.variant and self._stop_variants({decision.variant}, decision.stop)):
            (self._stop_run if decision.everywhere else self.stop)(decision.stop, decision.grace_s)

    def _stop_variants(self, names: Collection[str], stop: Stop) -> bool:
        """Send no more of these variants; returns False if that leaves none, so that all is to be stopped."""
        refused = self._drop(names, stop)
        for name in refused or ():
            self._notify(stopped_alone(name, stop))
        return refused is not None

    def _drop(self, names: Collection[str], stop: Stop) -> list[str] | None:
        refused = self._refused.refuse(names, stop)
        for name in refused or ():
            self.skip(name)
            for work in self._failures.forget(name):
                self._recorder.dropped(work)
        return refused

    def _is_over(self, now: float) -> bool:
        if self.stopped is not None:
            return self._workforce.in_flight == 0 or now >= self._halt.grace_until
        if self._halt.paused:
            return self._reader.exhausted and not (self._backlog or self._workforce.in_flight or self._failures.withheld)
        late = self._late.given_up(self._failures.withheld, now)
        for variant, given_up in stops_of_late(late, self._endpoint_pool.name, self._run):
            self._stop_variants({variant}, given_up)
        if self._workforce.in_flight:
            # Requests in flight have their own deadlines; only a probe can outlive the endpoint's.
            if is_given_up(self._endpoint_pool, now):
                self.stop(Stop("refused", self._endpoint_pool.outage(now)), self._run.grace_s)
            return False
        if self._reader.exhausted and not self._backlog and (not self._failures.withheld or not self._endpoint_pool.is_testing):
            self._act(self._failures.conclude(now))
            return not self._failures.withheld and not self._backlog
        probe = self._dispatcher.pick_probe(now)
        pool, costs, exhausted = self._endpoint_pool, self._costs, self._reader.exhausted
        if stop := reason_to_stop(pool, self._backlog, costs, probe and probe[0], now, exhausted=exhausted):
            # What waits here, and keeps other rows from being read, may be refused for its model alone.
            waiting = self._backlog.variants | {each.work.task.variant for each in self._failures.withheld}
            if not exhausted and stop.cause == "refused" and self._stop_variants(waiting, stop):
                pool.give_another_chance(now)
            else:
                self.stop(stop, self._run.grace_s)
        return self.stopped is not None
