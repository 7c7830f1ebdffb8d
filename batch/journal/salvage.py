"""Repair of a damaged journal: every whole record is kept, the damaged file is set aside, and what was lost is reported."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from batch.errors import DamagedError
from batch.journal.disk import Disk, open_to_read, storage_errors
from batch.journal.lines import is_whole
from batch.journal.segments import Segment, lines, read_seal, segments, write_seal
from batch.storage import named, open_regular, replace_atomically, sync_directory

_HEAD = b'{"sum":"'


@dataclass(frozen=True, slots=True)
class Salvaged:
    """One rewritten segment: `lost` are the byte ranges of the damaged file (kept as `aside`) without a whole record."""

    path: Path
    aside: Path | None
    kept: int
    lost: tuple[tuple[int, int], ...]

    def __str__(self) -> str:
        if self.aside is None:
            return f"{named(self.path)}: was missing; its rows will be sent again"
        places = ", ".join(f"{start}-{end}" for start, end in self.lost[:10]) + (", …" if len(self.lost) > 10 else "")
        kept = f"{self.kept} records kept, {len(self.lost)} places lost (bytes {places})"
        return f"{named(self.path)}: {kept}; the damaged file is {named(self.aside)}"


def salvage_journal(directory: Path) -> list[Salvaged]:
    """Rewrite the damaged segments of a journal; hold the run directory's lock. A torn tail is left to the next opening.

    Raises:
        StorageError: the disk refuses; each segment is then either the old one or the new one.
    """
    with storage_errors(directory):
        done = list(_fill_gaps(directory))
        for segment in segments(directory):
            pieces, lost = _split_intact(segment.path, _end(segment))
            if lost:
                done.append(_rewrite(segment.path, pieces, lost))
                reseal(directory, segment)
    return done


def _fill_gaps(directory: Path) -> Iterator[Salvaged]:
    while True:
        try:
            segments(directory)
        except DamagedError as gap:
            path = directory / Path(gap.path.partition("?")[0]).name
            if path.exists():
                raise  # An unreadable seal: how much of the lease counts cannot be decided.
            disk = Disk()
            disk.close(disk.open(path))
            disk.sync_directory(directory)
            yield Salvaged(path, None, 0, ())
        else:
            return


def _end(segment: Segment) -> int:
    try:
        return segment.end()
    except DamagedError:
        return segment.path.stat().st_size


def reseal(directory: Path, segment: Segment) -> None:
    """Seal a rewritten segment again: all of its bytes count."""
    if segment.sealed_at is not None and not segment.name.part:
        sealed = read_seal(segment.name.seal(directory))
        write_seal(directory, segment.name.lease, {**sealed, segment.path.name: segment.path.stat().st_size})


def _split_intact(path: Path, end: int) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """Split a file into the byte ranges (start, length) of whole records, and those (start, end) of the rest."""
    pieces: list[tuple[int, int]] = []
    lost: list[tuple[int, int]] = []
    for offset, line in lines(path, end):
        if is_whole(line):
            pieces.append((offset, len(line)))
            continue
        found = [(offset + start, length) for start, length in _within(line)]
        pieces += found
        lost.append((offset, offset + len(line)))
    return pieces, lost


def _within(line: bytes) -> Iterator[tuple[int, int]]:
    """Find whole records inside a damaged line: a damaged newline joins two intact records."""
    starts = []
    place = line.find(_HEAD)
    while place >= 0:
        starts.append(place)
        place = line.find(_HEAD, place + 1)
    for start, end in zip(starts, [*starts, len(line)][1:], strict=True):
        yield from ((start, stop - start) for stop in (end - 1, end) if is_whole(line[start:stop]))


def _rewrite(path: Path, pieces: list[tuple[int, int]], lost: list[tuple[int, int]]) -> Salvaged:
    # A number is added where an earlier salvage has left its copy, which is kept.
    candidates = (path.with_name(f"{path.name}.damaged{suffix}") for suffix in ("", *(f"-{number}" for number in range(2, 1000))))
    aside = next(candidate for candidate in candidates if not os.path.lexists(candidate))
    with open_to_read(path) as old, open(aside, "xb", opener=open_regular) as copy:
        shutil.copyfileobj(old, copy)
    shutil.copystat(path, aside)
    sync_directory(path.parent)
    with open_to_read(path) as old, replace_atomically(path, private=True) as new:
        for offset, length in pieces:
            old.seek(offset)
            new.write(old.read(length) + b"\n")
    return Salvaged(path, aside, len(pieces), tuple(lost))
