"""Names of merged objects, and which objects a merged one takes the place of."""

from __future__ import annotations

from pathlib import Path

import pytest

from batch.errors import DamagedError
from batch.journal.index import ResumeIndex
from batch.journal.lines import encode
from batch.journal.segment_name import SegmentName, parsed_name
from batch.journal.segments import segment_names, write_seal
from batch.rundir.store_merging import Small, groups
from tests.support.stores import outcome

LEASE = SegmentName(2, 5, 1)
LENGTH = len(encode(outcome(0)))


def put(folder: Path, name: SegmentName, *ordinals: int) -> None:
    """Write an object with a record of each row."""
    folder.mkdir(exist_ok=True)
    name.path(folder).write_bytes(b"".join(encode(outcome(ordinal)) for ordinal in ordinals))


@pytest.mark.parametrize("lease", [LEASE, SegmentName(1)])
def test_a_name_says_which_objects_are_merged(lease: SegmentName) -> None:
    """A name is read as it was written, and sorts where the last of its objects stood; its lease is that of the others."""
    merged = lease._replace(since=1, part=7)
    assert merged.stem.endswith("-000001-to-000007")
    assert parsed_name(f"{merged.stem}.jsonl") == merged
    assert merged.lease == lease
    assert merged.merged_from == [lease._replace(part=part) for part in range(1, 8)]
    assert lease._replace(part=7) < merged < lease._replace(part=8)


@pytest.mark.parametrize("left", [(), (1,), (2, 3), (1, 2, 3)])
def test_a_merge_that_was_cut_off_counts_once(tmp_path: Path, left: tuple[int, ...]) -> None:
    """Promises 1, 3: whichever of the small objects are still there, each record is read once, and the numbers have no gap."""
    put(tmp_path, SegmentName(1))
    put(tmp_path, SegmentName(2))
    put(tmp_path, LEASE._replace(since=1, part=3), 0, 1, 2)
    for part in left:
        put(tmp_path, LEASE._replace(part=part), part - 1)
    put(tmp_path, LEASE._replace(part=4), 3)
    assert [name.part for name in segment_names(tmp_path) if name.part] == [3, 4]
    assert len(ResumeIndex.load(tmp_path)) == 4
    assert ResumeIndex.load(tmp_path).superseded == 0


def test_a_gap_beside_a_merged_object_is_damage(tmp_path: Path) -> None:
    """Promise 3: a merged object that begins late, or an object that is missing after it, is named."""
    put(tmp_path, SegmentName(1))
    put(tmp_path, SegmentName(2))
    put(tmp_path, LEASE._replace(since=2, part=3), 1, 2)
    with pytest.raises(DamagedError, match=r"000002-00005-001-000001\.jsonl"):
        segment_names(tmp_path)
    put(tmp_path, LEASE._replace(part=1), 0)
    put(tmp_path, LEASE._replace(part=5), 4)
    with pytest.raises(DamagedError, match=r"000002-00005-001-000004\.jsonl"):
        segment_names(tmp_path)


def test_a_seal_counts_merged_objects_by_their_last(tmp_path: Path) -> None:
    """Fencing: what a worker put after its lease was sealed counts for nothing, beside a merged object too."""
    put(tmp_path, SegmentName(1))
    put(tmp_path, SegmentName(2))
    put(tmp_path, LEASE._replace(since=1, part=2), 0, 1)
    put(tmp_path, LEASE._replace(part=3), 2)
    write_seal(tmp_path, LEASE, {"last": 2})
    assert len(ResumeIndex.load(tmp_path)) == 2


def test_only_small_objects_that_follow_each_other_are_merged(monkeypatch: pytest.MonkeyPatch) -> None:
    """Promise 8: groups have a bound, large objects and the last stay as they are, and nothing is merged over a gap."""
    monkeypatch.setattr("batch.rundir.store_merging.MOST_BYTES", 100)
    monkeypatch.setattr("batch.rundir.store_merging.FLUSH_BYTES", 60)
    sizes = {1: 40, 2: 40, 3: 40, 4: 60, 5: 10, 7: 10, 8: 10, 9: 59, 10: 10}
    objects = [Small(LEASE._replace(part=part), size) for part, size in sizes.items()]
    assert [[each.name.part for each in group] for group in groups(objects)] == [[1, 2], [7, 8, 9]]
