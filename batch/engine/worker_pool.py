"""The bounded pool of one endpoint, or of several equal ones: workers that take work, attempt it, and hand the result to the settler.

Workers take their work themselves, so that a busy pool needs no switch between tasks for it; a worker that finds nothing to do parks.
Work that waits for its retry lies in a heap by due time and holds no worker. One timekeeper wakes parked workers when time alone
makes something possible.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Callable, Mapping

import anyio
import anyio.to_thread
from anyio.abc import TaskGroup

from batch.clock import Clock
from batch.engine.answer_checks import AnswerSchemaCheck
from batch.engine.backlog import Backlog
from batch.engine.costs import Costs
from batch.engine.endpoint_pool import EndpointPool, PooledEndpoint
from batch.engine.failure_handler import FailureHandler
from batch.engine.feed import Source
from batch.engine.limiter import Work
from batch.engine.recorder import Recorder
from batch.engine.stop import Stop
from batch.errors import DamagedError, InputError, StorageError
from batch.events import UnexpectedError
from batch.policy.verdicts import Action, judge
from batch.records import Exchange
from batch.settings import RunSettings

# Connections are opened in steps: a listen queue (511 in nginx) overflows otherwise, and lost SYNs cost a second each.
HIRED_AT_ONCE = 16
HIRE_INTERVAL_S = 0.0025
# The timekeeper looks at least so often; one that comes this much too late shows that the process stood still.
TICK_S = 1.0
HELD_S = 0.5


class WorkerPool:
    """Runs the work of a feed against one endpoint until all has its outcome or the pool is stopped."""

    def __init__(
        self,
        endpoint_pool: EndpointPool,
        feed: Source,
        recorder: Recorder,
        costs: Costs,
        run: RunSettings,
        *,
        answer_checks: Mapping[str, AnswerSchemaCheck],
        clock: Clock,
        notice: Callable[[str], None],
        stop_run: Callable[[Stop, float], None],
        report_bug: Callable[[UnexpectedError], None] = lambda _: None,
    ) -> None:
        self.stopped: Stop | None = None
        self._endpoint_pool = endpoint_pool
        self._feed = feed
        self._recorder = recorder
        self._costs = costs
        self._run = run
        self._answer_checks = answer_checks
        self._clock = clock
        self._notice = notice
        self._most_in_flight = run.most_in_flight * len(endpoint_pool)
        self._backlog = Backlog(_high_water(self._most_in_flight))
        self._settler = FailureHandler(
            endpoint_pool,
            self._backlog,
            recorder,
            run,
            answer_checks=answer_checks,
            exhausted=lambda: self._exhausted,
            notice=notice,
            stop=self.stop,
            stop_run=stop_run,
            report_bug=report_bug,
        )
        self._exhausted = False
        self._grace_until = math.inf
        self._workers = self._in_flight = 0
        self._parked: deque[anyio.Event] = deque()
        self._alarm = anyio.Event()
        self._room = anyio.Event()
        self._done = anyio.Event()

    async def run(self) -> None:
        """Work until nothing is left. Raises nothing: why it ended early is in `stopped`."""
        async with anyio.create_task_group() as group:
            group.start_soon(self._keep_time, group)
            async with anyio.create_task_group() as reading:
                reading.start_soon(self._read)
                await self._done.wait()
                self._room.set()
            if self._exhausted and not self._backlog and not self._in_flight and not self._settler.withheld:
                self.stopped = None  # It was told to stop, and had nothing left to do.
            group.cancel_scope.cancel()

    def stop(self, stop: Stop, grace_s: float) -> None:
        """Send nothing more; what is in flight gets `grace_s` to end. A second call can only shorten that."""
        if self.stopped is None:
            self.stopped = stop
        self._grace_until = min(self._grace_until, self._clock.monotonic() + grace_s)
        self._alarm.set()

    def leave_out(self, variant: str) -> None:
        """Send no more of a variant; what is in flight ends."""
        self._recorder.tallies[variant].waiting -= self._backlog.leave_out(variant)
        self._room.set()
        self._alarm.set()

    @property
    def has_ready_work(self) -> bool:
        """Whether something could be sent now, if the endpoint's limits allow."""
        return bool(self._backlog.ready) or self._backlog.next_due <= self._clock.monotonic()

    def wake(self) -> None:
        """The limits have changed: look again what can be sent, and how far ahead it is worth to read."""
        self._backlog.high_water = _high_water(self._endpoint_pool.limit)
        self._alarm.set()

    # The reader's side

    async def _read(self) -> None:
        batches = self._feed.batches()
        try:
            while self.stopped is None:
                batch = await anyio.to_thread.run_sync(next, batches, None, abandon_on_cancel=False)
                if batch is None:
                    self._exhausted = True
                    break
                for item in batch:
                    if isinstance(item, Work):
                        self._backlog.add(item)
                    elif self.stopped is None:
                        self._settler.settle_unsent(item)
                for variant in {item.work.task.variant for item in batch if not isinstance(item, Work)}:
                    await self._record(variant)
                if self._parked or self._workers < self._endpoint_pool.limit:
                    self._alarm.set()
                await self._wait_for_room()
        except (InputError, DamagedError, OSError) as error:
            self.stop(Stop("input", f"the input cannot be read further: {error}"), self._run.grace_s)
        self._alarm.set()

    async def _wait_for_room(self) -> None:
        while self.stopped is None and self._backlog.is_full:
            self._room = anyio.Event()
            await self._room.wait()

    # The workers' side
    async def _work(self) -> None:
        while True:
            taken = self._take()
            if taken is None:
                event = anyio.Event()
                self._parked.append(event)
                await event.wait()
                continue
            await self._attempt(*taken)

    def _take(self) -> tuple[Work, PooledEndpoint] | None:
        """The next work that may be sent now, and where to: retries that are due before new rows."""
        if self.stopped is not None:
            return None
        now = self._clock.monotonic()
        backlog = self._backlog
        retry = backlog.next_due <= now and self._endpoint_pool.may_retry(backlog.next_retry)
        if not retry and not backlog.ready:
            return None
        candidate = backlog.next_retry if retry else backlog.ready[0]
        member = self._endpoint_pool.pick(candidate, now)
        if member is None or not self._costs.reserve(candidate):
            return None
        if retry:
            work = backlog.take_retry()
            self._recorder.tallies[work.task.variant].waiting -= 1
        else:
            work = backlog.take()
        if not self._room.is_set() and not backlog.is_full:
            self._room.set()
        return work, member

    async def _attempt(self, work: Work, member: PooledEndpoint) -> None:
        tally = self._recorder.tallies[work.task.variant]
        tally.failovers += self._endpoint_pool.sent(member, work, self._clock.monotonic())
        self._costs.sent(work)
        work.tries += 1
        tally.requests += 1
        tally.retries += work.tries > 1
        tally.in_flight += 1
        self._in_flight += 1
        try:
            exchange = await member.client.exchange(work.request)
        finally:
            tally.in_flight -= 1
            member.in_flight -= 1
        self._in_flight -= 1
        try:
            self._judge(work, member, exchange)
        except Exception as error:  # noqa: BLE001 - a reply that surprises us fails its own row
            self._settler.fail_unexpected(work, exchange, error, self._costs)
            self._alarm.set()
        await self._record(work.task.variant)
        if self._in_flight == 0 or self.stopped is not None:
            self._alarm.set()
        elif self._backlog.ready and self._in_flight + 1 < (limit := self._endpoint_pool.limit):
            if self._parked:
                self._parked.popleft().set()
            elif self._workers < limit:
                self._alarm.set()

    def _judge(self, work: Work, member: PooledEndpoint, exchange: Exchange) -> None:
        member.pace.ended(work, exchange)
        if work.first_sent is None:
            work.first_sent = exchange.sent_at
        verdict = judge(exchange, self._clock.wall())
        work.attempts += verdict.charged
        self._costs.ended(work, exchange, verdict)
        if verdict.action is not Action.DONE:
            self._settler.settle(work, verdict, exchange)
            self._alarm.set()
        else:
            self._complete(work, exchange)

    def _complete(self, work: Work, exchange: Exchange) -> None:
        if self._settler.complete(work, exchange):
            self._alarm.set()

    async def _record(self, variant: str) -> None:
        # Workers whose answers came in the same turn of the loop record theirs meanwhile: one write for all, before any sends again.
        await asyncio.sleep(0)
        try:
            self._recorder.flush()
            if self._run.durability == "row" or self._recorder.is_behind(variant):
                await self._recorder.sync(variant)
        except StorageError as error:
            self._settler.storage_failed(error)

    # The timekeeper's side

    async def _keep_time(self, group: TaskGroup) -> None:
        while not self._is_over():
            self._alarm = anyio.Event()
            hired = self._put_to_work(group)
            now = self._clock.monotonic()
            wake_at = now + HIRE_INTERVAL_S if hired else min(self._next_moment(now), now + TICK_S)
            with anyio.move_on_after(max(0.0, wake_at - now)):
                await self._alarm.wait()
            late = self._clock.monotonic() - wake_at
            if late > HELD_S:
                self._endpoint_pool.put_off(late)
        self._done.set()

    def _is_over(self) -> bool:
        now = self._clock.monotonic()
        if self.stopped is not None:
            return self._in_flight == 0 or now >= self._grace_until
        deadline = self._endpoint_pool.outage_deadline
        if self._in_flight:
            # What is in flight ends by deadlines of its own; only a probe can outlive the endpoint's.
            if deadline is not None and now >= deadline and self._endpoint_pool.is_probing:
                self._give_up(now)
            return False
        if self._exhausted and not self._backlog:
            self._settler.release()
            return True
        if self._endpoint_pool.asks_too_much(now) or (deadline is not None and now >= deadline and self._next_sending(now) > now):
            self._give_up(now)
        elif self._backlog and self._costs.is_spent(work := self._backlog.next):
            self.stop(Stop("budget", self._costs.exhausted(work)), 0.0)
        elif self._retries_are_spent(now):
            self.stop(Stop("refused", f"{self._endpoint_pool.name} fails too often: the retry budget of this run is spent"), 0.0)
        return self.stopped is not None

    def _next_sending(self, now: float) -> float:
        """When something can be sent, with nothing in flight: now, if that is so, or later."""
        free = now + self._endpoint_pool.hold(now)
        return free if self._backlog.ready else max(free, self._backlog.next_due)

    def _retries_are_spent(self, now: float) -> bool:
        """Whether nothing but retries is left, or there is room for nothing else, and the budget does not allow the next."""
        backlog = self._backlog
        only_retries = not backlog.ready and (self._exhausted or backlog.is_full)
        return only_retries and backlog.next_due <= now and not self._endpoint_pool.may_retry(backlog.next_retry)

    def _give_up(self, now: float) -> None:
        self.stop(Stop("refused", self._endpoint_pool.outage(now)), self._run.grace_s)

    def _put_to_work(self, group: TaskGroup) -> bool:
        """Wake or hire as many workers as could send something now; True when more are to be hired after a moment."""
        now = self._clock.monotonic()
        if self.stopped is not None or self._endpoint_pool.hold(now) > 0:
            return False
        wanted = min(self._endpoint_pool.limit - self._in_flight, len(self._backlog.ready) + self._backlog.due(now))
        for _ in range(min(wanted, len(self._parked))):
            self._parked.popleft().set()
            wanted -= 1
        hired = min(wanted, HIRED_AT_ONCE, self._most_in_flight - self._workers)
        for _ in range(hired):
            self._workers += 1
            group.start_soon(self._work)
        return wanted > hired > 0

    def _next_moment(self, now: float) -> float:
        """When time alone makes something possible, or ends something."""
        if self.stopped is not None:
            return self._grace_until
        deadline = self._endpoint_pool.outage_deadline
        hold = self._endpoint_pool.hold(now)
        possible = now + hold if hold > 0 else self._backlog.next_due
        return min(math.inf if deadline is None or deadline <= now else deadline, possible if possible > now else math.inf)


def _high_water(in_flight: int) -> int:
    return max(512, 2 * in_flight)
