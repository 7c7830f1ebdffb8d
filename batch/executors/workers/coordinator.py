"""The one who knows the whole run: hands out shards and shares to workers, adds up what they did, ends it.

Local processes and Ray actors are the same to it. It does no I/O but what `recall` does for a dead worker's shards.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import fields

from batch.engine.recorder import count
from batch.engine.stop import Stop
from batch.errors import DamagedError, StorageError
from batch.events import WorkerProgress
from batch.executors.shards import Shard
from batch.executors.workers.budget_allocator import BudgetAllocator
from batch.executors.workers.leases import MOST_GENERATIONS, Leases
from batch.executors.workers.limit_allocator import LimitAllocator
from batch.executors.workers.messages import Grant, Lease, LeaseKey, Report
from batch.policy.failures import FailureLimit
from batch.policy.limits.shared import BudgetUsage, LimitShare
from batch.records import Outcome, Tally
from batch.settings import RunSettings

CHECKIN_INTERVAL_S = 0.25
# With more workers they check in less often, so that the coordinator has at most so many reports to read in a second.
REPORTS_PER_SECOND = 400

Written = Mapping[str, tuple[int, int]]
Recalled = tuple[str, Outcome, bool | None]
"""An outcome of a dead worker: variant, outcome, and whether an earlier session had this task as ok, or as failed; None if it had none."""
Recall = Callable[[Lease, Written], Awaitable[Sequence[Recalled]]]
"""Seals the journals of a dead worker's lease, and gives the outcomes in them beyond what he has told to be written, in their order."""

_COUNTS = tuple(field.name for field in fields(Tally) if field.name not in {"total", "failures"})


class _Member:
    """A worker that takes part: what it has told of last."""

    def __init__(self) -> None:
        self.tallies: Mapping[str, Tally] = {}
        self.written: Mapping[LeaseKey, Written] = {}
        self.held: Mapping[LeaseKey, Mapping[str, Tally]] = {}
        self.budget: BudgetUsage | None = None


