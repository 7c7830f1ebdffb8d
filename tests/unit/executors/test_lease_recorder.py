"""The journals of a worker's leases together."""

from __future__ import annotations

from pathlib import Path

import pytest

from batch.clock import SystemClock
from batch.engine.costs import Costs
from batch.executors.shards import Shard
from batch.executors.workers.lease_recorder import LeaseRecorder
from batch.executors.workers.messages import Lease
from batch.journal.leased import LeasedObjectJournal
from batch.journal.object_writer import MAX_PENDING_BYTES
from batch.journal.segment_name import SegmentName
from batch.journal.writer import LeasedJournalWriter
from batch.records import InputOffset
from batch.rundir.local import RunDirectory
from batch.settings import RunSettings, Variant
from batch.tally import Tally
from tests.support.runs import variant


class Store(RunDirectory):
    """A run directory whose leases are written as on a store that takes everything."""

    def open_lease(self, slug: str, lease: SegmentName, run: RunSettings) -> LeasedObjectJournal:
        return LeasedObjectJournal(lease, lambda name, data: None, run.flush_interval_s)


def recorder_of(directory: RunDirectory) -> LeaseRecorder:
    """A recorder of one variant."""

    def open_journal(variant: Variant, lease: Lease) -> LeasedJournalWriter:
        name = SegmentName(1, lease.shard.number, lease.generation)
        return directory.open_lease(variant.slug, name, RunSettings(flush_interval_s=1000.0))

    return LeaseRecorder([variant("m")], open_journal, {"m": Tally()}, SystemClock(), Costs({}, []), lambda: None)


def lease(shard: int) -> Lease:
    """A lease of ten rows."""
    return Lease(0, Shard(shard, 10 * shard, 10 * shard + 10, InputOffset(0)), 1)


async def test_what_all_leases_hold_is_bounded_together(tmp_path: Path) -> None:
    """Promise 8: while a store takes nothing, a worker holds no more than stated over all its leases, however many it has begun."""
    recorder = recorder_of(Store(tmp_path))
    lease_journals = [recorder.open(lease(shard)) for shard in range(4)]
    for each in lease_journals:
        assert not recorder.is_behind("m")
        each.journals["m"].append(bytes(MAX_PENDING_BYTES // 4))
    assert recorder.is_behind("m")
    await recorder.sync()
    assert not recorder.is_behind("m")


@pytest.mark.parametrize("settled", [False, True])
async def test_a_finished_lease_does_not_wait_for_its_flush(tmp_path: Path, settled: bool) -> None:
    """A lease whose tasks all have their outcome is put with the next regular sync, and told to be done; others wait for their time."""
    recorder = recorder_of(Store(tmp_path))
    lease_journals = recorder.open(lease(0))
    lease_journals.journals["m"].append(b"a\n")
    lease_journals.fed, lease_journals.settled, lease_journals.is_read = 1, int(settled), True
    await recorder.sync(due=True)
    assert lease_journals.journals["m"].is_durable is settled
    assert recorder.take_done() == ([lease_journals.lease.key] if settled else [])
    assert recorder.tallies["m"].durable == int(settled)
