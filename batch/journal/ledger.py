"""The ledger of a run: what was submitted to Batch APIs, one checksummed JSON line for each step, synced before the next step is taken.

    {"sum":"<crc32, 8 hex>","event":"created","shard":3,…}

`sum` is the CRC-32 of all bytes after its own closing quote, without the newline. A torn last line is what a crash leaves and is removed;
damage anywhere else is refused, since what was submitted would be submitted again.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from zlib import crc32

import orjson

from batch.errors import DamagedError
from batch.journal.disk import Disk, open_to_read, storage_errors
from batch.journal.lines import SUMMED_FROM

LEDGER = "submissions.jsonl"
ENDINGS = ("collected", "released")
"""The events after which nothing of a submission is at its provider."""


@dataclass(frozen=True, slots=True)
class OpenBatch:
    """A batch that may be at its provider, and is not collected. `word` is the provider's for its status; `since` is in epoch seconds."""

    number: int
    variant: str
    batch_id: str | None
    word: str
    requests: int
    since: float | None


def open_batches(events: Sequence[Mapping[str, Any]]) -> tuple[OpenBatch, ...]:
    """Find the batches that the events of a ledger leave open."""
    known: dict[int, dict[str, Any]] = {}
    for event in events:
        if "shard" not in event:
            continue
        if event.get("event") in ENDINGS:
            known.pop(int(event["shard"]), None)
        else:
            known[int(event["shard"])] = {**known.get(int(event["shard"]), {}), **event}
    return tuple(
        OpenBatch(
            number,
            str(of.get("variant", "")),
            of.get("batch_id"),
            str(of.get("word") or "submitted"),
            int(of.get("requests", 0)),
            of.get("created_at") or of.get("intent_at"),
        )
        for number, of in known.items()
    )


class Ledger(Protocol):
    """The record of submissions. `events` are those that were there when it was opened; `repaired` says what opening it repaired."""

    events: list[dict[str, Any]]
    repaired: str | None

    def append(self, event: Mapping[str, Any]) -> None:
        """Record an event; it is durable when this returns. Raises StorageError."""

    def close(self) -> None:
        """Close it."""


class FileLedger:
    """A ledger on disk; opening creates it, and repairs a torn tail. Raises DamagedError, StorageError."""

    def __init__(self, path: Path, disk: Disk | None = None) -> None:
        self._path = path
        self._disk = disk or Disk()
        with storage_errors(path):
            content = b""
            if path.exists():
                with open_to_read(path) as file:
                    content = file.read()
            self.events, keep = read_events(str(path), content)
            self._descriptor = self._disk.open(path)
            self.repaired: str | None = None
            if keep < len(content):
                self._disk.truncate(self._descriptor, keep)
                self.repaired = f"{path}: the last {len(content) - keep} bytes were a record that a crash had cut short; they were removed"
            # What is read here is taken for done, so it must be durable.
            self._disk.sync(self._descriptor)
            self._disk.sync_directory(path.parent)

    def append(self, event: Mapping[str, Any]) -> None:
        """Write an event and sync it."""
        with storage_errors(self._path):
            size = os.fstat(self._descriptor).st_size
            try:
                rest = memoryview(event_line(event))
                while rest:
                    rest = rest[self._disk.write(self._descriptor, rest) :]
            except OSError:
                # A half line in the middle would be damage: the next line must not follow it.
                self._disk.truncate(self._descriptor, size)
                raise
            self._disk.sync(self._descriptor)

    def close(self) -> None:
        """Close the file."""
        self._disk.close(self._descriptor)


class StoreLedger:
    """A ledger on an object store: `write` puts the whole of it, `content` is what was there. Raises DamagedError."""

    def __init__(self, place: str, content: bytes, write: Callable[[bytes], None]) -> None:
        self._write = write
        self.events, keep = read_events(place, content)
        self._content = content[:keep]
        self.repaired: str | None = None

    def append(self, event: Mapping[str, Any]) -> None:
        """Put the ledger with one event more."""
        content = self._content + event_line(event)
        self._write(content)
        self._content = content

    def close(self) -> None:
        """Do nothing: each event was put at once."""


def event_line(event: Mapping[str, Any]) -> bytes:
    """Encode an event, newline included."""
    summed = b"," + orjson.dumps(dict(event))[1:]
    return b'{"sum":"%08x"%s\n' % (crc32(summed), summed)


def read_events(place: str, content: bytes) -> tuple[list[dict[str, Any]], int]:
    """Read the events of a ledger and the number of bytes that they take. Raises DamagedError for a damaged line before the last."""
    events = []
    start = 0
    while (end := content.find(b"\n", start)) >= 0:
        line = content[start:end]
        if line[:SUMMED_FROM] != b'{"sum":"%08x"' % crc32(memoryview(line)[SUMMED_FROM:]) or not line.endswith(b"}"):
            # Pages that never reached the disk at a power loss are NUL bytes; no line is written with one.
            if end + 1 == len(content) and b"\0" in line:
                break
            raise DamagedError(place, start, "the checksum of a submission does not match; restore the file before anything is submitted")
        events.append(orjson.loads(line))
        start = end + 1
    return events, start
