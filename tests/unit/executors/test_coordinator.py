"""The coordinator of a thousand workers, on a clock of the test's own: no Ray, no processes."""

from __future__ import annotations

import heapq
import random
import resource
import time
from collections import Counter
from dataclasses import replace

import pytest

from batch.engine.refused_variants import stopped_alone
from batch.engine.stop import Stop
from batch.executors.sharding import ShardPlan
from batch.executors.shards import divide
from batch.executors.workers.budget_allocator import BudgetAllocator
from batch.executors.workers.coordinator import Coordinator, Recovered
from batch.executors.workers.leases import Leases
from batch.executors.workers.messages import Lease, LeaseKey, Report
from batch.policy.limits.leased_budget import BudgetUsage, LeasedBudget
from batch.policy.limits.shared import LimitShare, LimitUsage
from batch.records import InputOffset
from batch.results.parts import PartPlan
from batch.settings import RunSettings
from batch.tally import Tally
from tests.support.stores import outcome

IDLE = LimitUsage(elapsed=0.25, in_flight=0, peak=0, area=0.0, short=False)
ROWS_PER_SHARD = 10_000


def make(run: RunSettings, shards: int, recalled: list[Lease]) -> Coordinator:
    async def recover(lease: Lease, written: object):
        recalled.append(lease)
        return []

    rows = shards * ROWS_PER_SHARD
    return Coordinator(
        run, [1], ShardPlan(tuple(divide(rows, [InputOffset(0)])), 1000), {"m": Tally(total=rows)}, recover=recover, notify=lambda _: None
    )


class Worker:
    """One that keeps to what it is granted: it has as much in flight as it may, and needs some seconds for a shard."""

    def __init__(self, name: str, chance: random.Random) -> None:
        self.name = name
        self.chance = chance
        self.leases: list[Lease] = []
        self.share = LimitShare(0)
        self.due = chance.random()  # the first check-in
        self.at = 0.0
        self.ok = 0

    def report(self, now: float) -> Report:
        done: list[LeaseKey] = []
        if self.leases and self.share.concurrency and self.chance.random() < 0.3:
            done.append(self.leases.pop(0).key)
            self.ok += ROWS_PER_SHARD
        busy = self.share.concurrency if self.leases else 0
        use = LimitUsage(max(now - self.at, 1e-3), busy, busy, busy * (now - self.at), busy > 0)
        self.at = now
        return Report(self.name, {"m": Tally(ok=self.ok, durable=self.ok)}, (use,), (max(0, 2 - len(self.leases)),), tuple(done))


async def test_a_thousand_workers_share_leases_and_concurrency_while_some_die() -> None:
    """Issue 7: each shard is held by one at a time and done once, and no more is in flight than allowed, whoever dies."""
    chance = random.Random(3)
    recalled: list[Lease] = []
    coordinator = make(RunSettings(concurrency=3000), 3000, recalled)
    workers = {f"w{number}": Worker(f"w{number}", chance) for number in range(1000)}
    holders: dict[int, str] = {}
    finished: Counter[int] = Counter()
    started, now, allowed = len(workers), 0.0, 0
    due = [(worker.due, name) for name, worker in workers.items()]
    heapq.heapify(due)
    while not coordinator.finished:
        now, name = heapq.heappop(due)
        worker = workers[name]
        assert now < 600, "the run does not end"
        if chance.random() < 0.01:
            await coordinator.lost(worker.name)
            for lease in worker.leases:
                del holders[lease.shard.number]
            del workers[worker.name]
            workers[f"w{started}"] = newcomer = Worker(f"w{started}", chance)
            heapq.heappush(due, (now + 3, newcomer.name))
            allowed -= worker.share.concurrency
            started += 1
            continue
        report = worker.report(now)
        for _, shard, _ in report.done:
            assert holders.pop(shard) == worker.name
            finished[shard] += 1
        grant = coordinator.checkin(report, now)
        for lease in grant.leases:
            assert lease.shard.number not in holders
            holders[lease.shard.number] = worker.name
        worker.leases += grant.leases
        allowed += grant.shares[0].concurrency - worker.share.concurrency
        assert allowed <= 3000
        worker.share = grant.shares[0]
        heapq.heappush(due, (now + grant.again_s, name))
    assert set(finished.values()) == {1}
    assert len(finished) == 3000
    assert recalled, "nobody died with a lease"
    # A thousand workers are not heard more than 400 times a second.
    assert grant.again_s >= 2.4


