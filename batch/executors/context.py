"""The input of an executor: a prepared run, its checked endpoints, and the ways to report and to be stopped."""

from __future__ import annotations

import signal
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

import anyio

from batch.clock import Clock
from batch.engine.feed import FeedOptions, Plan
from batch.engine.stop import Stop
from batch.events import Event, Notice, Observer
from batch.executors.batch_options import BatchOptions
from batch.executors.control import Control
from batch.executors.sharding import ShardPlan
from batch.executors.stopping import IN_FLIGHT, Stoppable, Stopper, watch
from batch.journal.done import DoneTasks
from batch.journal.index import ResumeIndex
from batch.journal.writer import JournalWriter
from batch.policy.redaction import ApiKeys
from batch.readers import Dataset
from batch.readers.builders import request_builder
from batch.records import ErrorInfo
from batch.rundir.local import RunDirectory
from batch.rundir.stored_run import StoredRun
from batch.settings import Job, ProviderSettings, RunSettings, Variant
from batch.tally import Tally
from batch.transport.client import Client


@dataclass(frozen=True, slots=True)
class PreparedRun:
    """A run with its open journals, or with the `sharding` of its rows, whose journals the workers open.

    `may_differ` says that requests of finished rows may differ from what was sent; `notices` are sentences for people.
    """

    run: StoredRun
    journals: Mapping[str, JournalWriter]
    indexes: Mapping[str, ResumeIndex | DoneTasks]
    tallies: dict[str, Tally]
    may_differ: bool
    notices: tuple[str, ...]
    sharding: ShardPlan | None = None

    @property
    def job(self) -> Job:
        """The job that is run."""
        return self.run.job

    @property
    def directory(self) -> RunDirectory:
        """The run directory; this process has its lock."""
        return self.run.directory

    @property
    def dataset(self) -> Dataset:
        """The input."""
        return self.run.dataset


@dataclass(frozen=True, slots=True)
class EndpointGroup:
    """Variants that share an endpoint, or a pool of equal ones, with a client for each. `unready` says why some cannot be reached yet."""

    variants: Sequence[Variant]
    providers: Sequence[ProviderSettings]
    clients: Sequence[Client]
    unready: Mapping[Client, ErrorInfo]


@dataclass(frozen=True, slots=True)
class StopSource:
    """The sources of stop requests: `signals`, received in the main thread only, and the `stopper`, from any thread."""

    signals: Sequence[signal.Signals] = ()
    stopper: Stopper = field(default_factory=Stopper)


@dataclass(frozen=True, slots=True)
class RunContext:
    """One run, ready to send. `settings` are the job's, lowered to what this machine allows; the variants have their base URLs."""

    prepared: PreparedRun
    settings: RunSettings
    groups: Sequence[EndpointGroup]
    keys: ApiKeys
    feed_options: FeedOptions
    clock: Clock
    observers: Sequence[Observer]
    stop_source: StopSource
    control: Control
    batch: BatchOptions = field(default_factory=BatchOptions)

    @property
    def job(self) -> Job:
        """The job that is run."""
        return self.prepared.job

    def notify(self, event: Event) -> None:
        """Pass an event to all observers."""
        for observer in self.observers:
            observer.notify(event)

    def report(self, text: str) -> None:
        """Pass a sentence for people to all observers."""
        self.notify(Notice(text))

    def plans(self, group: EndpointGroup, *, stream: bool) -> list[Plan]:
        """Return what of each variant of a group is done, and how its requests are built."""
        return [Plan(v.name, request_builder(v, stream=stream), self.prepared.indexes[v.name]) for v in group.variants]

    async def supervise(self, stoppable: Stoppable, run: Callable[[], Awaitable[Stop | None]], stopping: str = IN_FLIGHT) -> Stop | None:
        """Run to the end while signals and the stopper can drain or abort `stoppable`; `stopping` is said at the first."""
        async with anyio.create_task_group() as group:
            # Started before the run: a signal that comes first must find its receiver.
            await group.start(watch, stoppable, self.stop_source.signals, self.stop_source.stopper, self.report, stopping)
            stop = await run()
            group.cancel_scope.cancel()
        return stop
