"""The bounded pool of one endpoint: workers that take work, attempt it, and settle what came of it.

Workers take their work themselves, so that a busy pool needs no switch between tasks for it; a worker that finds nothing to do parks.
Work that waits for its retry lies in a heap by due time and holds no worker. One timekeeper wakes parked workers when time alone
makes something possible.
"""

from __future__ import annotations

import heapq
import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from typing import Literal

import anyio
import anyio.to_thread
from anyio.abc import TaskGroup

from batch.clock import Clock
from batch.engine.feed import Feed, Refused
from batch.engine.pace import Pace, Work
from batch.engine.recorder import Recorder
from batch.errors import InputError, StorageError
from batch.policy.verdicts import Action, Verdict, judge
from batch.records import ErrorInfo, Exchange
from batch.settings import RunSettings
from batch.transport.client import Client

# Connections are opened in steps: a listen queue (511 in nginx) overflows otherwise, and lost SYNs cost a second each.
HIRED_AT_ONCE = 128
HIRE_INTERVAL_S = 0.02
READY_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Stop:
    """Why a run ends before all rows have their outcome."""

    cause: Literal["interrupted", "refused", "storage", "input"]
    reason: str


class Pool:
    """Runs the work of a feed against one endpoint until all has its outcome or the pool is stopped."""

    def __init__(
        self,
        client: Client,
        pace: Pace,
        feed: Feed,
        recorder: Recorder,
        run: RunSettings,
        *,
        clock: Clock,
        notice: Callable[[str], None],
        storage_failed: Callable[[Stop], None],
    ) -> None:
        self.stopped: Stop | None = None
        self._client = client
        self._pace = pace
        self._feed = feed
        self._recorder = recorder
        self._run = run
        self._clock = clock
        self._notice = notice
        self._storage_failed = storage_failed
        self._ready: deque[Work] = deque()
        self._ready_bytes = 0
        self._retries: list[tuple[float, int, Work]] = []
        self._numbers = count()
        self._exhausted = False
        self._grace_until = math.inf
        self._workers = 0
        self._in_flight = 0
        self._parked: deque[anyio.Event] = deque()
        self._alarm = anyio.Event()
        self._room = anyio.Event()
        self._done = anyio.Event()
        self._high_water = max(512, 2 * run.concurrency)

    async def run(self) -> None:
        """Work until nothing is left. Raises nothing: why it ended early is in `stopped`."""
        async with anyio.create_task_group() as group:
            group.start_soon(self._read)
            group.start_soon(self._keep_time, group)
            await self._done.wait()
            group.cancel_scope.cancel()

    def stop(self, stop: Stop, grace_s: float) -> None:
        """Send nothing more; what is in flight gets `grace_s` to end. A second call can only shorten that."""
        if self.stopped is None:
            self.stopped = stop
        self._grace_until = min(self._grace_until, self._clock.monotonic() + grace_s)
        self._alarm.set()

    # The reader's side

    async def _read(self) -> None:
        batches = self._feed.batches()
        try:
            while self.stopped is None:
                batch = await anyio.to_thread.run_sync(next, batches, None, abandon_on_cancel=False)
                if batch is None:
                    break
                for item in batch:
                    if isinstance(item, Refused):
                        self._record_failure(item.work, item.error, None)
                    else:
                        self._ready.append(item)
                        self._ready_bytes += len(item.task.request.body)
                if self._parked or self._workers < self._pace.concurrency.limit:
                    self._alarm.set()
                await self._wait_for_room()
        except (InputError, OSError) as error:
            self.stop(Stop("input", f"the input cannot be read further: {error}"), self._run.grace_s)
        self._exhausted = True
        self._alarm.set()

    async def _wait_for_room(self) -> None:
        while self.stopped is None and self._is_full():
            self._room = anyio.Event()
            await self._room.wait()

    def _is_full(self) -> bool:
        return len(self._ready) + len(self._retries) >= self._high_water or self._ready_bytes > READY_BYTES

    # The workers' side

    async def _work(self) -> None:
        while True:
            work = self._take()
            if work is None:
                event = anyio.Event()
                self._parked.append(event)
                await event.wait()
                continue
            await self._attempt(work)

    def _take(self) -> Work | None:
        """The next work that may be sent now: retries that are due before new rows."""
        if self.stopped is not None or self._in_flight >= self._pace.concurrency.limit:
            return None
        now = self._clock.monotonic()
        if self._pace.hold(now) > 0:
            return None
        if self._retries and self._retries[0][0] <= now and self._may_retry(self._retries[0][2]):
            work = heapq.heappop(self._retries)[2]
            self._recorder.tallies[work.task.variant].waiting -= 1
        elif self._ready:
            work = self._ready.popleft()
            self._ready_bytes -= len(work.task.request.body)
        else:
            return None
        if not self._room.is_set() and not self._is_full():
            self._room.set()
        return work

    def _may_retry(self, work: Work) -> bool:
        return not work.charged_retry or self._pace.budget.allows_retry or not self._pace.breaker.closed

    async def _attempt(self, work: Work) -> None:
        tally = self._recorder.tallies[work.task.variant]
        self._pace.sent(work)
        work.tries += 1
        tally.requests += 1
        tally.retries += work.tries > 1
        tally.in_flight += 1
        self._in_flight += 1
        try:
            exchange = await self._client.exchange(work.task.request)
        finally:
            self._in_flight -= 1
            tally.in_flight -= 1
        if work.first_sent is None:
            work.first_sent = exchange.sent_at
        self._settle(work, exchange)
        if self._run.durability == "row":
            await self._sync(work.task.variant)
        if self._in_flight == 0 or self.stopped is not None:
            self._alarm.set()
        elif self._parked and self._ready and self._in_flight + 1 < self._pace.concurrency.limit:
            self._parked.popleft().set()

    def _settle(self, work: Work, exchange: Exchange) -> None:
        verdict = judge(exchange, self._clock.wall())
        work.attempts += verdict.charged
        if verdict.action is Action.DONE:
            if self._pace.served():
                self._resumed()
            self._guarded(lambda: self._recorder.completed(work, exchange))
            return
        assert verdict.error is not None  # noqa: S101 - only DONE comes without one
        if verdict.action is Action.RETRY:
            self._retry(work, verdict, exchange)
        elif verdict.action is Action.FAIL:
            self._refuse(work, verdict.error, exchange)
        else:
            self.stop(Stop("refused", f"{self._pace.name}: {verdict.error.message}"), self._run.grace_s)

    def _refuse(self, work: Work, error: ErrorInfo, exchange: Exchange) -> None:
        if error.code == "permission" and self._pace.forbidden(work.task):
            self.stop(Stop("refused", f"{self._pace.name} forbids every request: {error.message}"), self._run.grace_s)
            return
        if self._pace.answered():
            self._resumed()
        self._record_failure(work, error, exchange)

    def _retry(self, work: Work, verdict: Verdict, exchange: Exchange) -> None:
        tally = self._recorder.tallies[work.task.variant]
        if verdict.doubled:
            work.doubled += 1
            tally.doubled += 1
        due, notice = self._pace.postpone(work, verdict, exchange.sent_at, exchange.done_at)
        if notice:
            self._notice(notice)
        work.charged_retry = verdict.charged
        spent = work.attempts >= self._run.attempts or due - (work.first_sent or due) > self._run.task_timeout_s
        if spent and not self._blames_endpoint():
            assert verdict.error is not None  # noqa: S101 - a retry always has its reason
            self._record_failure(work, verdict.error, exchange)
            return
        heapq.heappush(self._retries, (due, next(self._numbers), work))
        tally.waiting += 1
        self._alarm.set()

    def _blames_endpoint(self) -> bool:
        """Whether a row that failed too often is spared: the endpoint fails for all, and other rows are there to test it with."""
        return self._pace.breaker.suspects_endpoint and (bool(self._ready) or not self._exhausted)

    def _record_failure(self, work: Work, error: ErrorInfo, exchange: Exchange | None) -> None:
        self._guarded(lambda: self._recorder.failed(work, error, exchange))

    def _guarded(self, write: Callable[[], None]) -> None:
        try:
            write()
        except StorageError as error:
            self._storage_failed(Stop("storage", str(error)))

    async def _sync(self, variant: str) -> None:
        try:
            await self._recorder.sync(variant)
        except StorageError as error:
            self._storage_failed(Stop("storage", str(error)))

    def _resumed(self) -> None:
        self._notice(f"{self._pace.name} serves again")
        self._alarm.set()

    # The timekeeper's side

    async def _keep_time(self, group: TaskGroup) -> None:
        while not self._is_over():
            self._alarm = anyio.Event()
            hired = self._put_to_work(group)
            wake_at = self._clock.monotonic() + HIRE_INTERVAL_S if hired else self._next_moment()
            with anyio.move_on_after(None if wake_at == math.inf else max(0.0, wake_at - self._clock.monotonic())):
                await self._alarm.wait()
        self._done.set()

    def _is_over(self) -> bool:
        now = self._clock.monotonic()
        if self.stopped is not None:
            return self._in_flight == 0 or now >= self._grace_until
        if self._in_flight:
            deadline = self._pace.outage_deadline
            if deadline is not None and now >= deadline:
                self._give_up()
            return False
        if self._exhausted and not self._ready and not self._retries:
            return True
        self._stop_if_stuck(now)
        return self.stopped is not None

    def _stop_if_stuck(self, now: float) -> None:
        """With nothing in flight: give up an endpoint that is held past its deadline, and retries that the budget does not allow."""
        deadline = self._pace.outage_deadline
        if deadline is not None and now + self._pace.hold(now) >= deadline:
            self._give_up()
            return
        only_retries = not self._ready and (self._exhausted or len(self._retries) >= self._high_water)
        if only_retries and self._retries[0][0] <= now and not self._may_retry(self._retries[0][2]):
            self.stop(Stop("refused", f"{self._pace.name} fails too often: the retry budget of this run is spent"), 0.0)

    def _give_up(self) -> None:
        seconds = self._run.outage_timeout_s
        self.stop(Stop("refused", f"{self._pace.name} served nothing, or asks to wait, for more than {seconds:,.0f} s"), self._run.grace_s)

    def _put_to_work(self, group: TaskGroup) -> bool:
        """Wake or hire as many workers as could send something now; True when more are to be hired after a moment."""
        now = self._clock.monotonic()
        if self.stopped is not None or self._pace.hold(now) > 0:
            return False
        due = sum(1 for at, _, _ in self._retries if at <= now) if self._retries and self._retries[0][0] <= now else 0
        wanted = min(self._pace.concurrency.limit - self._in_flight, len(self._ready) + due)
        for _ in range(min(wanted, len(self._parked))):
            self._parked.popleft().set()
            wanted -= 1
        hired = min(wanted, HIRED_AT_ONCE, self._run.concurrency - self._workers)
        for _ in range(hired):
            self._workers += 1
            group.start_soon(self._work)
        return wanted > hired > 0

    def _next_moment(self) -> float:
        """When time alone makes something possible, or ends something."""
        now = self._clock.monotonic()
        if self.stopped is not None:
            return self._grace_until
        moments = [math.inf if self._pace.outage_deadline is None else self._pace.outage_deadline]
        hold = self._pace.hold(now)
        if hold > 0:
            moments.append(now + hold)
        elif self._retries and self._retries[0][0] > now:
            moments.append(self._retries[0][0])
        return min(moments)
