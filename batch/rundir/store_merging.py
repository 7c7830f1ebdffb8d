"""Merges small objects of a journal on an object store. An object never changes, so what is merged is a new one beside them.

`000002-00005-001-000001-to-000007.jsonl` is what the objects 1 to 7 of that lease hold, in their order. Once it is on the store, which is
at once and whole, readers pass over these seven (segments.py); then they are deleted, the first one first. So whenever a merge is cut off,
each record is read once: from the small objects, or from the merged one. The last object of a lease is left as it is: by its number the
others are missed where they were deleted.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from batch.journal.object_writer import FLUSH_BYTES
from batch.journal.segment_name import SegmentName, parsed_name, without_merged
from batch.journal.segments import LAST, read_seal
from batch.storage import Mirror, stores, when_merged
from batch.storage.store_errors import StoreError

# As much is in memory while it is merged.
MOST_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class Small:
    """An object of a journal and its size."""

    name: SegmentName
    size: int


class Merging:
    """Merges objects of the journal in `folder` of a store, which `mirror` has a copy of. Every method raises StoreError."""

    def __init__(self, mirror: Mirror, folder: str) -> None:
        self._mirror = mirror
        self._folder = folder

    def merge(self, names: Sequence[SegmentName]) -> None:
        """Merge the objects of one lease, which follow each other. Nothing may be added to them, nor may they be sealed, meanwhile."""
        infos = stores.infos([self._mirror.url.joined(self._path(name)) for name in names])
        sizes = [Small(name, found.size) for name, found in zip(names, infos, strict=True) if found is not None]
        if len(sizes) < len(names):
            return  # another worker, or an earlier session, was at it
        for group in groups(sizes):
            self._merge([each.name for each in group])

    def fetch(self, lease: SegmentName, folder: Path) -> None:
        """Fetch the objects of a former lease, as far as its seal says, or all where its holder finished it, and the seal."""
        when_merged(lambda: self._fetch(lease, folder))

    def _fetch(self, lease: SegmentName, folder: Path) -> None:
        there = [each.url.name for each in self._mirror.listing(self._folder)]
        seal = lease.seal(folder)
        if sealed := seal.name in there:
            self._mirror.fetch_apart([f"{self._folder}/{seal.name}"], folder)
        last = read_seal(seal).get(LAST, 0) if sealed else math.inf
        objects = sorted(name for each in there if (name := parsed_name(each)) is not None and name.part and name.lease == lease)
        self._mirror.fetch_apart([self._path(name) for name in without_merged(objects) if name.part <= last], folder)

    def merge_all(self, counting: Collection[SegmentName]) -> None:
        """Merge the small objects of all leases; hold the lock. Those that are not `counting` are left: they are beyond a seal."""
        found = self._mirror.listing(self._folder)
        sized = {name: each.size for each in found if (name := parsed_name(each.url.name)) is not None and name.part}
        kept = without_merged(sorted(sized))
        self._delete(sorted(sized.keys() - set(kept)))
        leases: dict[SegmentName, list[Small]] = {}
        for name in kept:
            if not name.since and name in counting:
                leases.setdefault(name.lease, []).append(Small(name, sized[name]))
        for objects in leases.values():
            for group in groups(objects):
                self._merge([each.name for each in group])

    def _merge(self, names: Sequence[SegmentName]) -> None:
        contents = [self._mirror.read(self._path(name)) for name in names]
        if any(content is None for content in contents):
            raise StoreError(f"{self._mirror.url.joined(self._path(names[0]))}: is missing", lasting=True)
        merged = names[-1]._replace(since=names[0].part)
        self._mirror.add(self._path(merged), b"".join(content for content in contents if content is not None))
        self._delete(names)

    def _delete(self, names: Sequence[SegmentName]) -> None:
        # The first one first: where it is there, all are. Of the copy nothing: other processes of this machine may be reading it.
        urls = [self._mirror.url.joined(self._path(name)) for name in names]
        for url in urls[:1]:
            stores.delete(url)
        stores.together(stores.delete, urls[1:])

    def _path(self, name: SegmentName) -> str:
        return f"{self._folder}/{name.stem}.jsonl"


def groups(objects: Sequence[Small]) -> Iterator[list[Small]]:
    """Yield the runs of small objects of a lease that follow each other, in groups of MOST_BYTES at most.

    Single ones are left as they are, and so is the last of all.
    """
    group: list[Small] = []
    for each in objects[:-1]:
        follows = bool(group) and group[-1].name.part + 1 == each.name.part
        fits = sum(one.size for one in group) + each.size <= MOST_BYTES
        if group and not (follows and fits and each.size < FLUSH_BYTES):
            yield from [group] if len(group) > 1 else []
            group = []
        if each.size < FLUSH_BYTES:
            group.append(each)
    if len(group) > 1:
        yield group
