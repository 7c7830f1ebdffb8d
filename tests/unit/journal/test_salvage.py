"""Salvage: every whole record of a damaged journal is kept, the damaged file set aside, the loss said."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from batch.errors import DamagedError
from batch.journal.index import ResumeIndex
from batch.journal.lines import encode, task_hash
from batch.journal.salvage import salvage_journal
from tests.support.stores import outcome, reopened, write_journal


def known(directory: Path, rows: int) -> list[int]:
    """The ordinals of which the journal has a record."""
    entries = ResumeIndex.load(directory).lookup([task_hash(None, ordinal, 0) for ordinal in range(rows)])
    return [ordinal for ordinal, entry in enumerate(entries) if entry is not None]


def test_a_damaged_record_is_left_out(tmp_path: Path) -> None:
    """All others stay, the old file is beside, and the bytes that were lost are named (fault 40)."""
    write_journal(tmp_path, *(outcome(number) for number in range(4)))
    path = tmp_path / "000001.jsonl"
    sizes = [len(encode(outcome(number))) for number in range(4)]
    damaged = bytearray(path.read_bytes())
    damaged[sizes[0] + 30] ^= 1
    path.write_bytes(damaged)

    (salvaged,) = salvage_journal(tmp_path)

    assert known(tmp_path, 4) == [0, 2, 3]
    assert (tmp_path / "000001.jsonl.damaged").read_bytes() == damaged
    assert salvaged.lost == ((sizes[0], sizes[0] + sizes[1] - 1),)
    assert "3 records kept, 1 places lost" in str(salvaged)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert reopened(tmp_path) is None


@pytest.mark.parametrize("garbage", [b"\x00" * 40, b"{}", b"not a record at all"])
def test_a_line_that_holds_no_record_is_lost_alone(tmp_path: Path, garbage: bytes) -> None:
    """Foreign bytes in which nothing of a record is left, as of a block that a disk gave back as zeros (fault 40)."""
    write_journal(tmp_path, outcome(0), outcome(1))
    path = tmp_path / "000001.jsonl"
    first, second = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(first + garbage + b"\n" + second)

    (salvaged,) = salvage_journal(tmp_path)

    assert known(tmp_path, 2) == [0, 1]
    assert salvaged.lost == ((len(first), len(first) + len(garbage)),)


def test_a_damaged_newline_costs_no_record(tmp_path: Path) -> None:
    """Two records that run into each other are both sound, and both kept (fault 40)."""
    write_journal(tmp_path, *(outcome(number) for number in range(3)))
    path = tmp_path / "000001.jsonl"
    damaged = bytearray(path.read_bytes())
    damaged[len(encode(outcome(0))) - 1] = ord("x")
    path.write_bytes(damaged)

    salvage_journal(tmp_path)

    assert known(tmp_path, 3) == [0, 1, 2]


def test_the_last_record_damaged(tmp_path: Path) -> None:
    """Damage at the very end, which opening refuses, is salvaged too (fault 40)."""
    write_journal(tmp_path, outcome(0), outcome(1))
    path = tmp_path / "000001.jsonl"
    damaged = bytearray(path.read_bytes())
    damaged[-5] ^= 1
    path.write_bytes(damaged)
    with pytest.raises(DamagedError):
        reopened(tmp_path)

    salvage_journal(tmp_path)

    assert reopened(tmp_path) is None
    assert known(tmp_path, 2) == [0]


def test_a_missing_segment(tmp_path: Path) -> None:
    """A gap is closed by an empty segment, so that the run can go on with the rest (fault 40)."""
    write_journal(tmp_path, *(outcome(number) for number in range(3)), segment_bytes=1)
    (tmp_path / "000002.jsonl").unlink()

    (salvaged,) = salvage_journal(tmp_path)

    assert "was missing" in str(salvaged)
    assert known(tmp_path, 3) == [0, 2]


def test_sound_journals_are_left_alone(tmp_path: Path) -> None:
    """Nothing is written anew without need; a torn tail is not damage (fault 38)."""
    write_journal(tmp_path, outcome(0), outcome(1))
    path = tmp_path / "000001.jsonl"
    path.write_bytes(path.read_bytes()[:-7])
    before = path.read_bytes()

    assert salvage_journal(tmp_path) == []
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_damaged_twice(tmp_path: Path) -> None:
    """A second salvage does not overwrite what the first set aside (promise 3)."""
    for _ in range(2):
        (tmp_path / "000001.jsonl").unlink(missing_ok=True)
        write_journal(tmp_path, outcome(0), outcome(1))
        path = tmp_path / "000001.jsonl"
        path.write_bytes(b"x" + path.read_bytes())
        salvage_journal(tmp_path)

    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["000001.jsonl", "000001.jsonl.damaged", "000001.jsonl.damaged-2"]
