"""Pruning: what newer records replaced loses its answer and keeps its account; packed journals come back byte for byte."""

from __future__ import annotations

import stat
from dataclasses import replace
from pathlib import Path

import pytest

from batch.errors import DamagedError
from batch.journal.index import ResumeIndex
from batch.journal.lines import decode
from batch.journal.packing import is_packed, pack, unpack
from batch.journal.pruning import drop_replaced, replaced_bytes
from batch.journal.segments import segment_paths
from batch.journal.summary_files import spent_usd
from tests.support.stores import outcome, reopened, write_journal

LONG = "word " * 2000


def rerun(directory: Path) -> None:
    """A journal in which rows 0 to 4 have a newer outcome than their first, over several segments."""
    first = [replace(outcome(number, text=LONG), cost_usd=0.25) for number in range(10)]
    again = [replace(outcome(number, text="new"), cost_usd=0.5) for number in range(5)]
    write_journal(directory, *first, *again, segment_bytes=40_000)


def records(directory: Path) -> list[tuple[int, bytes | None]]:
    """Row and answer of each record, in order."""
    lines = [line for path in segment_paths(directory) for line in path.read_bytes().splitlines()]
    return [(found.ordinal, found.response) for found in map(decode, lines)]


def test_replaced_answers_go_and_their_accounts_stay(tmp_path: Path) -> None:
    """The newest outcome of each task keeps its answer; the cost of all records is as before, and so are the numbers of records."""
    rerun(tmp_path)
    before, spent = records(tmp_path), spent_usd(tmp_path)
    measured, size = replaced_bytes(tmp_path), sum(path.stat().st_size for path in segment_paths(tmp_path))

    freed = drop_replaced(tmp_path)

    assert [row for row, _ in records(tmp_path)] == [row for row, _ in before]
    assert [answer for _, answer in records(tmp_path)] == [None] * 5 + [answer for _, answer in before[5:]]
    assert spent_usd(tmp_path) == spent == 10 * 0.25 + 5 * 0.5
    assert size - sum(path.stat().st_size for path in segment_paths(tmp_path)) == freed
    assert 5 * len(LONG) < freed <= measured
    assert stat.S_IMODE(segment_paths(tmp_path)[0].stat().st_mode) == 0o600
    index = ResumeIndex.load(tmp_path)
    assert (len(index), index.superseded) == (10, 5)
    assert reopened(tmp_path) is None


def test_a_second_time_nothing_is_left_to_drop(tmp_path: Path) -> None:
    """Records without an answer are not counted again, and no file is written again for them."""
    rerun(tmp_path)
    drop_replaced(tmp_path)
    names = {path: path.stat().st_ino for path in segment_paths(tmp_path)}
    assert (replaced_bytes(tmp_path), drop_replaced(tmp_path)) == (0, 0)
    assert {path: path.stat().st_ino for path in segment_paths(tmp_path)} == names


def test_a_damaged_journal_is_not_pruned(tmp_path: Path) -> None:
    """Which record is the newest cannot be known then: nothing is changed."""
    rerun(tmp_path)
    path = segment_paths(tmp_path)[0]
    damaged = bytearray(path.read_bytes())
    damaged[200] ^= 1
    path.write_bytes(damaged)
    with pytest.raises(DamagedError, match="checksum"):
        drop_replaced(tmp_path)
    assert path.read_bytes() == damaged


def test_a_packed_journal_is_smaller_and_comes_back_as_it_was(tmp_path: Path) -> None:
    """Packing frees nine tenths here; unpacking gives the same bytes, for their owner only."""
    rerun(tmp_path)
    before = {path.name: path.read_bytes() for path in segment_paths(tmp_path)}
    freed = pack(tmp_path)
    assert is_packed(tmp_path)
    assert freed > 0.9 * sum(map(len, before.values()))
    assert not list(tmp_path.glob("*.jsonl"))
    unpack(tmp_path)
    assert {path.name: path.read_bytes() for path in segment_paths(tmp_path)} == before
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in segment_paths(tmp_path))
    assert not is_packed(tmp_path)


def test_what_was_packed_and_is_still_there_counts_as_it_is_there(tmp_path: Path) -> None:
    """A kill between packing a file and removing it, or between unpacking and removal, leaves both: the plain file may have grown."""
    rerun(tmp_path)
    before = {path: path.read_bytes() for path in segment_paths(tmp_path)}
    pack(tmp_path)
    grown = min(before)
    grown.write_bytes(before[grown] + b"grown since\n")
    unpack(tmp_path)
    assert grown.read_bytes() == before[grown] + b"grown since\n"
    assert not is_packed(tmp_path)


@pytest.mark.parametrize("damage", [lambda data: data[:-4], lambda data: b"", lambda data: data[:30] + b"\xff\xff" + data[32:]])
def test_a_damaged_packed_file_is_no_empty_journal(tmp_path: Path, damage) -> None:
    """Its rows would be sent again, and paid again: reading it is refused, and what is there stays."""
    rerun(tmp_path)
    pack(tmp_path)
    packed = min(tmp_path.glob("*.jsonl.zst"))
    packed.write_bytes(damage(packed.read_bytes()))
    with pytest.raises(DamagedError, match="the packed file"):
        unpack(tmp_path)
    assert packed.exists()
    assert not packed.with_suffix("").exists()
