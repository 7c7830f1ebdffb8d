"""The Batch API executor: rows go into batches at the providers, and what those leave undone is sent live, if the job wants that."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractContextManager, AsyncExitStack, asynccontextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial

import anyio.to_thread

from batch.engine.answer_checks import answer_checks_of
from batch.engine.costs import Costs
from batch.engine.endpoint_queue import EndpointQueue
from batch.engine.endpoints import endpoint_name
from batch.engine.feed import Feed, Plan
from batch.engine.monitor import close_all
from batch.engine.recorder import Recorder
from batch.engine.session import Session
from batch.engine.stop import Stop
from batch.errors import SetupError
from batch.events import BatchProgress, Progressed
from batch.executors import Ended
from batch.executors.batch_api.builder import ShardBuilder
from batch.executors.batch_api.collector import Collector
from batch.executors.batch_api.endpoint import BatchEndpoint, BatchTimes
from batch.executors.batch_api.failures import BatchFailures
from batch.executors.batch_api.known import KnownTasks, RestSource
from batch.executors.batch_api.money import BatchMoney
from batch.executors.batch_api.provider import BatchProvider
from batch.executors.batch_api.session import BatchSession
from batch.executors.batch_api.shard_files import ShardFiles
from batch.executors.batch_api.submissions import Submission, Submissions
from batch.executors.batch_api.watching import Watcher
from batch.executors.batch_api.webhook import receiving
from batch.executors.context import EndpointGroup, RunContext
from batch.executors.costs import prices_of, run_spent_usd
from batch.executors.live.dedupe import duplicates_of, in_passes
from batch.executors.live.executor import probed, queue_of
from batch.executors.sharding import ShardPlan
from batch.journal.index import ResumeIndex
from batch.policy.budget import Spending
from batch.readers import Dataset
from batch.rundir.local import RunDirectory
from batch.settings import Job
from batch.transport.control import ControlClient

# Tasks of a batch are in memory while it is collected: 300 bytes each.
_MOST_REQUESTS = 100_000


def make_executor(address: str | None) -> BatchApiExecutor:
    """Make the executor; it takes no address."""
    del address
    return BatchApiExecutor()


class BatchApiExecutor:
    """Submits batches, collects them, and sends the rest live."""

    # What an interrupted collection has journaled is known by request key, which summaries do not have.
    needs_records = True

    def check(self, job: Job) -> None:
        """Refuse a job with a model whose provider has no Batch API that promptmill speaks. Raises SetupError."""
        for variant in job.variants:
            api, provider = variant.provider.batch, variant.provider.name
            if api is None:
                raise SetupError(
                    f"{variant.name}: provider {provider} has no Batch API that promptmill speaks; use --engine live, or say of a provider"
                    f' of your own what its Batch API is like: [provider.{provider}] batch = "files"'
                )
            if api.apis is not None and not variant.prompt.stored and variant.prompt.api not in api.apis:
                raise SetupError(
                    f"{variant.name}: the Batch API of {provider} takes {', '.join(api.apis)} only:"
                    f' set [prompt] api = "{api.apis[0]}", or use --engine live'
                )
        if job.run.race is not None:
            raise SetupError("run.race needs answers as they come, which a Batch API does not give: remove it, or use --engine live")

    def shard(self, job: Job, dataset: Dataset) -> ShardPlan | None:
        """Use one process: a provider does the work."""
        del job, dataset
        return None

    def connected(self) -> AbstractContextManager[None]:
        """Hold nothing."""
        return nullcontext()

    async def execute(self, context: RunContext) -> Ended:
        """Submit what is left, collect what was submitted, and send the rest live. Raises SetupError."""
        async with _opened(context) as running:
            return await running.run()


@dataclass(slots=True)
class _Running:
    """One session with its parts."""

    context: RunContext
    batches: BatchSession
    live_costs: Costs

    async def run(self) -> Ended:
        context = self.context
        duplicates = duplicates_of(context.prepared)
        # Batches are not streamed, and what they leave is sent in the same words.
        plans = [context.plans(group, stream=False) for group in context.groups]
        feeds = [Feed(context.prepared.dataset, own, context.feed_options, duplicate_filters=duplicates) for own in plans]
        queues = [queue_of(group, feed, context, at) for at, (group, feed) in enumerate(zip(context.groups, feeds, strict=True))]
        try:
            stop = await in_passes(context.prepared, queues, plans, duplicates, partial(self._execute, plans), context.report)
        finally:
            close_all(queue.monitor for queue in queues)
        return Ended(stop, self.live_costs.unrecorded)

    async def _execute(self, plans: Sequence[Sequence[Plan]], queues: Sequence[EndpointQueue]) -> Stop | None:
        context = self.context
        place = context.prepared.directory.place
        stopping = (
            f"stopping: batches that were submitted continue at their providers; promptmill resume {place} collects them,"
            f" promptmill cancel {place} cancels them"
        )
        loop = asyncio.get_running_loop()
        settings = context.job.batch

        def heard() -> None:
            loop.call_soon_threadsafe(self.batches.poll)

        with context.control.polled(self.batches.poll), receiving(settings.webhook, settings.webhook_secret_env, heard, context.report):
            stop = await context.supervise(self.batches, partial(self.batches.run, [queue.feed for queue in queues]), stopping)
        left = len(self.batches.known.undone)
        if stop is not None or not left:
            return stop
        if context.job.batch.rest != "live":
            return Stop("refused", f"{left:,} rows were left undone by batches; the same command submits them again")
        return await self._send_rest(plans, queues, left)

    async def _send_rest(self, plans: Sequence[Sequence[Plan]], queues: Sequence[EndpointQueue], left: int) -> Stop | None:
        context = self.context
        context.report(f"{left:,} rows that batches have left undone are sent live")
        for notice in probed(context.groups, queues, context.clock.monotonic()):
            context.report(notice)
        sources = [RestSource(Feed(context.prepared.dataset, own, context.feed_options), self.batches.known) for own in plans]
        live = [replace(queue, feed=source) for queue, source in zip(queues, sources, strict=True)]
        recorder = Recorder(context.prepared.journals, context.prepared.tallies, context.clock, self.live_costs)
        session = Session(live, recorder, self.live_costs, context.settings, clock=context.clock, observers=context.observers)
        stop = await context.supervise(session, session.execute)
        if stop is None:
            self.batches.known.clear()
        return stop


@asynccontextmanager
async def _opened(context: RunContext) -> AsyncIterator[_Running]:
    """Open the ledger and a client for each provider. Raises DamagedError, StorageError, SetupError."""
    prepared, job = context.prepared, context.job
    async with AsyncExitStack() as stack:
        submissions, files, repaired = await anyio.to_thread.run_sync(_open_files, prepared.directory)
        stack.callback(submissions.close)
        if repaired:
            context.report(repaired)
        indexes = {name: index for name, index in prepared.indexes.items() if isinstance(index, ResumeIndex)}
        known = KnownTasks(files, submissions, job.variants, indexes)
        spending = None
        if job.run.max_cost_usd is not None:
            await anyio.to_thread.run_sync(known.load_rest)
            spending = Spending(job.run.max_cost_usd, run_spent_usd(prepared.directory) + known.pending_usd)
        money = BatchMoney(job.variants, spending)
        recorder = Recorder(prepared.journals, prepared.tallies, context.clock, Costs({}, ()))
        endpoints = [await _endpoint(context, group, files, submissions, stack) for group in context.groups]
        by_variant = {v.name: each for group, each in zip(context.groups, endpoints, strict=True) for v in group.variants}
        checks = answer_checks_of(job.variants, job.run)
        failures = BatchFailures(recorder, job.run)
        collector = Collector(files, submissions.token, failures, money, checks, indexes, context.clock)
        collector.attempts = job.run.attempts
        variants = {v.name: v for v in job.variants}
        watcher = Watcher(
            {each.name: each for each in endpoints},
            variants,
            submissions,
            files,
            known,
            money,
            collector,
            failures,
            job.batch,
            context.clock,
        )

        def notify(progress: BatchProgress) -> None:
            context.notify(Progressed(prepared.tallies, progress))

        session = BatchSession(
            by_variant, variants, submissions, known, money, recorder, watcher, context.batch, context.clock, notify, job.batch.rest
        )
        yield _Running(context, session, Costs(prices_of(job), job.variants, spending))


def _open_files(directory: RunDirectory) -> tuple[Submissions, ShardFiles, str | None]:
    """Open the ledger and the files of batches; the third value says what was repaired. Raises DamagedError, StorageError."""
    ledger = directory.open_ledger()
    submissions, files = Submissions(ledger), ShardFiles(directory)
    files.remove_leftovers(set(submissions.all))
    return submissions, files, ledger.repaired


async def _endpoint(
    context: RunContext, group: EndpointGroup, files: ShardFiles, submissions: Submissions, stack: AsyncExitStack
) -> BatchEndpoint:
    job, provider = context.job, group.providers[0]
    api = provider.batch
    if api is None:
        raise SetupError(f"provider {provider.name} has no Batch API")
    key = context.keys[provider.api_key_env] if provider.api_key_env else None
    client = await stack.enter_async_context(ControlClient(provider, key, context.settings, context.clock))
    name = endpoint_name(provider, pooled=len(group.providers) > 1)
    most = min(api.max_requests, job.batch.max_requests or api.max_requests, _MOST_REQUESTS)
    waiting: deque[Submission] = deque()
    builder = ShardBuilder(name, api, most, files, submissions, waiting.append)
    return BatchEndpoint(
        name,
        BatchProvider(client, api, context.clock, submissions.token),
        builder,
        submissions,
        files,
        context.clock,
        BatchTimes(job.batch.poll_s, job.run.outage_timeout_s),
        job.batch.window,
        context.report,
        waiting,
    )
