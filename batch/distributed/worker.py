"""A worker: one engine over the shards that it is given, for as long as there are any. The same in a local process and on Ray."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from contextlib import suppress
from copy import deepcopy
from dataclasses import replace
from functools import partial
from pathlib import Path

import anyio
from anyio import from_thread

from batch.clock import Clock, SystemClock
from batch.distributed.books import Book, BookRecorder
from batch.distributed.feeding import How, LeaseFeed
from batch.distributed.messages import Assignment, Grant, Lease, Link, LinkError, Report
from batch.distributed.shards import rows_per_shard
from batch.engine import endpoints
from batch.engine.demands import demands_of
from batch.engine.feed import Plan
from batch.engine.pace import Pace
from batch.engine.run import Lane, Run
from batch.engine.stop import Stop
from batch.events import Event, Noticed
from batch.journal.directory import RunDirectory
from batch.journal.index import ResumeIndex
from batch.journal.known import Known, Overlaid
from batch.journal.leases import earlier_segments
from batch.journal.segments import Name
from batch.policy.leased import LeasedBucket, LeasedConcurrency, Share, Use
from batch.policy.rates import Rates
from batch.prompts import RequestBuilder
from batch.readers import Dataset
from batch.readers.ranges import Ranges
from batch.records import Tally
from batch.settings import RunSettings, Variant
from batch.transport.client import Client

# Who meets a failure while nothing has been answered yet tells at once, so that a job that is wrong ends early.
URGENT_AFTER_S = 0.02


async def work(assignment: Assignment, keys: Mapping[str, str], link: Link, *, clock: Clock | None = None) -> None:
    """Work until the coordinator says that it is over, or is gone (then what is in flight is given up).

    Raises SetupError and whatever else keeps a worker from beginning.
    """
    clock = clock or SystemClock()
    variants = assignment.job.variants
    groups = endpoints.by_endpoint(variants)
    notices: list[str] = []
    settings = replace(endpoints.allow_connections(assignment.job.run, len(groups), notices.append), max_failures="100%")
    async with endpoints.clients([group[0].provider for group in groups], keys, settings, clock) as clients:
        worker = Worker(assignment, settings, list(zip(groups, clients, strict=True)), link, clock, notices)
        with suppress(LinkError):
            await worker.run()


class Worker:
    """One worker of a run; `parts` are its endpoints, in the order of the lanes."""

    def __init__(
        self,
        assignment: Assignment,
        settings: RunSettings,
        parts: Sequence[tuple[Sequence[Variant], Client]],
        link: Link,
        clock: Clock,
        notices: list[str],
    ) -> None:
        self._name = assignment.worker
        self._link = link
        self._clock = clock
        self._notices = notices
        self._tallies = {variant.name: Tally() for variant in assignment.job.variants}
        self._lanes = [_WorkLane(assignment, settings, variants, client, self, clock, self._tallies) for variants, client in parts]
        self._stop: Stop | None = None
        self._told_stop = False
        self._urgent = anyio.Event()

    async def run(self) -> None:
        """Send what is given, until it is over. Raises LinkError."""
        try:
            async with anyio.create_task_group() as group:
                for lane in self._lanes:
                    group.start_soon(lane.run)
                await self._check_in_regularly()
        except BaseExceptionGroup as group_error:
            lost = group_error.subgroup(LinkError)
            if lost is None:
                raise
            raise LinkError from group_error
        finally:
            for lane in self._lanes:
                lane.recorder.close()
        await self._link.checkin(self._report(ended=True))

    def notify(self, event: Event) -> None:
        """The engine's events: what a person should know goes along with the next report."""
        if isinstance(event, Noticed):
            self._notices.append(event.text)

    def hurry(self) -> None:
        """Check in at once."""
        self._urgent.set()

    def stopped(self, stop: Stop) -> None:
        """A lane cannot go on: the coordinator must know."""
        if self._stop is None:
            self._stop = stop
            self.hurry()

    async def _check_in_regularly(self) -> None:
        while True:
            asked_at = self._clock.monotonic()
            grant = await self._link.checkin(self._report())
            self._apply(grant, asked_at)
            if grant.over or (grant.stop is not None and not any(lane.is_running for lane in self._lanes)):
                break
            with anyio.move_on_after(grant.again_s):
                await self._urgent.wait()
            self._urgent = anyio.Event()
        for lane in self._lanes:
            lane.end(grant.stop if grant.over else None)

    def _report(self, *, ended: bool = False) -> Report:
        notices, self._notices[:] = tuple(self._notices), []
        return Report(
            self._name,
            deepcopy(self._tallies),
            tuple(lane.use() for lane in self._lanes),
            tuple(lane.wanted() for lane in self._lanes),
            tuple(key for lane in self._lanes for key in lane.recorder.take_done()),
            {key: written for lane in self._lanes for key, written in lane.recorder.written.items()},
            tuple(example for lane in self._lanes for example in lane.recorder.take_examples()),
            notices,
            self._stop,
            ended,
        )

    def _apply(self, grant: Grant, asked_at: float) -> None:
        for lane, share in zip(self._lanes, grant.shares, strict=False):
            lane.share(share, asked_at)
        for lease in grant.leases:
            self._lanes[lease.lane].take(lease)
        for lane, drained in zip(self._lanes, grant.drained, strict=False):
            if drained:
                lane.drain()
        if grant.stop is not None:
            for lane in self._lanes:
                lane.stop(grant.stop, grant.grace_s)


