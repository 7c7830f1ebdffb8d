"""Request keys in memory: which were there before, and where their outcomes are."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from batch.journal.index import ResumeIndex
from batch.journal.keys import KeySet
from batch.journal.reading import RecordReader
from batch.records import ErrorInfo, ErrorKind, Outcome
from tests.support.stores import write_journal

ERROR = ErrorInfo(ErrorKind.API, "bad_request", "no")


def key(number: int) -> bytes:
    """A request's key; its first 8 bytes tell small numbers apart."""
    return number.to_bytes(8, "big") + bytes(8)


@given(batches=st.lists(st.lists(st.integers(0, 60), max_size=20), max_size=40), before=st.sets(st.integers(0, 60)))
def test_it_knows_what_was_there(batches: list[list[int]], before: set[int]) -> None:
    """For each key whether it came before, in the same call or an earlier one, or was given at the start: as a plain set has it."""
    keys, plain = KeySet(np.array(sorted(before, reverse=True), np.uint64)), set(before)
    for batch in batches:
        expected = []
        for number in batch:
            expected.append(number in plain)
            plain.add(number)
        assert keys.add([key(number) for number in batch]) == expected
    assert len(keys) == len(plain)


def test_it_stops_to_remember_at_its_bound() -> None:
    """Promise 8: beyond its bound it takes no more memory, and says so; what it knows it still knows."""
    keys = KeySet(most=100)
    for number in range(0, 300, 50):
        keys.add([key(each) for each in range(number, number + 50)])
    assert keys.is_full
    assert len(keys) == 100
    assert keys.add([key(0), key(299), key(299)]) == [True, False, True]


def test_memory_of_a_million_keys() -> None:
    """Promise 8: a million different requests take 8 bytes each, and no more than twice that while they are sorted in."""
    rng = np.random.default_rng(1)
    numbers = rng.permutation(1_000_000).astype(">u8").tobytes()
    keys = KeySet()
    tracemalloc.start()
    try:
        for start in range(0, len(numbers), 8 * 5000):
            keys.add([numbers[at : at + 8] for at in range(start, start + 8 * 5000, 8)])
        held, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 8.2e6
    assert peak < 26e6


@given(records=st.lists(st.tuples(st.integers(0, 30), st.integers(0, 9), st.booleans()), max_size=60))
def test_outcomes_are_found_by_their_request(tmp_path_factory, records: list[tuple[int, int, bool]]) -> None:
    """For each request an outcome of the newest records is found, a completion where there is one; for others none."""
    folder: Path = tmp_path_factory.mktemp("journal")
    write_journal(folder, *(Outcome(row, str(row), 0, key(of), 1, None if ok else ERROR) for row, of, ok in records), segment_bytes=1000)
    newest = {row: (of, ok) for row, of, ok in records}
    wanted = {of: any(ok for other, ok in newest.values() if other == of) for of, _ in newest.values()}
    index = ResumeIndex.load(folder)
    assert sorted(index.completed_keys(len(newest) + 1).tolist()) == sorted(of for of, ok in newest.values() if ok)
    with RecordReader(index.segments) as reader:
        found = reader.read(index.find_requests([key(of) for of in range(12)]))
    assert {of: outcome.ok for of, outcome in enumerate(found) if outcome is not None} == wanted
    assert all(outcome.key == key(of) for of, outcome in enumerate(found) if outcome is not None)
