"""Journals of runs that are shared out over workers: their files, in which order they are read, and how a lease passes on."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import pytest

from batch.errors import DamagedError, StorageError
from batch.journal.file_writer import FileJournal
from batch.journal.index import ResumeIndex
from batch.journal.leased import LeasedFileJournal, claim_number, earlier_segments, seal
from batch.journal.lines import encode, task_hash
from batch.journal.reading import RecordReader
from batch.journal.salvage import salvage_journal
from batch.journal.segment_name import SegmentName
from batch.journal.segments import segment_paths
from batch.journal.shared_index import LayeredIndex, SharedIndex
from batch.records import Outcome
from tests.support.stores import FullDisk, outcome


def read_back(directory: Path) -> dict[int, str]:
    """For each row the text of the newest outcome that counts."""
    index = ResumeIndex.load(directory)
    with RecordReader(index.segments) as reader:
        found = [o for locations in index.locations() for o in reader.read(locations) if o is not None]
    return {o.ordinal: text_of(o) for o in found}


def text_of(record: Outcome) -> str:
    """The answer's text."""
    return str(json.loads(record.response or b"")["choices"][0]["message"]["content"])


def write(directory: Path, lease: SegmentName, *records: Outcome, segment_bytes: int = 1 << 20) -> None:
    """Append these outcomes to the journal of a lease."""
    with LeasedFileJournal(directory, lease, "os", segment_bytes=segment_bytes) as journal:
        for record in records:
            journal.append(encode(record))


def test_files_are_read_by_number_shard_generation_and_roll(tmp_path: Path) -> None:
    """The newest outcome of a task wins: numbers first, then shards, then the generations of a lease, then its files."""
    names = ["000002.jsonl", "000002-00001-001.jsonl", "000002-00001-001-02.jsonl", "000002-00001-002.jsonl", "000002-00010-001.jsonl"]
    for name in ["000003.jsonl", *reversed(names), "000001.jsonl", "note.txt", "000002-00001-001.jsonl.damaged"]:
        (tmp_path / name).touch()

    assert [path.name for path in segment_paths(tmp_path)] == ["000001.jsonl", *names, "000003.jsonl"]


def test_a_later_generation_wins_over_an_earlier_one(tmp_path: Path) -> None:
    """A row that was answered under two leases of a shard has the outcome of the later one."""
    number, _ = claim_number(tmp_path)
    lease = SegmentName(number, 3, 1)
    write(tmp_path, lease._replace(generation=2), outcome(1, text="new"))
    write(tmp_path, lease, outcome(1, text="old"), outcome(2, text="old"))

    assert read_back(tmp_path) == {1: "new", 2: "old"}


def test_what_a_former_holder_writes_after_the_seal_is_not_read(tmp_path: Path) -> None:
    """Fencing: once a lease has passed on, nothing that its former holder writes counts, in old files or in new ones."""
    number, _ = claim_number(tmp_path)
    lease = SegmentName(number, 0, 1)
    with LeasedFileJournal(tmp_path, lease, "os") as journal:
        journal.append(encode(outcome(1, text="counts")))
        sizes = seal(tmp_path, lease)
        journal.append(encode(outcome(2, text="late")))
    write(tmp_path, lease._replace(roll=1), outcome(3, text="late"))
    (tmp_path / "000001-00000-001-02.jsonl").write_bytes(encode(outcome(4, text="late")))

    assert read_back(tmp_path) == {1: "counts"}
    assert [(segment.path, size) for segment, size in sizes] == [(lease.path(tmp_path), len(encode(outcome(1, text="counts"))))]


def test_a_lease_without_files_is_sealed_too(tmp_path: Path) -> None:
    """A worker that wakes late and has written nothing before cannot begin to write after its lease has passed on."""
    number, _ = claim_number(tmp_path)
    lease = SegmentName(number, 7, 1)
    seal(tmp_path, lease)
    write(tmp_path, lease, outcome(1))

    assert read_back(tmp_path) == {}


