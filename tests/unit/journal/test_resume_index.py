"""The resume index: what a journal holds of each task, in little memory."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batch.errors import DamagedError
from batch.journal import scan as scan_module
from batch.journal.index import IndexEntry, ResumeIndex
from batch.journal.lines import encode, task_hash
from batch.journal.reading import RecordReader
from batch.records import Outcome
from tests.support.stores import outcome, write_journal


def hashes(*ordinals: int) -> list[int]:
    return [task_hash(None, ordinal, 0) for ordinal in ordinals]


def newest_of(*written: Outcome) -> dict[int, Outcome]:
    return {item.ordinal: item for item in written}


def test_nothing_there(tmp_path: Path) -> None:
    """A journal that was never begun knows no task."""
    index = ResumeIndex.load(tmp_path / "none")

    assert (len(index), index.ok, index.failed, index.superseded) == (0, 0, 0, 0)
    assert index.lookup(hashes(1, 2)) == [None, None]
    assert index.locate(hashes(1)) == [None]
    assert list(index.locations()) == []
    assert index.lookup([]) == []


def test_lookup(tmp_path: Path) -> None:
    """Each task's key prefix and whether it is a completion; None for a task without a record."""
    write_journal(tmp_path, outcome(5), outcome(3, error="server_error"), segment_bytes=1)

    index = ResumeIndex.load(tmp_path)

    assert index.lookup(hashes(3, 4, 5)) == [IndexEntry(outcome(3).key[:8], False), None, IndexEntry(outcome(5).key[:8], True)]
    assert (index.ok, index.failed, index.records) == (1, 1, 2)
    assert index.nbytes == 31 * 2


def test_newest_wins(tmp_path: Path) -> None:
    """A later success replaces an earlier failure, and the other way round (fault 48)."""
    write_journal(tmp_path, outcome(1, error="server_error"), outcome(2), outcome(1, attempts=2), outcome(2, error="x"), segment_bytes=1)

    index = ResumeIndex.load(tmp_path)

    assert [entry and entry.ok for entry in index.lookup(hashes(1, 2))] == [True, False]
    assert (len(index), index.superseded) == (2, 2)


@settings(deadline=None, max_examples=60)
@given(
    written=st.lists(
        st.builds(outcome, st.integers(0, 30), attempts=st.integers(1, 9), error=st.none() | st.just("server_error")), max_size=60
    ),
    segment_bytes=st.integers(1, 5000),
    block=st.integers(1, 3000),
)
def test_any_journal_in_any_blocks(
    tmp_path_factory: pytest.TempPathFactory, written: list[Outcome], segment_bytes: int, block: int
) -> None:
    """Whatever the sizes of segments and blocks, every newest record is found and read back in any order (fault 48)."""
    directory = tmp_path_factory.mktemp("journal")
    write_journal(directory, *written, segment_bytes=segment_bytes)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scan_module, "_BLOCK", block)
        index = ResumeIndex.load(directory)
    asked = list(range(31))
    random.Random(7).shuffle(asked)

    with RecordReader(index.segments) as reader:
        read = reader.read(index.locate(hashes(*asked)))
        in_order = [item for locations in index.locations(3) for item in reader.read(locations)]

    newest = newest_of(*written)
    assert read == [newest.get(ordinal) for ordinal in asked]
    assert index.records == len(written)
    last = {item.ordinal: place for place, item in enumerate(written)}
    assert in_order == [written[place] for place in sorted(last.values())]


def test_every_flipped_byte_in_the_middle_is_refused(tmp_path: Path) -> None:
    """A changed byte anywhere before the last record is refused with the file and the offset of its record (promise 3, fault 40)."""
    first, middle, last = (encode(outcome(number)) for number in (1, 2, 3))
    path = tmp_path / "000001.jsonl"
    for place in range(len(middle)):
        for bits in (0x01, 0x20, 0x80):
            damaged = bytearray(middle)
            damaged[place] ^= bits
            path.write_bytes(first + damaged + last)
            with pytest.raises(DamagedError) as refused:
                ResumeIndex.load(tmp_path)
            assert refused.value.path == str(path)
            assert refused.value.offset == len(first)


