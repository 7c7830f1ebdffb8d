"""Coordinates a run: assigns shards and limit shares to workers, aggregates their reports, stops the run.

Local processes and Ray actors look the same to it. Its only I/O is the recovery of a dead worker's leases.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence

from batch.engine.recorder import count, uncount_failure
from batch.engine.refused_variants import stopped_alone
from batch.engine.steering import Steering
from batch.engine.stop import Stop
from batch.errors import DamagedError, StorageError
from batch.events import Event, Notice, UnexpectedError, VariantStopped, WorkerProgress
from batch.executors.sharding import ShardPlan
from batch.executors.workers.budget_allocator import BudgetAllocator
from batch.executors.workers.leases import MOST_GENERATIONS, Leases
from batch.executors.workers.limit_allocator import LimitAllocator
from batch.executors.workers.messages import Grant, Lease, LeaseKey, Report, RetriedTask
from batch.executors.workers.part_leases import PartLeases
from batch.policy.failures import FailureLimit
from batch.policy.limits.leased_budget import BudgetUsage
from batch.policy.limits.shared import LimitShare
from batch.policy.pricing import difference
from batch.records import Outcome
from batch.settings import RunSettings
from batch.tally import Tally, change

CHECKIN_INTERVAL_S = 0.25
# Reports a second that the coordinator reads at most: with more workers, each checks in less often.
REPORTS_PER_SECOND = 400

JournalEnds = Mapping[str, tuple[int, int]]
Recovered = tuple[str, Outcome, bool | None]
"""An outcome of a dead worker: variant, outcome, and whether an earlier session had this task as ok, or as failed; None if it had none."""
Recover = Callable[[Lease, JournalEnds], Awaitable[Sequence[Recovered]]]
"""Seals the journals of a dead worker's lease, and returns the outcomes in them beyond those reported as written, in order."""


class _WorkerState:
    """A worker that takes part, with its latest report."""

    def __init__(self) -> None:
        self.tallies: Mapping[str, Tally] = {}
        self.written: Mapping[LeaseKey, JournalEnds] = {}
        self.in_memory: Mapping[LeaseKey, Mapping[str, Tally]] = {}
        self.budget: BudgetUsage | None = None


