"""What a dead worker has recorded and not told of is counted, once, and nothing that it writes later is."""

from __future__ import annotations

from pathlib import Path

import pytest

from batch.events import Event
from batch.executors.sharding import ShardPlan
from batch.executors.shards import divide
from batch.executors.workers.coordinator import Coordinator
from batch.executors.workers.messages import Example, Report
from batch.executors.workers.recovery import LeaseRecovery
from batch.journal.file_writer import FileJournal
from batch.journal.index import ResumeIndex
from batch.journal.leased import LeasedFileJournal, claim_number
from batch.journal.lines import encode
from batch.journal.segment_name import SegmentName
from batch.policy.limits.shared import LimitUsage
from batch.records import ErrorInfo, ErrorKind, InputOffset
from batch.rundir.local import RunDirectory
from batch.settings import RunSettings
from batch.tally import Tally
from tests.support.runs import variant
from tests.support.stores import outcome

IDLE = LimitUsage(elapsed=0.25, in_flight=0, peak=0, area=0.0, short=False)


class Stage:
    """A run of one variant and 500 rows, of which an earlier session has failed row 0, over two workers."""

    def __init__(self, path: Path) -> None:
        self.variant = variant("m")
        self.directory = RunDirectory(path)
        self.folder = self.directory.journal_dir("m")
        with FileJournal(self.folder, "os") as journal:
            journal.append(encode(outcome(0, error="server_error")))
        index = ResumeIndex.load(self.folder)
        number, _ = claim_number(self.folder)
        self.name = SegmentName(number, 0, 1)
        self.tally = Tally(total=500, kept_failed=1)
        recover = LeaseRecovery(self.directory, [[self.variant]], {"m": number}, {"m": index}, by_id=False)
        self.events: list[Event] = []
        self.coordinator = Coordinator(
            RunSettings(),
            [1],
            ShardPlan(tuple(divide(500, [InputOffset(0)])), 2),
            {"m": self.tally},
            recover=recover,
            notify=self.events.append,
        )


async def test_outcomes_that_were_not_told_of_are_counted(tmp_path: Path) -> None:
    """Promise 1: counts of the session are those of the journal, although the worker died before it could tell; kept ones are replaced."""
    stage = Stage(tmp_path)
    (lease,) = stage.coordinator.checkin(Report("a", usages=(IDLE,), wanted=(1,)), 0.0).leases
    journal = LeasedFileJournal(stage.folder, stage.name, "os")
    for ordinal in (5, 6):
        journal.append(encode(outcome(ordinal)))
    told = {lease.key: {"m": journal.appended_bytes}}
    stage.coordinator.checkin(Report("a", {"m": Tally(ok=2, requests=5, in_flight=3, durable=1)}, (IDLE,), (0,), written=told), 0.2)
    for record in (outcome(0), outcome(7), outcome(8, error="bad_request")):
        journal.append(encode(record))

    await stage.coordinator.lost("a")
    journal.append(encode(outcome(9)))

    tally = stage.tally
    assert (tally.ok, tally.failed, tally.kept_failed, tally.durable) == (4, 1, 0, 5)
    assert (tally.in_flight, tally.doubled, tally.failures) == (0, 3, {"bad_request": 1})
    assert tally.requests == 8
    index = ResumeIndex.load(stage.folder)
    assert (index.ok, index.failed) == (4, 1)
    (again,) = stage.coordinator.checkin(Report("b", usages=(IDLE,), wanted=(1,)), 0.5).leases
    assert (again.shard, again.generation) == (lease.shard, 2)


async def test_who_was_given_up_is_told_to_end(tmp_path: Path) -> None:
    """Fencing: a worker that is thought dead and checks in again ends, and what it reports counts for nothing."""
    stage = Stage(tmp_path)
    (lease,) = stage.coordinator.checkin(Report("a", usages=(IDLE,), wanted=(1,)), 0.0).leases
    await stage.coordinator.lost("a")

    grant = stage.coordinator.checkin(Report("a", {"m": Tally(ok=250)}, (IDLE,), (1,), done=(lease.key,)), 9.0)

    assert grant.over
    assert not grant.leases
    assert stage.tally.ok == 0
    assert not stage.coordinator.finished


@pytest.mark.parametrize("others_served", [False, True])
def test_failures_of_all_workers_are_judged_together(tmp_path: Path, others_served: bool) -> None:
    """A worker whose rows all fail for one reason ends the run only if nobody else has had an answer."""
    stage = Stage(tmp_path)
    stage.coordinator.checkin(Report("a", {"m": Tally(ok=int(others_served))}, (IDLE,), (1,)), 0.0)
    failed = Tally(failed=30, failures={"bad_request": 30})
    example = Example("m", 260, "260", ErrorInfo(ErrorKind.API, "bad_request", "no such parameter", 400))

    grant = stage.coordinator.checkin(Report("b", {"m": failed}, (IDLE,), (1,), examples=(example,)), 0.1)

    assert (grant.stop is None) == others_served
    if grant.stop is not None:
        assert "no such parameter" in grant.stop.reason