def test_damage_can_be_gone_past(tmp_path: Path) -> None:
    """Who asks for it is told of every damaged place and gets the rest, also of a segment that was not the last (fault 40)."""
    write_journal(tmp_path, *(outcome(number) for number in range(6)), segment_bytes=1500)
    sizes = {}
    for path in sorted(tmp_path.iterdir()):
        data = bytearray(path.read_bytes())
        sizes[path] = len(data)
        data[40] ^= 1
        path.write_bytes(data[:-3] if path.name == "000001.jsonl" else data)
    damage: list[DamagedError] = []

    index = ResumeIndex.load(tmp_path, damage.append)

    assert len(index) + len(damage) == 6
    assert [(item.path, item.offset) for item in damage if item.offset == 0] == [(str(path), 0) for path in sorted(tmp_path.iterdir())]
    assert any("ends within a record" in str(item) for item in damage)


def test_a_checksum_of_other_characters_is_refused(tmp_path: Path) -> None:
    """A digit of the checksum that is none is seen, whatever it would count for (promise 3, fault 40)."""
    place = 8
    line = next(line for line in map(encode, map(outcome, range(100))) if line[place] == ord("f"))
    (tmp_path / "000001.jsonl").write_bytes(line[:place] + b"g" + line[place + 1 :] + encode(outcome(200)))

    with pytest.raises(DamagedError):
        ResumeIndex.load(tmp_path)


@pytest.mark.parametrize("junk", [b"\n", b"{}\n", b"x" * 200 + b"\n", b'{"sum":"' + b"0" * 300 + b"\n", b'{"sum":"fcb6e20c"}\n'])
def test_foreign_lines_are_damage(tmp_path: Path, junk: bytes) -> None:
    """A line that promptmill did not write is damage, however short (fault 40)."""
    (tmp_path / "000001.jsonl").write_bytes(junk + encode(outcome(1)))

    with pytest.raises(DamagedError) as refused:
        ResumeIndex.load(tmp_path)
    assert refused.value.offset == 0


def test_a_running_writer_is_not_disturbed(tmp_path: Path) -> None:
    """A record that is just being written is passed over and left as it is (promise 3)."""
    write_journal(tmp_path, outcome(1))
    path = tmp_path / "000001.jsonl"
    with path.open("ab") as file:
        file.write(encode(outcome(2))[:100])
    before = path.read_bytes()

    assert len(ResumeIndex.load(tmp_path)) == 1
    assert path.read_bytes() == before


def test_a_whole_record_without_its_newline_counts(tmp_path: Path) -> None:
    """It is kept by the next opening, so it is known now (fault 39)."""
    write_journal(tmp_path, outcome(1), outcome(2))
    path = tmp_path / "000001.jsonl"
    path.write_bytes(path.read_bytes()[:-1])

    index = ResumeIndex.load(tmp_path)

    assert index.locate(hashes(2))[0] is not None
    with RecordReader(index.segments) as reader:
        assert reader.read(index.locate(hashes(2))) == [outcome(2)]


def test_reading_many_segments_keeps_few_open(tmp_path: Path) -> None:
    """A journal of many segments does not use up the process's open files (fault 32)."""
    write_journal(tmp_path, *(outcome(number) for number in range(60)), segment_bytes=1)
    index = ResumeIndex.load(tmp_path)
    before = len(list(Path("/proc/self/fd").iterdir()))

    with RecordReader(index.segments) as reader:
        assert reader.read(index.locate(hashes(*range(60)))) == [outcome(number) for number in range(60)]
        assert len(list(Path("/proc/self/fd").iterdir())) - before <= 16

    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_a_record_that_changed_since_is_named(tmp_path: Path) -> None:
    """What is read back is checked again (promise 3)."""
    write_journal(tmp_path, outcome(1), outcome(2))
    index = ResumeIndex.load(tmp_path)
    path = tmp_path / "000001.jsonl"
    data = bytearray(path.read_bytes())
    data[-10] ^= 1
    path.write_bytes(data)

    with RecordReader(index.segments) as reader, pytest.raises(DamagedError) as refused:
        reader.read(index.locate(hashes(1, 2)))
    assert refused.value.offset == len(encode(outcome(1)))


@pytest.mark.long
def test_memory_of_a_million_rows(tmp_path: Path) -> None:
    """The index of a million rows takes 31 bytes a row, and the process that loads it stays under 200 MB (promise 8, fault 56)."""
    with (tmp_path / "000001.jsonl").open("wb") as file:
        for number in range(1_000_000):
            file.write(encode(outcome(number)))
    code = (
        "import resource, sys; from pathlib import Path; from batch.journal.index import ResumeIndex;"
        "index = ResumeIndex.load(Path(sys.argv[1]));"
        "print(len(index), index.nbytes // len(index), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    rows, width, peak = map(int, done.stdout.split())
    assert (rows, width) == (1_000_000, 31)
    assert peak < 200
