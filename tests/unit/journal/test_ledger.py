"""The ledger of submissions: durable before it returns, whole after a crash at any byte, damage refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from batch.errors import DamagedError, StorageError
from batch.journal.disk import Disk
from batch.journal.ledger import FileLedger, StoreLedger, event_line, open_batches, read_events

EVENTS = [
    {"event": "run", "token": "abcd"},
    {"event": "intent", "shard": 1, "variant": "house/é", "requests": 10, "intent_at": 5.0},
    {"event": "created", "shard": 1, "batch_id": "batch_1", "created_at": 6.0, "word": "validating"},
    {"event": "intent", "shard": 2, "variant": "house/x", "requests": 4, "intent_at": 7.0},
    {"event": "collected", "shard": 1, "ok": 10},
]


def plain(events: list[dict[str, object]]) -> list[dict[str, object]]:
    """The events without their checksums."""
    return [{name: value for name, value in event.items() if name != "sum"} for event in events]


def test_a_crash_at_any_byte_leaves_whole_events(tmp_path: Path) -> None:
    """Cut anywhere, the events before the cut are read, the torn one is removed and said, and appending continues."""
    whole = b"".join(map(event_line, EVENTS))
    path = tmp_path / "submissions.jsonl"
    ends = [len(b"".join(map(event_line, EVENTS[:count]))) for count in range(len(EVENTS) + 1)]
    for cut in range(len(whole) + 1):
        path.write_bytes(whole[:cut])
        ledger = FileLedger(path)
        count = sum(end <= cut for end in ends) - 1
        assert plain(ledger.events) == EVENTS[:count]
        assert (ledger.repaired is None) == (cut in ends)
        ledger.append({"event": "seen", "shard": 9})
        ledger.close()
        assert plain(read_events("", path.read_bytes())[0]) == [*EVENTS[:count], {"event": "seen", "shard": 9}]


def test_any_changed_byte_before_the_end_is_refused() -> None:
    """One flipped bit in any event but a torn last one is damage."""
    whole = b"".join(map(event_line, EVENTS))
    for place in range(0, len(whole) - 1, 7):
        changed = bytearray(whole)
        changed[place] ^= 1
        with pytest.raises(DamagedError, match="checksum"):
            read_events("submissions.jsonl", bytes(changed))


def test_a_disk_that_fills_leaves_no_half_event(tmp_path: Path) -> None:
    """A refused write is cut off, so that the next one does not follow half a line."""

    class Full(Disk):
        full = False

        def write(self, descriptor: int, data: bytes | memoryview) -> int:
            if self.full:
                super().write(descriptor, bytes(data)[:7])
                raise OSError(28, "No space left on device")
            return super().write(descriptor, data)

    disk = Full()
    ledger = FileLedger(tmp_path / "submissions.jsonl", disk)
    ledger.append(EVENTS[0])
    disk.full = True
    with pytest.raises(StorageError, match="disk is full"):
        ledger.append(EVENTS[1])
    disk.full = False
    ledger.append(EVENTS[1])
    ledger.close()
    assert plain(FileLedger(tmp_path / "submissions.jsonl").events) == EVENTS[:2]


def test_a_store_has_the_whole_ledger_each_time() -> None:
    """Each event puts the object again; what a refused put had is not there."""
    puts: list[bytes] = []
    ledger = StoreLedger("s3://b/run/submissions.jsonl", b"", puts.append)
    for event in EVENTS:
        ledger.append(event)
    assert plain(read_events("", puts[-1])[0]) == EVENTS
    assert plain(StoreLedger("", puts[2] + b'{"sum', puts.append).events) == EVENTS[:3]


def test_open_batches_are_those_without_an_ending() -> None:
    """Batch 1 is collected; batch 2 was intended, and may be at its provider."""
    (found,) = open_batches(EVENTS)
    assert (found.number, found.variant, found.batch_id, found.requests, found.since) == (2, "house/x", None, 4, 7.0)
    assert open_batches([{"event": "run", "token": "x"}]) == ()