class Coordinator:
    """Coordinates the workers of one run. `endpoints` is the number of endpoints of each queue.

    `tallies` are the counts to add to, with those of earlier sessions. All times are monotonic seconds, given by the caller. `spent_usd`
    is the cost of earlier sessions, `budget` allocates what is left. `notify` gets the events of the workers.
    """

    def __init__(
        self,
        run: RunSettings,
        endpoints: Sequence[int],
        sharding: ShardPlan,
        tallies: Mapping[str, Tally],
        *,
        spent_usd: float = 0.0,
        recover: Recover,
        notify: Callable[[Event], None],
    ) -> None:
        self.tallies = tallies
        self.stop: Stop | None = None
        self.grace_s = run.grace_s
        self._run = run
        self._leases = Leases(len(endpoints), sharding.shards)
        self._parts = PartLeases(sharding.parts, sharding.shards, len(endpoints))
        self._queues = [[LimitAllocator(run) for _ in range(count)] for count in endpoints]
        self._steering: Steering | None = None
        self.budget = BudgetAllocator(math.inf if run.max_cost_usd is None else run.max_cost_usd, spent_usd)
        self._unrecorded_usd = self._recovered_usd = self._gone_usd = 0.0
        self._limit = FailureLimit(run.max_failures)
        self._refused: dict[str, Stop] = {}
        self._members: dict[str, _WorkerState] = {}
        self._gone: set[str] = set()
        # Of a cluster unknown until `expect`.
        self._workers = sharding.processes or 1
        self._recover = recover
        self._notify = notify

    @property
    def over(self) -> bool:
        """Whether nothing more is to be done: all rows have their outcome, or the run was stopped."""
        return self._leases.finished or self.stop is not None

    @property
    def finished(self) -> bool:
        """Whether all rows have their outcome."""
        return self._leases.finished

    @property
    def stopped_by(self) -> Stop | None:
        """Why rows are without an outcome: what stopped the run, or the first of its variants that is not sent any more."""
        return next(iter(self._refused.values()), None) if self._leases.finished else self.stop

    @property
    def unrecorded(self) -> float:
        """US dollars that workers spent, or may have spent, on tasks without an outcome. Known when all have ended."""
        return difference(self._unrecorded_usd, self._recovered_usd)

    @property
    def sharing(self) -> WorkerProgress:
        """The number of workers and of finished shards."""
        return WorkerProgress(len(self._members), self._leases.done_count, self._leases.count)

    def knows(self, name: str) -> bool:
        """Whether this worker takes part."""
        return name in self._members

    def checkin(self, report: Report, now: float) -> Grant:
        """Add a worker's report, and return what the worker may do next."""
        name = report.worker
        # A worker that was given up may come back, after a pause of its machine: its leases are sealed and with others.
        if name in self._gone:
            return Grant(over=True, stop=self.stop)
        member = self._members.setdefault(name, _WorkerState())
        self._add(member, report.tallies)
        member.written, member.in_memory, member.budget = report.written, report.in_memory, report.budget
        for event in report.events:
            self._pass_on(event)
        for queue in report.abandoned:
            self._leases.abandon(queue)
        done = tuple(key for key in report.done if self._leases.done(name, key))
        self._parts.reported(name, done, report.parts)
        self._judge(report)
        if report.ended:
            self._leave(name, report.budget)
            return Grant(over=True, stop=self.stop, done=done)
        # More workers check in less often, so that the coordinator keeps up.
        again_s = max(CHECKIN_INTERVAL_S, len(self._members) / REPORTS_PER_SECOND)
        leases, shares = self._grants(report, now, again_s)
        drained = tuple(self._leases.available(queue) == 0 for queue in range(len(self._queues)))
        budget = None if report.budget is None else self.budget.checkin(name, report.budget)
        refused, over = dict(self._refused), self._leases.finished
        part = self._parts.take(name) if report.takes_part and not self.over else None
        return Grant(leases, shares, drained, budget, refused, again_s, self.stop, self.grace_s, over, self._steering, done=done, part=part)

    async def lost(self, name: str) -> None:
        """Release the leases of a dead or abandoned worker to others; nothing that it writes from here on counts."""
        member = self._members.get(name)
        if member is None:
            return
        self._leave(name, None)
        for variant, reported in member.tallies.items():
            tally = self.tallies[variant]
            # The seals make durable what the worker had not synced.
            tally.durable += reported.ok + reported.failed - reported.durable
            # About as many requests as it last reported were in flight when it died: they are sent again and may be billed twice.
            tally.doubled += reported.in_flight
        for in_memory in member.in_memory.values():
            for variant, counts in in_memory.items():
                self.tallies[variant].durable -= counts.ok + counts.failed
        for lease in self._leases.leased_to(name):
            try:
                recalled = await self._recover(lease, member.written.get(lease.key, {}))
            except (StorageError, DamagedError) as error:
                self.end(Stop("storage", str(error)), 0.0)
                return
            self._take_over(lease, recalled, member.in_memory.get(lease.key, {}))
            if not self._leases.release(lease):
                rows = f"rows {lease.shard.start:,} to {lease.shard.stop - 1:,}"
                self.end(Stop("refused", f"{MOST_GENERATIONS} workers died while they sent {rows}: memory may be short here"), self.grace_s)

    def _take_over(self, lease: Lease, recalled: Sequence[Recovered], in_memory: Mapping[str, Tally]) -> None:
        """Count the outcomes that a dead worker recorded in a lease and did not report; `in_memory` are those of its last report."""
        found: Counter[str] = Counter()
        codes = lease.codes
        reported = {variant: counts.ok + counts.failed for variant, counts in in_memory.items()}
        for variant, outcome, kept_ok in recalled:
            tally = self.tallies[variant]
            found[variant] += 1
            count(tally, outcome)
            tally.requests += outcome.attempts if found[variant] > reported.get(variant, 0) else 0
            tally.durable += 1
            self._recovered_usd += (outcome.cost_usd or 0.0) + outcome.extra_usd
            code = codes.get((variant, outcome.ordinal, outcome.repeat))
            tally.again -= code is not None or kept_ok is not None
            if code is not None:
                uncount_failure(tally, code)
            elif kept_ok is not None:
                tally.kept_ok -= kept_ok
                tally.kept_failed -= not kept_ok
        for variant, number in reported.items():
            # These were answered, and will be sent again.
            self.tallies[variant].doubled += max(0, number - found[variant])

    def steer(self, steering: Steering, now: float) -> None:
        """Keep to other limits, which the workers hear of when they check in."""
        self._steering = steering
        for queue in self._queues:
            for shares in queue:
                shares.change(steering.applied(self._run), now)
        self.budget.change(math.inf if steering.max_cost_usd is None else steering.max_cost_usd)
        if self.budget.is_limited:
            self.budget.add_spent(self._gone_usd)
            self._gone_usd = 0.0

    def retry(self, tasks: Mapping[int, Sequence[RetriedTask]]) -> int:
        """Send failed tasks again, given by queue; returns how many: not those that are on their way, or whose queue was given up."""
        accepted = [task for queue, of_queue in tasks.items() if not self.over for task in self._leases.retry(queue, of_queue)]
        for task in accepted:
            self.tallies[task.variant].again += 1
        return len(accepted)

    def expect(self, workers: int) -> None:
        """Set the expected number of workers."""
        self._workers = workers

    def end(self, stop: Stop, grace_s: float) -> None:
        """Stop the run; requests in flight get `grace_s` to end. A second call can only shorten that."""
        if self.stop is None or (stop.cause == "storage" and self.stop.cause != "storage"):
            self.stop = stop
        self.grace_s = min(self.grace_s, grace_s)

    def drain(self) -> None:
        """Send nothing more; let requests in flight end, up to the grace time."""
        self.end(Stop("interrupted", "interrupted"), self._run.grace_s)

    def abort(self) -> None:
        """Stop now; requests in flight are abandoned and will be sent again."""
        self.end(Stop("interrupted", "interrupted"), 0.0)

    def _leave(self, name: str, budget: BudgetUsage | None) -> None:
        member = self._members.pop(name)
        self._gone.add(name)
        self._parts.lost(name)
        self.budget.ended(name, budget)
        reported = budget or member.budget
        self._unrecorded_usd += (unrecorded := reported.unrecorded if reported is not None else 0.0)
        if not self.budget.is_limited:
            self._gone_usd += unrecorded + sum(tally.cost_usd + tally.extra_usd for tally in member.tallies.values())
        for queue in self._queues:
            for shares in queue:
                shares.lost(name)
        for variant, tally in member.tallies.items():
            self.tallies[variant].in_flight -= tally.in_flight
            self.tallies[variant].waiting -= tally.waiting
        for in_memory in member.in_memory.values():
            for variant, counts in in_memory.items():
                change(self.tallies[variant], Tally(), counts)

    def _grants(self, report: Report, now: float, again_s: float) -> tuple[tuple[Lease, ...], tuple[LimitShare, ...]]:
        leases: list[Lease] = []
        shares: list[LimitShare] = []
        usages = iter(report.usages)
        for queue, endpoints in enumerate(self._queues):
            wanted = report.wanted[queue] if report.wanted and not self.over else 0
            # The last shards go one by one, so that all workers have something to do to the end.
            wanted = min(wanted, -(-self._leases.available(queue) // (2 * max(self._workers, len(self._members)))))
            of_queue = []
            for shared in endpoints:
                use = next(usages, None)
                eager = wanted > 0 and (use is None or use.peak == 0)
                of_queue.append(shared.checkin(report.worker, use, now, again_s, eager=eager))
            shares += of_queue
            # A worker that may send nothing would only keep its rows from others.
            for _ in range(wanted if any(share.concurrency for share in of_queue) else 0):
                lease = self._leases.take(report.worker, queue)
                if lease is not None:
                    leases.append(lease)
        return tuple(leases), tuple(shares)

    def _judge(self, report: Report) -> None:
        """Stop the run where the worker's report says so."""
        if report.stop is not None and not self._leases.finished:
            # Answers that cannot be kept are not waited for.
            self.end(report.stop, 0.0 if report.stop.cause == "storage" else self._run.grace_s)
        for example in report.examples:
            reason = self._limit.exceeded(self.tallies.values(), self.tallies[example.variant], example.error)
            if reason is None or example.variant in self._refused:
                continue
            where = f"row {example.ordinal}, id {example.id}: {example.error.message}"
            stop = Stop("refused", f"{reason}; for example {where}")
            # Without a limit of the job's own, the rows of one variant that all fail alike say nothing about the others.
            if self._run.max_failures is None and len(self._refused) + 1 < len(self.tallies):
                self._pass_on(stopped_alone(example.variant, stop))
            else:
                self.end(stop, self._run.grace_s)

    def _pass_on(self, event: Notice | UnexpectedError) -> None:
        if isinstance(event, VariantStopped):
            if event.variant in self._refused:
                # Another worker has found the same at the same time.
                return
            self._refused[event.variant] = Stop("refused", event.reason)
        self._notify(event)

    def _add(self, member: _WorkerState, tallies: Mapping[str, Tally]) -> None:
        for variant, now in tallies.items():
            change(self.tallies[variant], now, member.tallies.get(variant, Tally()))
        member.tallies = tallies
