"""The live executor: sends from this process, or from worker processes on this machine where the job asks for several."""

from __future__ import annotations

import random
from collections.abc import Container, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial

from batch.engine import endpoints
from batch.engine.answer_checks import answer_checks_of
from batch.engine.bundles import BundledSource, sizes_of
from batch.engine.byte_limit import ByteLimit
from batch.engine.dedupe import Duplicates
from batch.engine.endpoint_pool import EndpointPool
from batch.engine.endpoint_queue import EndpointQueue
from batch.engine.feed import Feed, Plan, Source
from batch.engine.limiter import EndpointLimiter
from batch.engine.monitor import close_all
from batch.engine.recorder import Recorder
from batch.engine.session import Session
from batch.engine.stop import Stop
from batch.engine.work import PooledEndpoint
from batch.executors import Ended
from batch.executors.context import EndpointGroup, RunContext
from batch.executors.costs import costs_of
from batch.executors.live.dedupe import duplicates_of, in_passes
from batch.executors.live.race import open_race
from batch.executors.live.target import LiveTarget
from batch.executors.sharding import ShardPlan, shard_for_processes
from batch.executors.watching import ALONE, open_monitor, open_traces
from batch.readers import Dataset
from batch.settings import Job


def make_executor(address: str | None) -> LiveExecutor:
    """Make the executor; it takes no address."""
    del address
    return LiveExecutor()


class LiveExecutor:
    """Runs one session over all endpoints, or hands a sharded run to worker processes."""

    needs_records = False

    def check(self, job: Job) -> None:
        """Accept every job."""

    def shard(self, job: Job, dataset: Dataset) -> ShardPlan | None:
        """Divide the rows where the job asks for several processes. Raises InputError."""
        return shard_for_processes(job, dataset)

    def connected(self) -> AbstractContextManager[None]:
        """Hold nothing."""
        return nullcontext()

    async def execute(self, context: RunContext) -> Ended:
        """Send what is left."""
        if context.prepared.sharding is not None:
            # Twenty modules that most runs do without.
            from batch.executors.workers.executor import run_local_workers

            return await run_local_workers(context)
        return await _run_session(context)


async def _run_session(context: RunContext) -> Ended:
    prepared, settings = context.prepared, context.settings
    costs = costs_of(prepared.run)
    # A session that sends rows again would be judged by answers that it is about to replace.
    race = open_race(prepared, context.report, looking=not context.feed_options.retry_failed and context.feed_options.changed != "rerun")
    stopped, duplicates = race.stopped if race else set(), duplicates_of(prepared)
    plans = [context.plans(group, stream=settings.stream) for group in context.groups]
    feeds = [_feed(context, own, duplicates, stopped) for own in plans]
    queues = [queue_of(group, feed, context, at) for at, (group, feed) in enumerate(zip(context.groups, feeds, strict=True))]
    for notice in probed(context.groups, queues, context.clock.monotonic()):
        context.report(notice)
    recorder = Recorder(prepared.journals, prepared.tallies, context.clock, costs)

    async def run_queues(queues: Sequence[EndpointQueue]) -> Stop | None:
        session = Session(queues, recorder, costs, settings, clock=context.clock, observers=context.observers)
        target = LiveTarget(context, session, costs, [plan for own in plans for plan in own])
        async with context.control.attached(target):
            return await context.supervise(session, partial(race.run, session) if race else session.execute)

    try:
        stop = await in_passes(prepared, queues, plans, duplicates, run_queues, context.report)
    finally:
        close_all(queue.monitor for queue in queues)
    return Ended(stop, costs.unrecorded)


def probed(groups: Sequence[EndpointGroup], queues: Sequence[EndpointQueue], now: float) -> Iterator[str]:
    """Set endpoints that could not be reached to be probed from the start; yields a sentence for each."""
    for group, queue in zip(groups, queues, strict=True):
        for endpoint in queue.endpoint_pool.endpoints:
            if endpoint.client in group.unready:
                yield endpoint.limiter.unready(group.unready[endpoint.client], now)


def queue_of(group: EndpointGroup, feed: Source, context: RunContext, number: int) -> EndpointQueue:
    """Make the queue of an endpoint, or of a pool of equal ones, with a limiter for each. `number` tells it apart from the run's others."""
    settings = context.settings
    names = [endpoints.endpoint_name(provider, pooled=len(group.providers) > 1) for provider in group.providers]
    pooled = [
        PooledEndpoint(client, EndpointLimiter(name, settings, rng=random.Random()))  # noqa: S311 - jitter is no secret
        for client, name in zip(group.clients, names, strict=True)
    ]
    variants = [variant.name for variant in group.variants]
    pool = EndpointPool(
        group.providers[0].name,
        pooled,
        cuts_prompts=group.providers[0].cuts_prompts,
        variants=variants,
        order=settings.order,
        byte_limit=ByteLimit(settings.max_bytes_in_flight // len(context.groups)),
        own_models=[variant.name for variant in group.variants if variant.rows_name_models],
    )
    directory = context.prepared.directory
    traces = open_traces(settings, directory, group.variants, context.report)
    monitor = open_monitor(directory, f"{ALONE}-{number}", len(context.groups), context.clock, context.report, traces)
    return EndpointQueue(pool, feed, answer_checks_of(group.variants, settings), monitor=monitor)


def _feed(context: RunContext, plans: Sequence[Plan], duplicates: Mapping[str, Duplicates], stopped: Container[str]) -> Source:
    feed = Feed(
        context.prepared.dataset,
        plans,
        context.feed_options,
        duplicate_filters=duplicates,
        skipped=stopped,
    )
    sizes = sizes_of(plans)
    return BundledSource(feed, sizes) if sizes else feed
