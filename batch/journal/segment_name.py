"""The names of a journal's files, which say in what order they are read (segments.py)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

_NAME = re.compile(r"(\d{6,})(?:-(\d{5,})-(\d{3})(?:-(\d{2,5}))?)?(?:-(\d{6,})(?:-to-(\d{6,}))?)?\.jsonl")


class SegmentName(NamedTuple):
    """What a segment's file name says; a segment of one process has shard -1 and generation 0. Names sort as segments are read.

    `part` is 0 for a file that is appended to, and counts from 1 where each flush is an object of its own. A merged object holds those from
    `since` up to `part`.
    """

    number: int
    shard: int = -1
    generation: int = 0
    roll: int = 1
    part: int = 0
    since: int = 0

    @property
    def lease(self) -> SegmentName:
        """The first file of the same lease."""
        return self._replace(roll=1, part=0, since=0)

    @property
    def merged_from(self) -> list[SegmentName]:
        """The names of the objects that a merged one stands for; none of another file."""
        return [self._replace(part=part, since=0) for part in range(self.since, self.part + 1)] if self.since else []

    @property
    def stem(self) -> str:
        """The file name without its suffix."""
        lease = f"-{self.shard:05d}-{self.generation:03d}" if self.shard >= 0 else ""
        objects = f"-{self.since:06d}-to-{self.part:06d}" if self.since else f"-{self.part:06d}" if self.part else ""
        return f"{self.number:06d}{lease}" + (f"-{self.roll:02d}" if self.roll > 1 else "") + objects

    def path(self, directory: Path) -> Path:
        """Path of the segment."""
        return directory / f"{self.stem}.jsonl"

    def seal(self, directory: Path) -> Path:
        """Path of the file that says how much of the lease counts."""
        return directory / f"{self.lease.stem}.sealed"


def without_merged(names: Sequence[SegmentName]) -> list[SegmentName]:
    """Leave out the objects that a merged one stands for: a merge that was cut off leaves both."""
    merged: dict[SegmentName, list[SegmentName]] = {}
    for name in names:
        if name.since:
            merged.setdefault(name.lease, []).append(name)

    def is_merged(name: SegmentName) -> bool:
        first = name.since or name.part
        return any(each.since <= first and name.part <= each.part and each != name for each in merged[name.lease])

    return [name for name in names if not name.part or name.lease not in merged or not is_merged(name)]


def parsed_name(file: str) -> SegmentName | None:
    """Return what the name of a file of a journal says; None for other files."""
    match = _NAME.fullmatch(file)
    if match is None:
        return None
    number, shard, generation, roll, part, to = match.groups()
    whole = SegmentName(int(number)) if shard is None else SegmentName(int(number), int(shard), int(generation), int(roll or 1))
    return whole._replace(part=int(to), since=int(part)) if to else whole._replace(part=int(part or 0))