@pytest.mark.parametrize(("workers", "rows"), [(50, 200_000), pytest.param(1000, 100_000_000, marks=pytest.mark.long)])
def test_workers_write_each_part_once_and_the_coordinator_keeps_up(workers: int, rows: int) -> None:
    """Issue 15: each part is written once, after all its shards; with 1,000 workers and 100 million rows it prints what that takes."""
    chance, shards = random.Random(15), tuple(divide(rows, [InputOffset(0)]))
    plan = PartPlan(rows, 10 * shards[0].stop, -(-len(shards) // 10))
    sharding = ShardPlan(shards, workers, parts=plan)

    async def recover(lease: Lease, written: object) -> list[Recovered]:
        return []

    coordinator = Coordinator(
        RunSettings(concurrency=10 * workers), [1], sharding, {"m": Tally(total=rows)}, recover=recover, notify=lambda _: None
    )
    done: set[int] = set()
    writing: dict[str, int] = {}
    written: Counter[int] = Counter()
    taken_s, checkins = 0.0, 0
    due = [((worker := Worker(f"w{number}", chance)).due, number, worker) for number in range(workers)]
    heapq.heapify(due)
    while due:
        now, number, worker = heapq.heappop(due)
        report = worker.report(now)
        done |= {shard for _, shard, _ in report.done}
        ended = writing.pop(worker.name, None)
        written.update([] if ended is None else [ended])
        report = replace(report, parts=() if ended is None else (ended,), takes_part=True)
        began = time.process_time()
        grant = coordinator.checkin(report, now)
        taken_s, checkins = taken_s + time.process_time() - began, checkins + 1
        if grant.part is not None:
            assert done.issuperset(range(10 * grant.part, min(len(shards), 10 * grant.part + 10)))
            writing[worker.name] = grant.part
        worker.leases += grant.leases
        worker.share = grant.shares[0]
        if not grant.over:
            heapq.heappush(due, (now + grant.again_s, number, worker))
    # What became final with the last shards is left to the driver.
    assert len(done) == len(shards)
    assert set(written.values()) == {1}
    assert plan.count // 2 < len(written) <= plan.count
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"\n{workers:,} workers, {rows:,} rows, {len(shards):,} shards: {checkins:,} check-ins at {taken_s / checkins * 1e6:.0f} µs, "
        f"{taken_s:.2f} s of CPU in all; {len(written)} of {plan.count} parts written by then; peak of this process {peak_mb:.0f} MB"
    )


def test_a_thousand_workers_spend_one_budget() -> None:
    """Issue 7: together they spend what there is, to within a request of each, and never a cent more, whoever dies."""
    chance = random.Random(5)
    cap, price = 50.0, 0.01
    purse, spent = BudgetAllocator(cap, 0.0), 0.0
    budgets = {f"w{number}": LeasedBudget(cap) for number in range(1000)}
    for turn in range(100):
        for name, budget in list(budgets.items()):
            if chance.random() < 0.001:
                purse.ended(name, None)
                budgets[f"{name}-{turn}"] = LeasedBudget(cap)
                del budgets[name]
                continue
            while chance.random() < 0.7 and budget.reserve(price):
                budget.settle(price, price)
                spent += price
            budget.grant(purse.checkin(name, budget.use(0.0)))
            assert spent <= cap + 1e-6
    assert spent >= 0.95 * cap


async def test_what_a_dead_worker_told_of_is_durable_with_its_seals() -> None:
    """Promise 2: outcomes that it had told of and not synced are counted as durable once its journals are sealed."""
    coordinator = make(RunSettings(), 4, [])
    coordinator.checkin(Report("w1", {"m": Tally(ok=20, failed=1, durable=8)}, (), (1,)), 0.0)
    assert coordinator.tallies["m"].durable == 8
    await coordinator.lost("w1")
    assert coordinator.tallies["m"].durable == 21


async def test_what_a_dead_worker_held_is_taken_back() -> None:
    """Promises 1, 2: of what it had told of, only what is on the store counts; the rest was answered, and will be sent again."""
    coordinator = make(RunSettings(), 4, [])
    (lease,) = coordinator.checkin(Report("w1", usages=(IDLE,), wanted=(1,)), 0.0).leases

    async def recover(lease: Lease, written: object) -> list[Recovered]:
        assert written == {"m": (4, 0)}
        return [("m", outcome(ordinal), None) for ordinal in range(2)]

    coordinator._recover = recover
    told = Tally(ok=20, failed=3, durable=15, requests=30, in_flight=4, kept_failed=-2, completion_tokens=100, failures={"bad_request": 3})
    in_memory = Tally(ok=5, failed=2, kept_failed=-1, completion_tokens=40, failures={"bad_request": 2})
    key = lease.key
    budget = BudgetUsage(0.0, 0.0, 0.0, unrecorded=0.7)
    coordinator.checkin(
        Report("w1", {"m": told}, (IDLE,), written={key: {"m": (4, 0)}}, in_memory={key: {"m": in_memory}}, budget=budget), 0.2
    )

    await coordinator.lost("w1")

    tally = coordinator.tallies["m"]
    # 16 outcomes were put when it told last, and 2 of the 7 that it held were put after that.
    assert (tally.ok, tally.failed, tally.durable, tally.failures) == (17, 1, 18, {"bad_request": 1})
    assert (tally.requests, tally.in_flight, tally.doubled, tally.kept_failed) == (30, 0, 4 + 5, -1)
    assert tally.completion_tokens == 60 + sum((outcome(n).usage or {}).get("completion_tokens", 0) for n in range(2))
    assert coordinator.unrecorded == pytest.approx(0.7)


async def test_what_could_not_be_put_is_not_counted_in_the_end() -> None:
    """Promise 1: a worker that ends since the store refuses has told of answers that are lost: their rows are not attempted."""
    coordinator = make(RunSettings(), 4, [])
    (lease,) = coordinator.checkin(Report("w1", usages=(IDLE,), wanted=(1,)), 0.0).leases
    in_memory = {lease.key: {"m": Tally(ok=5)}}
    stop = Stop("storage", "refused")
    assert coordinator.checkin(Report("w1", {"m": Tally(ok=9, durable=4)}, in_memory=in_memory, stop=stop, ended=True), 0.2).over
    assert (coordinator.tallies["m"].ok, coordinator.tallies["m"].durable) == (4, 4)


def test_one_stop_is_everybodys() -> None:
    """Issue 7: what one worker is refused (a key, an empty account) ends the sending of all with their next check-in."""
    coordinator = make(RunSettings(), 8, [])
    for name in ("w1", "w2"):
        coordinator.checkin(Report(name, wanted=(1,)), 0.0)
    stop = Stop("refused", "401: the key is refused")
    assert coordinator.checkin(Report("w1", stop=stop), 0.3).stop == stop
    grant = coordinator.checkin(Report("w2", wanted=(1,)), 0.4)
    assert grant.stop == stop
    assert not grant.leases


def test_a_variant_that_one_worker_stops_is_sent_by_none_and_reported_once() -> None:
    """Fault 6: all workers hear of a refused model with their next check-in, the user reads it once, and the run ends for its reason."""
    said: list[object] = []
    tallies = {"good": Tally(total=2 * ROWS_PER_SHARD), "bad": Tally(total=2 * ROWS_PER_SHARD)}
    shards = ShardPlan(tuple(divide(2 * ROWS_PER_SHARD, [InputOffset(0)])), 2)

    async def recover(lease: Lease, written: object) -> list[Recovered]:
        return []

    coordinator = Coordinator(RunSettings(), [1], shards, tallies, recover=recover, notify=said.append)
    stop = Stop("refused", "house: no such model")
    found = stopped_alone("bad", stop)
    leased = [coordinator.checkin(Report(name, usages=(IDLE,), wanted=(1,)), 0.0).leases for name in ("w1", "w2")]
    assert coordinator.checkin(Report("w1", events=(found,)), 0.3).refused == {"bad": stop}
    grant = coordinator.checkin(Report("w2", events=(found,)), 0.4)
    assert (grant.refused, grant.stop, said) == ({"bad": stop}, None, [found])
    while any(leased):
        for name, leases in zip(("w1", "w2"), leased, strict=True):
            done = tuple(lease.key for lease in leases)
            leased[("w1", "w2").index(name)] = coordinator.checkin(Report(name, usages=(IDLE,), wanted=(1,), done=done), 0.5).leases
    assert coordinator.finished
    assert coordinator.stopped_by == stop


async def test_an_abandoned_endpoint_is_waited_for_until_its_leases_are_back() -> None:
    """Fault 3: of an endpoint that refuses everything nothing is leased, but what its workers have begun is waited for."""
    leases = Leases(2, divide(2 * ROWS_PER_SHARD, [InputOffset(0)]))
    poor, rich = (leases.take("w1", queue) for queue in (0, 1))
    assert poor is not None
    leases.abandon(0)
    assert (leases.available(0), leases.take("w2", 0)) == (0, None)
    while rich is not None:
        assert leases.done("w1", rich.key)
        rich = leases.take("w1", 1)
    assert not leases.finished
    assert leases.release(poor)
    assert leases.finished
    assert leases.available(0) == 0