class _WorkLane:
    """One endpoint of a worker: its leases, its share of the limits, and the engine that runs while there is anything to send."""

    def __init__(
        self,
        assignment: Assignment,
        settings: RunSettings,
        variants: Sequence[Variant],
        client: Client,
        worker: Worker,
        clock: Clock,
        tallies: Mapping[str, Tally],
    ) -> None:
        job = assignment.job
        self._assignment = assignment
        self._settings = settings
        self._worker = worker
        self._client = client
        self._clock = clock
        self._variants = variants
        self._demands = demands_of(variants, settings)
        self._concurrency = LeasedConcurrency(settings.most_in_flight)
        rates = {"requests": settings.requests_per_minute, "tokens": settings.tokens_per_minute}
        self._buckets = {name: LeasedBucket() for name, rate in rates.items() if rate}
        limits = iter(self._buckets.values())
        self._pace = Pace(
            variants[0].provider.name,
            settings,
            rng=random.Random(),  # noqa: S311
            concurrency=self._concurrency,
            rates=Rates(rates["requests"], rates["tokens"], lambda _: next(limits)),
        )
        self.recorder = BookRecorder(
            variants, RunDirectory(Path(assignment.directory)), assignment.numbers, settings.durability, tallies, clock
        )
        self._ranges = Ranges(Dataset(job.input, assignment.drawn))
        self._how = How(settings.repeats, job.input.id is not None, assignment.compare, assignment.changed, assignment.retry_failed)
        self._builders = {variant.name: RequestBuilder(variant, stream=settings.stream) for variant in variants}
        self._known = {v.name: Known(Path(path) if (path := assignment.known.get(v.name)) else None) for v in variants}
        self._rows_per_shard = rows_per_shard(assignment.rows)
        self._settled = 0
        self._feed: LeaseFeed | None = None
        self._waiting: list[Book] = []
        self._session: Run | None = None
        self._begun = anyio.Event()
        self._ended = False

    @property
    def is_running(self) -> bool:
        """Whether its engine runs."""
        return self._session is not None

    async def run(self) -> None:
        """Send the rows of the leases that come, until it ends."""
        while True:
            await self._begun.wait()
            if self._ended:
                return
            self._begun = anyio.Event()
            self._feed = LeaseFeed(self._ranges, self._how, self._plans, partial(from_thread.run_sync, self._worker.hurry))
            waiting, self._waiting = self._waiting, []
            for book in waiting:
                self._feed.add(book)
            lane = Lane(self._client, self._pace, self._feed, self._demands)
            self._session = Run([lane], self.recorder, self._settings, clock=self._clock, observers=[self._worker])
            stop = await self._session.execute()
            self._session = None
            if stop is not None:
                self._worker.stopped(stop)
            self._worker.hurry()

    def take(self, lease: Lease) -> None:
        """One more lease."""
        book = self.recorder.open(lease)
        if self._session is not None and self._feed is not None and not self._feed.closed:
            self._feed.add(book)
        else:
            self._waiting.append(book)
            self._begun.set()

    def drain(self) -> None:
        """There is nothing more to lease at the moment: finish what is there."""
        if self._feed is not None:
            self._feed.close()

    def stop(self, stop: Stop, grace_s: float) -> None:
        """Send nothing more."""
        if self._session is not None:
            self._session.stop(stop, grace_s)
        self.drain()

    def end(self, stop: Stop | None) -> None:
        """It is over; what still runs is given up."""
        self._ended = True
        self.stop(stop or Stop("interrupted", "given up"), 0.0)
        self._begun.set()

    def share(self, share: Share, asked_at: float) -> None:
        """What it may use of the endpoint's limits."""
        self._concurrency.grant(share.concurrency)
        for name, flow in share.flows.items():
            self._buckets[name].grant(flow, asked_at)
        self._pace.pause(share.pause_s, self._clock.monotonic())
        if self._session is not None:
            for pool in self._session.pools:
                pool.wake()

    def use(self) -> Use:
        """What it made of its share."""
        if self._session is not None and self._session.stopped:
            self.drain()
        now = self._clock.monotonic()
        ready = self._session is not None and any(pool.has_ready_work for pool in self._session.pools)
        flows = {name: bucket.take_use(now, ready=ready) for name, bucket in self._buckets.items()}
        return self._concurrency.take_use(now, ready=ready, pause_s=self._pace.paused(now), flows=flows)

    def wanted(self) -> int:
        """How many more leases it could take: so that it does not run dry until the check-in after the next."""
        settled, self._settled = self.recorder.settled - self._settled, self.recorder.settled
        if self._ended or (self._session is not None and self._session.stopped):
            return 0
        tasks_per_shard = self._rows_per_shard * len(self._variants) * self._settings.repeats
        ahead = len(self._waiting) + (self._feed.ahead if self._feed is not None and not self._feed.closed else 0)
        return max(0, 1 + 2 * settled // tasks_per_shard - ahead)

    def _plans(self, book: Book) -> list[Plan]:
        lease = book.lease
        plans = []
        for variant in self._variants:
            known = self._known[variant.name]
            plan = Plan(variant.name, self._builders[variant.name], known)
            if lease.generation > 1:
                name = Name(self._assignment.numbers[variant.name], lease.shard.number, lease.generation)
                earlier = ResumeIndex.of(earlier_segments(self.recorder.journal_dir(variant), name))
                plan = replace(plan, index=Overlaid(known, earlier))
            plans.append(plan)
        return plans
