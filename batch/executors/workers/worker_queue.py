"""Runs the leases of one endpoint in a worker, within the worker's share of the endpoint's limits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Protocol

import anyio
from anyio import from_thread

from batch.clock import Clock
from batch.engine.answer_checks import answer_checks_of
from batch.engine.byte_limit import ByteLimit
from batch.engine.costs import Costs
from batch.engine.endpoint_pool import EndpointPool
from batch.engine.endpoint_queue import EndpointQueue
from batch.engine.endpoints import each_url, endpoint_name
from batch.engine.feed import Feed, FeedOptions, Plan
from batch.engine.monitor import PoolMonitor
from batch.engine.refused_variants import RefusedVariants
from batch.engine.session import Session
from batch.engine.steering import Steering
from batch.engine.stop import Stop
from batch.events import Notice, Observer
from batch.executors.watching import open_monitor, open_traces, workers_of
from batch.executors.workers.lease_feed import LeaseFeed
from batch.executors.workers.lease_recorder import LeaseJournals, LeaseRecorder
from batch.executors.workers.leased_endpoint import LeasedEndpoint
from batch.executors.workers.messages import Assignment, Lease, LeaseKey
from batch.journal.done import DoneTasks
from batch.journal.index import ResumeIndex
from batch.journal.lines import task_hash
from batch.journal.segment_name import SegmentName
from batch.journal.shared_index import LayeredIndex, SharedIndex
from batch.journal.writer import LeasedJournalWriter
from batch.policy.limits.shared import LimitShare, LimitUsage
from batch.prompts.columns import needed_columns
from batch.readers import Dataset
from batch.readers.builders import request_builder
from batch.readers.ranges import Ranges
from batch.records import Task
from batch.rundir.opening import open_run_directory
from batch.settings import RunSettings, Variant
from batch.tally import Tally
from batch.transport.client import Client


class WorkerHandle(Observer, Protocol):
    """The worker, as its queues see it."""

    def hurry(self) -> None:
        """Check in now."""

    def stopped(self, stop: Stop) -> bool:
        """Report that a queue was stopped; returns whether that stops the run."""


class WorkerQueue:
    """Runs the engine over the leases of one endpoint or pool; `tallies` and `costs` are the worker's."""

    def __init__(
        self,
        assignment: Assignment,
        settings: RunSettings,
        variants: Sequence[Variant],
        clients: Sequence[Client],
        indexes: Mapping[str, SharedIndex | DoneTasks],
        worker: WorkerHandle,
        clock: Clock,
        tallies: Mapping[str, Tally],
        costs: Costs,
    ) -> None:
        job = assignment.job
        self._costs = costs
        self._assignment, self._settings = assignment, settings
        self._numbers = assignment.numbers
        self._worker, self._clock = worker, clock
        self._variants = variants
        self._answer_checks = answer_checks_of(variants, settings)
        provider = variants[0].provider
        names = [endpoint_name(each, pooled=len(clients) > 1) for each in each_url(provider)]
        self._endpoints = [LeasedEndpoint(name, client, settings) for name, client in zip(names, clients, strict=True)]
        self._endpoint_pool = EndpointPool(
            provider.name,
            [endpoint.pooled for endpoint in self._endpoints],
            cuts_prompts=provider.cuts_prompts,
            order=settings.order,
            variants=[variant.name for variant in variants],
            byte_limit=ByteLimit(settings.max_bytes_in_flight),
            own_models=[variant.name for variant in variants if variant.rows_name_models],
        )
        self._refused = RefusedVariants(self._endpoint_pool.variants)
        self.directory = self._directory = open_run_directory(assignment.directory)
        self.monitor = PoolMonitor(None, clock)
        self.recorder = LeaseRecorder(variants, self._open_journal, tallies, clock, costs, worker.hurry)
        self._dataset = Dataset(job.input, assignment.drawn, needed_columns(job))
        self._ranges = Ranges(self._dataset)
        self._options = FeedOptions(
            settings.repeats,
            job.input.id is not None,
            assignment.compare,
            assignment.changed,
            assignment.retry_failed,
            order=settings.order,
        )
        self._builders = {variant.name: request_builder(variant, stream=settings.stream) for variant in variants}
        self._open_indexes = indexes
        self._steering = Steering.of(settings)
        self._begun_before = self._begun_lately = 0
        self._feed: LeaseFeed | None = None
        self._waiting: list[LeaseJournals] = []
        self._session: Session | None = None
        self._begun = anyio.Event()
        self._ended = False
        self.given_up: Stop | None = None
        self.is_abandoned = False

    @property
    def variants(self) -> Sequence[str]:
        """The names of all variants that are sent to this endpoint."""
        return self._endpoint_pool.variants

    @property
    def is_running(self) -> bool:
        """Whether the engine runs."""
        return self._session is not None

    def open_monitor(self, number: int, queues: int) -> None:
        """Keep what is seen in the run directory; it is the worker's queue `number` of `queues`."""
        name, share = f"{self._assignment.worker}-{number}", workers_of(self._settings) * queues
        traces = open_traces(self._settings, self._directory, self._variants, self._report)
        self.monitor = open_monitor(self._directory, name, share, self._clock, self._report, traces)

    def _report(self, text: str) -> None:
        self._worker.notify(Notice(text))

    async def run(self) -> None:
        """Send the rows of incoming leases, until the queue ends."""
        while True:
            await self._begun.wait()
            if self._ended:
                return
            self._begun = anyio.Event()
            if self.given_up is not None:
                continue
            self._begun_before += self._feed.begun if self._feed is not None else 0
            self._feed = LeaseFeed(
                self._ranges, self._options, self._plans, partial(from_thread.run_sync, self._worker.hurry), self._answered_before
            )
            waiting, self._waiting = self._waiting, []
            for lease_journals in waiting:
                self._feed.add(lease_journals)
            queue = EndpointQueue(self._endpoint_pool, self._feed, self._answer_checks, self._refused, self.monitor)
            self._session = Session([queue], self.recorder, self._costs, self._settings, clock=self._clock, observers=[self._worker])
            self._session.steer(self._steering)
            stop = await self._session.execute()
            self._session = None
            # A variant that is stopped alone does not stop the run: the coordinator hears of it by its event.
            if stop is not None and stop is not self._refused.first and not self._ended:
                self._give_up(stop)
            self._worker.hurry()

    def take(self, lease: Lease) -> None:
        """Add a lease."""
        lease_journals = self.recorder.open(lease)
        if self.is_abandoned:
            # It was granted before the coordinator heard of it.
            self.recorder.give_up()
        elif self._session is not None and self._feed is not None and not self._feed.closed:
            self._feed.add(lease_journals)
        else:
            self._waiting.append(lease_journals)
            self._begun.set()

    def refuse(self, stops: Mapping[str, Stop]) -> None:
        """Send no more of variants that other workers have stopped; variants of other queues are ignored."""
        for variant, stop in stops.items():
            if self._session is not None:
                for pool in self._session.pools:
                    pool.refuse(variant, stop)
            elif self._refused.refuse([variant], stop) is None:
                self._give_up(stop)

    def steer(self, steering: Steering) -> None:
        """Keep to other limits, and pause or resume."""
        self._steering = steering
        now = self._clock.monotonic()
        for endpoint in self._endpoints:
            endpoint.steer(steering, now)
        if self._session is not None:
            self._session.steer(steering)

    def drain(self) -> None:
        """Finish the leases at hand: nothing more can be leased at the moment."""
        if self._feed is not None:
            self._feed.close()

    def stop(self, stop: Stop, grace_s: float) -> None:
        """Send nothing more."""
        if self._session is not None:
            self._session.stop(stop, grace_s)
        self.drain()

    def end(self, stop: Stop | None) -> None:
        """End the queue; requests in flight are abandoned."""
        self._ended = True
        self.stop(stop or Stop("interrupted", "given up"), 0.0)
        self._begun.set()

    def share(self, shares: Iterator[LimitShare], asked_at: float) -> None:
        """Set the shares of the endpoints' limits; takes one of `shares` for each endpoint."""
        now = self._clock.monotonic()
        # The next queue takes its own from the same iterator: only as many are taken as this queue has endpoints.
        for endpoint, share in zip(self._endpoints, shares, strict=False):
            endpoint.grant(share, asked_at, now)
        if self._session is not None:
            for pool in self._session.pools:
                pool.wake()

    def usages(self) -> list[LimitUsage]:
        """Return the use of each endpoint's share."""
        if self._session is not None and self._session.stopped:
            self.drain()
        now = self._clock.monotonic()
        ready = self._session is not None and any(pool.has_ready_work for pool in self._session.pools)
        return [endpoint.take_use(now, ready=ready) for endpoint in self._endpoints]

    def wanted(self) -> int:
        """Return how many more leases it can take without running dry before the check-in after the next."""
        begun = self._begun_before + (self._feed.begun if self._feed is not None else 0)
        lately, self._begun_lately = begun - self._begun_lately, begun
        if self._ended or self.given_up is not None or (self._session is not None and self._session.stopped):
            return 0
        # Leases that a closed feed still has cannot be started by it: they do not count.
        ahead = len(self._waiting) + (self._feed.ahead if self._feed is not None and not self._feed.closed else 0)
        return max(0, 1 + 2 * lately - ahead)

    def finished(self, key: LeaseKey) -> list[tuple[str, SegmentName, int]]:
        """Return, once, the journals of a finished lease: folder, name, and the number of files, or of objects plus one."""
        _, shard, generation = key
        files = self.recorder.take_files(key)
        names = {variant.name: SegmentName(self._numbers[variant.name], shard, generation) for variant in self._variants}
        return [(variant.slug, names[variant.name], files[variant.name]) for variant in self._variants if variant.name in files]

    def _give_up(self, stop: Stop) -> None:
        """Send nothing more to this endpoint; return its leases if the run continues without."""
        if self.given_up is None:
            self.given_up = stop
            self.is_abandoned = not self._worker.stopped(stop)
            if self.is_abandoned:
                self.recorder.give_up()

    @property
    def _sent(self) -> list[Variant]:
        return [variant for variant in self._variants if variant.name not in self._refused]

    def _answered_before(self) -> Sequence[Task]:
        """Return tasks to test the endpoint with, which any worker may have had answered: they need not be of this one's leases."""
        if self._endpoint_pool.references:
            return ()
        plans = [Plan(variant.name, self._builders[variant.name], self._open_indexes[variant.name]) for variant in self._sent]
        return Feed(self._dataset, plans, self._options).answered()

    def _open_journal(self, variant: Variant, lease: Lease) -> LeasedJournalWriter:
        return self._directory.open_lease(variant.slug, self._segment(variant, lease), self._settings)

    def _segment(self, variant: Variant, lease: Lease) -> SegmentName:
        return SegmentName(self._assignment.numbers[variant.name], lease.shard.number, lease.generation)

    def _plans(self, lease_journals: LeaseJournals) -> list[Plan]:
        lease = lease_journals.lease
        plans = []
        for variant in self._sent:
            indexes = self._open_indexes[variant.name]
            plan = Plan(variant.name, self._builders[variant.name], indexes)
            if lease.generation > 1:
                # An earlier holder of this lease was lost: what it recorded is not sent again.
                plan = replace(plan, index=self._with_earlier(indexes, variant, lease))
            plans.append(plan)
        return plans

    def _with_earlier(self, index: SharedIndex | DoneTasks, variant: Variant, lease: Lease) -> LayeredIndex | DoneTasks:
        """Add what earlier holders of the lease have recorded; their failures are final, but for the tasks that the user sends again."""
        segment, by_id = self._segment(variant, lease), self._options.by_id
        retried = [task for task in lease.retried if task.variant == variant.name]
        if isinstance(index, DoneTasks):
            earlier = self._directory.earlier(variant.slug, segment, DoneTasks.of)
            return index.then(earlier, [(task.ordinal, task.repeat) for task in retried])
        hashes = {task_hash(task.id if by_id else None, task.ordinal, task.repeat) for task in retried}
        return LayeredIndex(index, self._directory.earlier(variant.slug, segment, ResumeIndex.of), hashes)