def test_each_lease_may_have_a_torn_tail(tmp_path: Path) -> None:
    """Promise 3; fault 38: several workers were killed at once: each file may end within a record, and the next session repairs all."""
    number, _ = claim_number(tmp_path)
    for shard in range(3):
        write(tmp_path, SegmentName(number, shard, 1), outcome(2 * shard), outcome(2 * shard + 1))
        path = SegmentName(number, shard, 1).path(tmp_path)
        os.truncate(path, path.stat().st_size - 7)

    assert set(read_back(tmp_path)) == {0, 2, 4}
    _, repaired = claim_number(tmp_path)
    assert (repaired or "").count("a crash had cut short") == 3
    assert claim_number(tmp_path)[1] is None
    assert set(read_back(tmp_path)) == {0, 2, 4}


def test_a_torn_tail_is_sealed_off(tmp_path: Path) -> None:
    """The seal of a killed worker's lease ends with its last whole record."""
    number, _ = claim_number(tmp_path)
    lease = SegmentName(number, 0, 1)
    write(tmp_path, lease, outcome(1), outcome(2))
    os.truncate(lease.path(tmp_path), lease.path(tmp_path).stat().st_size - 7)

    seal(tmp_path, lease)

    assert set(read_back(tmp_path)) == {1}
    assert claim_number(tmp_path)[1] is None


def test_only_the_last_file_of_a_lease_may_be_torn(tmp_path: Path) -> None:
    """Promise 3: a lease's file was synced before the next one got records, so a torn end there is damage."""
    number, _ = claim_number(tmp_path)
    lease = SegmentName(number, 0, 1)
    write(tmp_path, lease, outcome(1))
    (tmp_path / "000001-00000-001-02.jsonl").write_bytes(encode(outcome(2)))
    os.truncate(lease.path(tmp_path), lease.path(tmp_path).stat().st_size - 7)

    with pytest.raises(DamagedError, match="within a record"):
        ResumeIndex.load(tmp_path)


@pytest.mark.parametrize("missing", ["000001.jsonl", "000002-00000-001.jsonl"])
def test_a_missing_file_is_named(tmp_path: Path, missing: str) -> None:
    """Promise 3: a number that is gone, or the first file of a lease with two, is damage."""
    for name in ("000001.jsonl", "000002.jsonl", "000002-00000-001.jsonl", "000002-00000-001-02.jsonl", "000003.jsonl"):
        (tmp_path / name).touch()
    (tmp_path / missing).unlink()

    with pytest.raises(DamagedError, match=f"{missing}.*missing"):
        segment_paths(tmp_path)


def test_sessions_of_one_process_and_of_several_follow_each_other(tmp_path: Path) -> None:
    """A run begun with one process goes on with several, and the other way round: each later session's outcomes win."""
    with FileJournal(tmp_path, "os") as journal:
        journal.append(encode(outcome(1, text="first")))
    number, _ = claim_number(tmp_path)
    write(tmp_path, SegmentName(number, 0, 1), outcome(1, text="second"), outcome(2, text="second"))
    with FileJournal(tmp_path, "os") as journal:
        journal.append(encode(outcome(2, text="third")))
    assert read_back(tmp_path) == {1: "second", 2: "third"}
    number, _ = claim_number(tmp_path)
    write(tmp_path, SegmentName(number, 5, 1), outcome(1, text="fourth"))

    assert read_back(tmp_path) == {1: "fourth", 2: "third"}
    assert [path.name for path in segment_paths(tmp_path)] == [
        "000001.jsonl",
        "000002.jsonl",
        "000002-00000-001.jsonl",
        "000003.jsonl",
        "000004.jsonl",
        "000004-00005-001.jsonl",
    ]


def test_a_number_is_claimed_once(tmp_path: Path) -> None:
    """A worker that outlives its session writes under a number that no later session has, even if it had not written before."""
    assert [claim_number(tmp_path)[0] for _ in range(3)] == [1, 2, 3]


