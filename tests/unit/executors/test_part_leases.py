"""Which worker writes which part of the outputs, and when."""

from __future__ import annotations

from batch.executors.shards import Shard
from batch.executors.workers.part_leases import PartLeases
from batch.records import InputOffset
from batch.results.parts import PartPlan


def shards(*numbers: int) -> list[Shard]:
    """Shards of ten rows each."""
    return [Shard(number, 10 * number, 10 * number + 10, InputOffset(0)) for number in numbers]


def test_a_part_waits_for_all_shards_and_queues_that_have_rows_of_it() -> None:
    """Promise 11: parts of 15 rows over shards of ten: each is due when both its shards are done for both queues."""
    leases = PartLeases(PartPlan(40, 15, 3), shards(0, 1, 2, 3), 2)
    for queue, shard in ((0, 0), (0, 1), (1, 0), (0, 0), (1, 0)):
        leases.shard_done(queue, shard)
        assert leases.take("w1") is None
    leases.shard_done(1, 1)
    assert leases.take("w1") == 0
    assert leases.take("w2") is None
    for queue in (0, 1):
        leases.shard_done(queue, 2)
    assert (leases.take("w1"), leases.take("w2")) == (None, 1)


def test_the_part_of_a_lost_worker_goes_to_another() -> None:
    """A part is one worker's at a time; what a lost one had comes first, and a late report of it changes nothing."""
    leases = PartLeases(PartPlan(40, 10, 4), shards(), 1)
    assert [leases.take("w1"), leases.take("w2")] == [0, 1]
    leases.lost("w1")
    leases.ended("w1", 0)
    leases.ended("w2", 1)
    assert [leases.take("w2"), leases.take("w3"), leases.take("w4"), leases.take("w5")] == [0, 2, 3, None]


def test_rows_of_earlier_sessions_are_no_shard_of_this_one() -> None:
    """Parts without a row left are due at once; without parts nothing ever is."""
    leases = PartLeases(PartPlan(40, 10, 4), shards(1, 3), 1)
    assert [leases.take("w1"), leases.take("w2"), leases.take("w3")] == [0, 2, None]
    without = PartLeases(None, shards(0), 1)
    without.shard_done(0, 0)
    assert without.take("w1") is None
