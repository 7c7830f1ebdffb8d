"""Shards, and which worker has which."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch.executors.shards import FEWEST_ROWS, MOST_ROWS, divide, rows_per_shard
from batch.executors.workers.leases import MOST_GENERATIONS, Leases
from batch.executors.workers.messages import Lease
from batch.records import InputOffset


@given(st.integers(0, 3_000_000), st.integers(1, 700))
def test_shards_cover_all_rows_once(rows: int, every: int) -> None:
    """Contiguous, in order, none empty; each has the last mark at or before its first row."""
    offsets = [InputOffset(ordinal) for ordinal in range(0, max(1, min(rows, 200 * every)), every)]
    shards = divide(rows, offsets)

    assert [shard.number for shard in shards] == list(range(len(shards)))
    edges = [0, *(shard.stop for shard in shards)]
    assert [shard.start for shard in shards] == edges[:-1]
    assert edges[-1] == rows
    for shard in shards:
        assert shard.start < shard.stop
        assert shard.offset == max((offset for offset in offsets if offset.ordinal <= shard.start), key=lambda offset: offset.ordinal)


@pytest.mark.parametrize(
    ("rows", "size"), [(0, FEWEST_ROWS), (100, FEWEST_ROWS), (20_000, FEWEST_ROWS), (1_000_000, 977), (10**9, MOST_ROWS)]
)
def test_shards_are_as_large_as_the_input_makes_them(rows: int, size: int) -> None:
    """The size depends on nothing but the number of rows, so it is the same over resumes with other numbers of workers."""
    assert rows_per_shard(rows) == size


def take(leases: Leases, worker: str) -> Lease:
    """The next lease of the only queue, which must be there."""
    lease = leases.take(worker, 0)
    assert lease is not None
    return lease


def test_what_a_dead_worker_held_goes_to_others_first() -> None:
    """Its shards are taken up again, before new ones, under a higher generation; what it finished stays finished."""
    leases = Leases(1, divide(4 * FEWEST_ROWS, [InputOffset(0)]))
    first, second = take(leases, "a"), take(leases, "a")
    assert leases.done("a", first.key)
    assert leases.leased_to("a") == [second]
    assert leases.release(second)

    again = take(leases, "b")
    assert (again.shard, again.generation) == (second.shard, 2)
    assert take(leases, "b").shard.number == 2


def test_a_worker_that_lost_its_lease_finishes_nothing() -> None:
    """Fencing: what it reports as done under an old generation is not."""
    leases = Leases(1, divide(FEWEST_ROWS, [InputOffset(0)]))
    old = take(leases, "a")
    leases.release(old)
    new = take(leases, "b")

    assert not leases.done("a", old.key)
    assert not leases.done("a", new.key)
    assert not leases.finished
    assert leases.done("b", new.key)
    assert leases.finished


def test_a_shard_that_kills_its_workers_is_given_up() -> None:
    """After so many generations it is not handed on."""
    leases = Leases(1, divide(FEWEST_ROWS, [InputOffset(0)]))
    for generation in range(1, MOST_GENERATIONS + 1):
        lease = take(leases, "a")
        assert lease.generation == generation
        assert leases.release(lease) == (generation < MOST_GENERATIONS)


@given(st.integers(1, 12), st.integers(1, 3), st.integers(0, 2**32))
def test_every_shard_is_done_once_whoever_dies(shards: int, queues: int, seed: int) -> None:
    """Whatever workers take, finish and lose by death: each shard of each queue is finished exactly once, by its holder."""
    chance = random.Random(seed)
    leases = Leases(queues, divide(shards * FEWEST_ROWS, [InputOffset(0)]))
    done: list[tuple[int, int]] = []
    while not leases.finished:
        worker = chance.choice("abc")
        queue = chance.randrange(queues)
        match chance.randrange(3):
            case 0:
                was_drained = leases.available(queue) == 0
                assert (leases.take(worker, queue) is None) == was_drained
            case 1:
                for lease in leases.leased_to(worker):
                    assert leases.done(worker, lease.key)
                    done.append((lease.queue, lease.shard.number))
            case _:
                for lease in leases.leased_to(worker):
                    if lease.generation < MOST_GENERATIONS:
                        leases.release(lease)
    assert sorted(done) == [(queue, number) for queue in range(queues) for number in range(shards)]
    assert all(leases.available(queue) == 0 for queue in range(queues))