async def test_a_lease_journal_rolls_and_says_how_far_it_is(tmp_path: Path) -> None:
    """A file that is long enough is followed by the next at a sync; nothing is made before the first record."""
    number, _ = claim_number(tmp_path)
    lease = SegmentName(number, 1, 2)
    with LeasedFileJournal(tmp_path, lease, "group", segment_bytes=10) as journal:
        assert await journal.sync() == 0
        assert not lease.path(tmp_path).exists()
        for ordinal in range(3):
            journal.append(encode(outcome(ordinal)))
            assert journal.appended_bytes == (ordinal + 1, len(encode(outcome(ordinal))))
            assert await journal.sync() == ordinal + 1
            assert journal.is_durable

    assert set(read_back(tmp_path)) == {0, 1, 2}
    assert (tmp_path / "000001-00001-002-03.jsonl").exists()


def test_a_full_disk_refuses_a_lease_journal(tmp_path: Path) -> None:
    """Fault 57: what a worker cannot write, it refuses as a journal does; whole records stay."""
    number, _ = claim_number(tmp_path)
    line = encode(outcome(1))
    with LeasedFileJournal(tmp_path, SegmentName(number, 0, 1), "group", disk=FullDisk(len(line) + 20, errno.ENOSPC)) as journal:
        journal.append(line)
        with pytest.raises(StorageError, match="full"):
            journal.append(encode(outcome(2)))

    assert set(read_back(tmp_path)) == {1}


def test_earlier_segments_of_a_shard_are_found(tmp_path: Path) -> None:
    """Who takes over a shard reads what its former holders of this session left, and of no other shard."""
    number, _ = claim_number(tmp_path)
    for shard, generation in ((0, 1), (0, 2), (1, 1)):
        write(tmp_path, SegmentName(number, shard, generation), outcome(shard))

    assert [segment.name for segment in earlier_segments(tmp_path, SegmentName(number, 0, 3))] == [
        SegmentName(number, 0, 1),
        SegmentName(number, 0, 2),
    ]
    assert earlier_segments(tmp_path, SegmentName(number, 0, 1)) == []


def test_salvage_writes_a_sealed_file_anew_with_its_seal(tmp_path: Path) -> None:
    """The way on from damage in a sealed file keeps every whole record that counts, and none that does not."""
    number, _ = claim_number(tmp_path)
    lease = SegmentName(number, 0, 1)
    write(tmp_path, lease, outcome(1), outcome(2), outcome(3))
    seal(tmp_path, lease)
    write(tmp_path, lease, outcome(4))
    path = lease.path(tmp_path)
    data = bytearray(path.read_bytes())
    data[len(encode(outcome(1))) + 120] ^= 0x04
    path.write_bytes(data)
    with pytest.raises(DamagedError):
        ResumeIndex.load(tmp_path)

    assert len(salvage_journal(tmp_path)) == 1
    assert set(read_back(tmp_path)) == {1, 3}


def test_known_tells_what_the_index_tells(tmp_path: Path) -> None:
    """The shared file of what is done answers as the index does that wrote it; a later index wins over it."""
    with FileJournal(tmp_path / "j", "os") as journal:
        for ordinal in (1, 2, 5):
            journal.append(encode(outcome(ordinal)))
    index = ResumeIndex.load(tmp_path / "j")
    index.save(tmp_path / "known")
    known = SharedIndex(tmp_path / "known")
    hashes = [task_hash(None, ordinal, 0) for ordinal in range(8)]

    assert len(known) == 3
    assert known.lookup(hashes) == index.lookup(hashes)
    assert SharedIndex(None).lookup(hashes) == [None] * 8
    with FileJournal(tmp_path / "k", "os") as journal:
        journal.append(encode(outcome(0)))
    overlaid = LayeredIndex(known, ResumeIndex.load(tmp_path / "k")).lookup(hashes)
    assert [entry is not None for entry in overlaid] == [True, True, True, False, False, True, False, False]


def test_what_failed_in_this_session_is_not_tried_again(tmp_path: Path) -> None:
    """Who takes a shard over takes every outcome of its former holder for final, also where failed rows are to be retried."""
    write(tmp_path, SegmentName(1, 0, 1), outcome(1, error="bad_request"))
    index = ResumeIndex.load(tmp_path)
    (entry,) = index.lookup([task_hash(None, 1, 0)])

    assert entry is not None
    assert not entry.ok
    assert LayeredIndex(SharedIndex(None), index).lookup([task_hash(None, 1, 0)]) == [entry._replace(ok=True)]
