"""Messages between the coordinator of a run and its workers: a worker reports what it did, and gets a grant of what it may do.

All can be pickled. Times are durations, since both sides have clocks of their own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from batch.engine.feed import ChangedPolicy
from batch.engine.steering import Steering
from batch.engine.stop import Stop
from batch.events import Notice, UnexpectedError
from batch.executors.shards import Shard
from batch.policy.limits.leased_budget import BudgetShare, BudgetUsage
from batch.policy.limits.shared import LimitShare, LimitUsage
from batch.records import ErrorInfo
from batch.results.part_processes import PartsOrder
from batch.settings import Job, Price
from batch.tally import Tally

LeaseKey = tuple[int, int, int]
"""(queue, shard, generation)"""
TaskKey = tuple[str, int, int]
"""(variant, ordinal, repeat)"""


@dataclass(frozen=True, slots=True)
class RetriedTask:
    """A failed task that the user wants sent again; `code` is the error that this session has counted, None for an earlier session's."""

    variant: str
    ordinal: int
    id: str
    repeat: int
    code: str | None

    @property
    def key(self) -> TaskKey:
        """Identifies the task within its run."""
        return self.variant, self.ordinal, self.repeat


@dataclass(frozen=True, slots=True)
class Lease:
    """A worker's right to send a shard's rows to one endpoint or pool (`queue`: its place in the job), until it is revoked.

    `retried` are failed tasks of the shard to send again. `first` is the generation from which its losses are counted.
    """

    queue: int
    shard: Shard
    generation: int
    retried: tuple[RetriedTask, ...] = ()
    first: int = 1

    @property
    def key(self) -> LeaseKey:
        """Its identity."""
        return self.queue, self.shard.number, self.generation

    @property
    def codes(self) -> dict[TaskKey, str | None]:
        """The code of each retried task."""
        return {task.key: task.code for task in self.retried}


@dataclass(frozen=True, slots=True)
class Example:
    """One failed row, and why."""

    variant: str
    ordinal: int
    id: str
    error: ErrorInfo


@dataclass(frozen=True, slots=True)
class Report:
    """What a worker did: `tallies` since it started (kept counts are negative where it replaced outcomes of earlier sessions).

    `uses` are of all endpoints, queue by queue; `wanted` is the number of shards that each queue could take. `done` are leases whose rows
    all have a durable outcome.
    `written` is the end of the journals of its open leases as counted in `tallies`: by variant, (file of the lease, bytes in it).
    `in_memory` counts the outcomes of `tallies` beyond that end, which are in memory only and are lost when the worker dies.
    `events` are what the engine reported, `examples` failed rows that were not reported yet. `budget` is the use of the run's budget
    (`unrecorded` also without a budget).
    `abandoned` are the queues whose endpoints refuse everything, `stop` is why it cannot continue. `ended` marks its last report.
    `parts` are the parts of the outputs that it is done with; it can take another one if `takes_part`.
    """

    worker: str
    tallies: Mapping[str, Tally] = field(default_factory=dict)
    usages: tuple[LimitUsage, ...] = ()
    wanted: tuple[int, ...] = ()
    done: tuple[LeaseKey, ...] = ()
    written: Mapping[LeaseKey, Mapping[str, tuple[int, int]]] = field(default_factory=dict)
    in_memory: Mapping[LeaseKey, Mapping[str, Tally]] = field(default_factory=dict)
    examples: tuple[Example, ...] = ()
    budget: BudgetUsage | None = None
    events: tuple[Notice | UnexpectedError, ...] = ()
    abandoned: frozenset[int] = frozenset()
    stop: Stop | None = None
    ended: bool = False
    parts: tuple[int, ...] = ()
    takes_part: bool = False


@dataclass(frozen=True, slots=True)
class Grant:
    """What a worker may do until it checks in again, in `again_s` seconds at the latest.

    `leases` are new ones. `shares` are the worker's shares of each endpoint's limits, queue by queue. `drained` says for each queue
    that nothing can be leased at the moment (a shard whose worker dies may come back). `refused` are the variants that are not sent any
    more, and why. `stop` ends all sending; requests in flight get
    `grace_s` to end. `over` means that everything is done, or that the worker was abandoned: the worker ends. `steering` are the limits
    that the user has set since the start; None where none were. `done` are the reported leases that count as done: their journals are
    the worker's to put in order. `part` is a part of the outputs to write.
    """

    leases: tuple[Lease, ...] = ()
    shares: tuple[LimitShare, ...] = ()
    drained: tuple[bool, ...] = ()
    budget: BudgetShare | None = None
    refused: Mapping[str, Stop] = field(default_factory=dict)
    again_s: float = 0.25
    stop: Stop | None = None
    grace_s: float = 0.0
    over: bool = False
    steering: Steering | None = None
    done: tuple[LeaseKey, ...] = ()
    part: int | None = None


class Link(Protocol):
    """A worker's connection to its coordinator."""

    async def checkin(self, report: Report) -> Grant:
        """Send a report and wait for the grant.

        Raises:
            LinkError: the coordinator is gone; nothing may be sent or written from here on.
        """


class LinkError(Exception):
    """The coordinator is gone, or has abandoned this worker."""


@dataclass(frozen=True, slots=True)
class Assignment:
    """What a worker must know before it starts. Holds no secret.

    `job` has the base URLs of embedded models filled in. `numbers` are the journal numbers that this session has claimed, by variant.
    `indexes` are the files, or objects on a store, with what earlier sessions recorded (ResumeIndex.save), by variant; none for variants
    without records. `directory` is a path or an address. `prices` are by variant, where they are known; `drawn` identifies the sample of
    the rows (Dataset.drawn). `parts` says how parts of the outputs are written, and their plan, where they can be while the run sends.
    """

    worker: str
    job: Job
    directory: str
    numbers: Mapping[str, int]
    indexes: Mapping[str, str]
    prices: Mapping[str, Price]
    drawn: int | None = None
    compare: bool = False
    changed: ChangedPolicy = "refuse"
    retry_failed: bool = False
    parts: PartsOrder | None = None