class Coordinator:
    """Of one run. `endpoints` is for each lane how many endpoints are paced by themselves in it.

    `tallies` are the counts to add to; they hold what earlier sessions did. All times are monotonic seconds, given by the caller.
    `workers` is how many there will be, `spent_usd` what earlier sessions spent. What a person should know goes to `notice`.
    """

    def __init__(
        self,
        run: RunSettings,
        endpoints: Sequence[int],
        shards: Sequence[Shard],
        tallies: Mapping[str, Tally],
        *,
        workers: int,
        spent_usd: float = 0.0,
        recall: Recall,
        notice: Callable[[str], None],
    ) -> None:
        self.tallies = tallies
        self.stop: Stop | None = None
        self.grace_s = run.grace_s
        self._run = run
        self._leases = Leases(len(endpoints), shards)
        self._lanes = [[LimitAllocator(run) for _ in range(count)] for count in endpoints]
        self._budget_allocator = BudgetAllocator(math.inf if run.max_cost_usd is None else run.max_cost_usd, spent_usd)
        self._unrecorded = 0.0
        self._limit = FailureLimit(run.max_failures)
        self._members: dict[str, _Member] = {}
        self._gone: set[str] = set()
        self._workers = workers
        self._recall = recall
        self._notice = notice

    @property
    def over(self) -> bool:
        """Whether nothing more is to be done: all rows have their outcome, or it was stopped."""
        return self._leases.finished or self.stop is not None

    @property
    def finished(self) -> bool:
        """Whether all rows have their outcome."""
        return self._leases.finished

    @property
    def unrecorded(self) -> float:
        """US dollars that workers spent, or may have spent, and that are in no outcome. Known when all have ended."""
        return max(0.0, self._unrecorded)

    @property
    def sharing(self) -> WorkerProgress:
        """How it stands."""
        return WorkerProgress(len(self._members), self._leases.done_count, self._leases.count)

    def knows(self, name: str) -> bool:
        """Whether this worker takes part."""
        return name in self._members

    def checkin(self, report: Report, now: float) -> Grant:
        """Take note of what a worker did, and say what it may do."""
        name = report.worker
        if name in self._gone:
            return Grant(over=True, stop=self.stop)
        member = self._members.setdefault(name, _Member())
        self._add(member, report.tallies)
        member.written, member.held, member.budget = report.written, report.held, report.budget
        for notice in report.notices:
            self._notice(notice)
        for key in report.done:
            self._leases.done(name, key)
        self._judge(report)
        if report.ended:
            self._leave(name, report.budget)
            return Grant(over=True, stop=self.stop)
        again_s = max(CHECKIN_INTERVAL_S, len(self._members) / REPORTS_PER_SECOND)
        leases, shares = self._grants(report, now, again_s)
        drained = tuple(self._leases.untaken(lane) == 0 for lane in range(len(self._lanes)))
        budget = None if report.budget is None else self._budget_allocator.checkin(name, report.budget)
        return Grant(leases, shares, drained, budget, again_s, self.stop, self.grace_s, over=self._leases.finished)

    async def lost(self, name: str) -> None:
        """A worker has died, or is given up: what it held goes to others, and nothing that it writes from here on counts."""
        member = self._members.get(name)
        if member is None:
            return
        self._leave(name, None)
        for variant, told in member.tallies.items():
            tally = self.tallies[variant]
            # The seals make durable what it had not synced.
            tally.durable += told.ok + told.failed - told.durable
            # About as much as it told of was in flight when it died: that is sent again, and may be billed twice.
            tally.doubled += told.in_flight
        for held in member.held.values():
            for variant, counts in held.items():
                self.tallies[variant].durable -= counts.ok + counts.failed
        for lease in self._leases.held_by(name):
            try:
                recalled = await self._recall(lease, member.written.get(lease.key, {}))
            except (StorageError, DamagedError) as error:
                self.end(Stop("storage", str(error)), 0.0)
                return
            self._take_over(recalled, member.held.get(lease.key, {}))
            if not self._leases.hand_on(lease):
                rows = f"rows {lease.shard.start:,} to {lease.shard.stop - 1:,}"
                self.end(Stop("refused", f"{MOST_GENERATIONS} workers died while they sent {rows}: memory may be short here"), self.grace_s)

    def _take_over(self, recalled: Sequence[Recalled], held: Mapping[str, Tally]) -> None:
        """Count what a dead worker recorded in a lease and has not told to be written; of that it `held` so much when it last told."""
        found: Counter[str] = Counter()
        told = {variant: counts.ok + counts.failed for variant, counts in held.items()}
        for variant, outcome, kept_ok in recalled:
            tally = self.tallies[variant]
            found[variant] += 1
            count(tally, outcome)
            tally.requests += outcome.attempts if found[variant] > told.get(variant, 0) else 0
            tally.durable += 1
            self._unrecorded -= (outcome.cost_usd or 0.0) + outcome.extra_usd
            self._replace_kept(tally, kept_ok)
        for variant, number in told.items():
            # These were answered, and will be sent again.
            self.tallies[variant].doubled += max(0, number - found[variant])

    def expect(self, workers: int) -> None:
        """There will be so many workers."""
        self._workers = workers

    def end(self, stop: Stop, grace_s: float) -> None:
        """End the run; what is in flight gets `grace_s`. A second call can only shorten that."""
        if self.stop is None or (stop.cause == "storage" and self.stop.cause != "storage"):
            self.stop = stop
        self.grace_s = min(self.grace_s, grace_s)

    def drain(self) -> None:
        """Send nothing more; let what is in flight end, up to the grace time."""
        self.end(Stop("interrupted", "interrupted"), self._run.grace_s)

    def abort(self) -> None:
        """Stop at once; what is in flight is given up and will be sent again."""
        self.end(Stop("interrupted", "interrupted"), 0.0)

    def _leave(self, name: str, budget: BudgetUsage | None) -> None:
        member = self._members.pop(name)
        self._gone.add(name)
        self._budget_allocator.ended(name, budget)
        told = budget or member.budget
        self._unrecorded += told.unrecorded if told is not None else 0.0
        for lane in self._lanes:
            for shares in lane:
                shares.lost(name)
        for variant, tally in member.tallies.items():
            self.tallies[variant].in_flight -= tally.in_flight
            self.tallies[variant].waiting -= tally.waiting
        for held in member.held.values():
            for variant, counts in held.items():
                _change(self.tallies[variant], Tally(), counts)

    def _grants(self, report: Report, now: float, again_s: float) -> tuple[tuple[Lease, ...], tuple[LimitShare, ...]]:
        leases: list[Lease] = []
        shares: list[LimitShare] = []
        uses = iter(report.uses)
        for lane, endpoints in enumerate(self._lanes):
            wanted = report.wanted[lane] if report.wanted and not self.over else 0
            # The last shards go one by one, so that all workers have something to do to the end.
            wanted = min(wanted, -(-self._leases.untaken(lane) // (2 * max(self._workers, len(self._members)))))
            of_lane = []
            for shared in endpoints:
                use = next(uses, None)
                eager = wanted > 0 and (use is None or use.peak == 0)
                of_lane.append(shared.checkin(report.worker, use, now, again_s, eager=eager))
            shares += of_lane
            # Who may send nothing would only keep its rows from others.
            for _ in range(wanted if any(share.concurrency for share in of_lane) else 0):
                lease = self._leases.take(report.worker, lane)
                if lease is not None:
                    leases.append(lease)
        return tuple(leases), tuple(shares)

    def _judge(self, report: Report) -> None:
        """Whether the run ends by what the worker tells."""
        if report.stop is not None and not self._leases.finished:
            # Answers that cannot be kept are not waited for.
            self.end(report.stop, 0.0 if report.stop.cause == "storage" else self._run.grace_s)
        for example in report.examples:
            reason = self._limit.exceeded(self.tallies.values(), self.tallies[example.variant], example.error)
            if reason is not None:
                where = f"row {example.ordinal}, id {example.id}: {example.error.message}"
                self.end(Stop("refused", f"{reason}; for example {where}"), self._run.grace_s)

    def _add(self, member: _Member, tallies: Mapping[str, Tally]) -> None:
        for variant, now in tallies.items():
            _change(self.tallies[variant], now, member.tallies.get(variant, Tally()))
        member.tallies = tallies

    def _replace_kept(self, tally: Tally, kept_ok: bool | None) -> None:
        if kept_ok is not None:
            tally.kept_ok -= kept_ok
            tally.kept_failed -= not kept_ok


def _change(whole: Tally, now: Tally, before: Tally) -> None:
    """Add to `whole` what `now` has more than `before`, or less."""
    for name in _COUNTS:
        setattr(whole, name, getattr(whole, name) + getattr(now, name) - getattr(before, name))
    for code in now.failures.keys() | before.failures.keys():
        whole.failures[code] = whole.failures.get(code, 0) + now.failures.get(code, 0) - before.failures.get(code, 0)
        if not whole.failures[code]:
            del whole.failures[code]
