"""Runs one worker, in a local process or on Ray: one engine over the shards that the coordinator leases to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from copy import deepcopy
from dataclasses import replace

import anyio
import anyio.to_thread

from batch.clock import Clock, SystemClock
from batch.engine import endpoints
from batch.engine.costs import Costs
from batch.engine.monitor import close_all
from batch.engine.refused_variants import stopped_alone
from batch.engine.steering import Steering
from batch.engine.stop import Stop
from batch.errors import SetupError, StorageError
from batch.events import Event, Notice, UnexpectedError
from batch.executors.workers.housekeeper import ENDING_S, Housekeeper
from batch.executors.workers.merger import Merger
from batch.executors.workers.messages import Assignment, Grant, Link, LinkError, Report
from batch.executors.workers.worker_queue import WorkerQueue
from batch.journal.done import DoneTasks
from batch.journal.shared_index import SharedIndex, open_shared
from batch.policy.limits.leased_budget import BudgetUsage, LeasedBudget
from batch.policy.redaction import ApiKeys
from batch.settings import RunSettings, Variant
from batch.tally import Tally
from batch.transport.client import Client

# The shortest time between two check-ins, however urgent.
SHORTEST_INTERVAL_S = 0.005


async def work(assignment: Assignment, keys: ApiKeys, link: Link, *, clock: Clock | None = None) -> None:
    """Work until the coordinator ends the run or is gone; requests in flight are abandoned in the latter case.

    Raises SetupError, and whatever else keeps a worker from starting.
    """
    clock = clock or SystemClock()
    variants = assignment.job.variants
    groups = endpoints.by_endpoint(variants)
    notices: list[str] = []
    pools = [endpoints.each_url(group[0].provider) for group in groups]
    allowed = endpoints.allow_connections(assignment.job.run, sum(map(len, pools)), notices.append)
    settings = replace(allowed, max_failures="100%", max_bytes_in_flight=allowed.max_bytes_in_flight // len(groups))
    indexes = await anyio.to_thread.run_sync(_open_indexes, assignment)
    async with endpoints.clients(pools, keys, settings, clock) as clients:
        worker = Worker(assignment, settings, list(zip(groups, clients, strict=True)), indexes, link, clock, notices)
        with suppress(LinkError):
            await worker.run()


def _open_indexes(assignment: Assignment) -> dict[str, SharedIndex | DoneTasks]:
    """Open the index of earlier sessions for each variant. Raises SetupError when it cannot be read."""
    try:
        return {variant.name: open_shared(assignment.indexes.get(variant.name)) for variant in assignment.job.variants}
    except StorageError as error:
        raise SetupError(str(error)) from error


class Worker:
    """One worker of a run; `parts` are (variants, clients) of each queue, `indexes` hold what earlier sessions recorded, by variant."""

    def __init__(
        self,
        assignment: Assignment,
        settings: RunSettings,
        parts: Sequence[tuple[Sequence[Variant], Sequence[Client]]],
        indexes: Mapping[str, SharedIndex | DoneTasks],
        link: Link,
        clock: Clock,
        notices: list[str],
    ) -> None:
        self._name = assignment.worker
        self._link = link
        self._clock = clock
        self._events: list[Notice | UnexpectedError] = [Notice(text) for text in notices]
        self._budget = None if settings.max_cost_usd is None else LeasedBudget(settings.max_cost_usd)
        self._costs = Costs(assignment.prices, assignment.job.variants, self._budget)
        self._tallies = {variant.name: Tally() for variant in assignment.job.variants}
        self._queues = [
            WorkerQueue(assignment, settings, variants, clients, indexes, self, clock, self._tallies, self._costs)
            for variants, clients in parts
        ]
        self._stop: Stop | None = None
        self._urgent = anyio.Event()
        self._steering: Steering | None = None
        self._housekeeper = None if assignment.parts is None else Housekeeper(assignment.parts)
        directory = self._queues[0].directory
        self._merger = None if directory.is_local else Merger(directory)
        self._writes_parts = assignment.parts is not None and assignment.parts.plan is not None

    async def run(self) -> None:
        """Send what is leased, until the run is over. Raises LinkError."""
        # Nothing is written any more once the coordinator is gone: another session may be at work.
        patience_s = 0.0
        try:
            async with anyio.create_task_group() as group:
                for number, queue in enumerate(self._queues):
                    queue.open_monitor(number, len(self._queues))
                    group.start_soon(queue.run)
                if self._merger is not None:
                    group.start_soon(self._merger.run)
                await self._check_in_regularly()
                if self._merger is not None:
                    self._merger.end()
            patience_s = ENDING_S
        except BaseExceptionGroup as group_error:
            lost = group_error.subgroup(LinkError)
            if lost is None:
                raise
            raise LinkError from group_error
        finally:
            for queue in self._queues:
                queue.recorder.close()
            close_all(queue.monitor for queue in self._queues)
            if self._housekeeper is not None:
                with anyio.CancelScope(shield=True):
                    await anyio.to_thread.run_sync(self._housekeeper.close, patience_s)
        await self._link.checkin(self._report(ended=True))

    def notify(self, event: Event) -> None:
        """Add what the engine reports to the next report."""
        if isinstance(event, Notice | UnexpectedError):
            self._events.append(event)

    def hurry(self) -> None:
        """Check in now."""
        self._urgent.set()

    def stopped(self, stop: Stop) -> bool:
        """Report that a queue was stopped; returns whether that stops the run: others continue where the queue's endpoint is at fault."""
        self.hurry()
        if stop.cause == "refused" and self._stop is None and not all(queue.given_up for queue in self._queues):
            self._events += [stopped_alone(name, queue.given_up) for queue in self._queues if queue.given_up for name in queue.variants]
            return False
        # Only the first reason is reported: later ones follow from it.
        self._stop = self._stop or stop
        return True

    async def _check_in_regularly(self) -> None:
        while True:
            asked_at = self._clock.monotonic()
            grant = await self._link.checkin(self._report())
            self._apply(grant, asked_at)
            if grant.over or (grant.stop is not None and not any(queue.is_running for queue in self._queues)):
                break
            with anyio.move_on_after(grant.again_s):
                await self._urgent.wait()
            # However often `hurry` is called, the coordinator is not flooded.
            await anyio.sleep(max(0.0, asked_at + SHORTEST_INTERVAL_S - self._clock.monotonic()))
            self._urgent = anyio.Event()
        for queue in self._queues:
            queue.end(grant.stop if grant.over else None)

    def _report(self, *, ended: bool = False) -> Report:
        events, self._events = tuple(self._events), []
        in_memory = {key: in_memory for queue in self._queues for key, in_memory in queue.recorder.in_memory.items()}
        dollars = sum(each.dollars for of_lease in in_memory.values() for each in of_lease.values())
        unrecorded = self._costs.unrecorded + dollars
        return Report(
            self._name,
            # A copy: the link may send it later, while the engine counts on.
            deepcopy(self._tallies),
            tuple(use for queue in self._queues for use in queue.usages()),
            tuple(queue.wanted() for queue in self._queues),
            tuple(key for queue in self._queues for key in queue.recorder.take_done()),
            {key: written for queue in self._queues for key, written in queue.recorder.written.items()},
            {key: {variant: each.counts for variant, each in of_lease.items()} for key, of_lease in in_memory.items()},
            tuple(example for queue in self._queues for example in queue.recorder.take_examples()),
            self._budget.use(unrecorded) if self._budget is not None else BudgetUsage(0.0, 0.0, 0.0, unrecorded),
            events,
            frozenset(number for number, queue in enumerate(self._queues) if queue.is_abandoned),
            self._stop,
            ended,
            self._housekeeper.take_written() if self._housekeeper is not None else (),
            self._writes_parts and self._housekeeper is not None and self._housekeeper.is_free,
        )

    def _steer(self, steering: Steering) -> None:
        if steering.max_cost_usd is None:
            self._budget = None
            self._costs.change_budget(None)
        elif self._budget is None:
            self._budget = LeasedBudget(steering.max_cost_usd)
            self._costs.change_budget(self._budget)
        else:
            self._budget.cap = steering.max_cost_usd
        for queue in self._queues:
            queue.steer(steering)

    def _keep_house(self, grant: Grant) -> None:
        """Let the journals of finished leases be summarized, or their objects merged, and a part be written."""
        for slug, lease, files in [each for key in grant.done for each in self._queues[key[0]].finished(key)]:
            if self._merger is not None:
                self._merger.add(slug, lease, files - 1)
            elif self._housekeeper is not None:
                self._housekeeper.summarize(slug, lease, files)
        if grant.part is not None and self._housekeeper is not None:
            self._housekeeper.write(grant.part)

    def _apply(self, grant: Grant, asked_at: float) -> None:
        if grant.steering is not None and grant.steering != self._steering:
            self._steering = grant.steering
            self._steer(grant.steering)
        for queue in self._queues:
            queue.refuse(grant.refused)
        if grant.budget is not None and self._budget is not None:
            self._budget.grant(grant.budget)
        shares = iter(grant.shares)
        for queue in self._queues:
            queue.share(shares, asked_at)
        for lease in grant.leases:
            self._queues[lease.queue].take(lease)
        self._keep_house(grant)
        for queue, drained in zip(self._queues, grant.drained, strict=False):
            if drained:
                queue.drain()
        if grant.stop is not None:
            self._stop = self._stop or grant.stop
            for queue in self._queues:
                queue.stop(grant.stop, grant.grace_s)
