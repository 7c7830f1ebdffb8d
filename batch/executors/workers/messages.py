"""What workers and the coordinator of a run say to each other, and how: a worker checks in, and is told what it may do.

All of it can be pickled. Times are durations, since the two may have clocks of their own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from batch.engine.feed import ChangedPolicy
from batch.engine.stop import Stop
from batch.executors.shards import Shard
from batch.policy.limits.shared import BudgetShare, BudgetUsage, LimitShare, LimitUsage
from batch.records import ErrorInfo, Tally
from batch.settings import Job, Price

LeaseKey = tuple[int, int, int]
"""(lane, shard, generation)"""


@dataclass(frozen=True, slots=True)
class Lease:
    """A worker's right to send a shard's rows to one endpoint (`lane`: its place among the job's), until it is told otherwise."""

    lane: int
    shard: Shard
    generation: int

    @property
    def key(self) -> LeaseKey:
        """What names it."""
        return self.lane, self.shard.number, self.generation


@dataclass(frozen=True, slots=True)
class Example:
    """One failed row, and why."""

    variant: str
    ordinal: int
    id: str
    error: ErrorInfo


@dataclass(frozen=True, slots=True)
class Report:
    """What a worker did: `tallies` since it began (kept counts fall below 0 where it replaced outcomes of earlier sessions).

    `uses` are of all endpoints, lane by lane; `wanted` is for each lane how many more shards it could take. `done` are leases all of
    whose rows have their outcome, on disk.
    `written` says how far the journals of its open leases are counted in `tallies`: by variant, (file of the lease, bytes in it).
    `held` counts what of `tallies` is beyond that: outcomes that are in its memory only, and are lost when it dies.
    `examples` are failed rows of which it has not told. `budget` is what it used of the run's (its `unrecorded` also where there is no
    bound). `stop` is why it cannot go on. `ended` is its last word.
    """

    worker: str
    tallies: Mapping[str, Tally] = field(default_factory=dict)
    uses: tuple[LimitUsage, ...] = ()
    wanted: tuple[int, ...] = ()
    done: tuple[LeaseKey, ...] = ()
    written: Mapping[LeaseKey, Mapping[str, tuple[int, int]]] = field(default_factory=dict)
    held: Mapping[LeaseKey, Mapping[str, Tally]] = field(default_factory=dict)
    examples: tuple[Example, ...] = ()
    budget: BudgetUsage | None = None
    notices: tuple[str, ...] = ()
    stop: Stop | None = None
    ended: bool = False


@dataclass(frozen=True, slots=True)
class Grant:
    """What a worker may do until it checks in again, in `again_s` seconds at the latest.

    `leases` are new ones. `shares` are for each endpoint, lane by lane, what of its limits is the worker's. `drained` says for each lane
    that there is nothing to lease at the moment (a shard whose worker dies may still come back). `stop` ends all sending; what is
    in flight gets `grace_s`. `over` means that everything is done, or that the worker was given up: it ends.
    """

    leases: tuple[Lease, ...] = ()
    shares: tuple[LimitShare, ...] = ()
    drained: tuple[bool, ...] = ()
    budget: BudgetShare | None = None
    again_s: float = 0.25
    stop: Stop | None = None
    grace_s: float = 0.0
    over: bool = False


class Link(Protocol):
    """A worker's way to its coordinator."""

    async def checkin(self, report: Report) -> Grant:
        """Say what was done, and hear what may be done.

        Raises:
            LinkError: there is no coordinator any more; nothing may be sent or written from here on.
        """


class LinkError(Exception):
    """The coordinator is gone, or has given this worker up."""


@dataclass(frozen=True, slots=True)
class Assignment:
    """What a worker must know before it begins. Holds no secret.

    `job` has the base URLs of embedded models filled in. `numbers` are the journal numbers that this session has taken, by variant;
    `known` the files, or objects on a store, that say what earlier sessions recorded (ResumeIndex.save), by variant, none for those
    without records. `directory` is a path or an address.
    `prices` are by variant, where they are known; `drawn` tells the sample that was drawn of the rows (Dataset.drawn).
    """

    worker: str
    job: Job
    directory: str
    numbers: Mapping[str, int]
    known: Mapping[str, str]
    prices: Mapping[str, Price]
    drawn: int | None = None
    compare: bool = False
    changed: ChangedPolicy = "refuse"
    retry_failed: bool = False
