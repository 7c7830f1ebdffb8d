"""Disks that misbehave on purpose, and small journals to try them on."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable
from pathlib import Path

from batch.journal.disk import Disk
from batch.journal.file_writer import FileJournal
from batch.journal.lines import decode, encode
from batch.records import ErrorInfo, ErrorKind, Outcome


class ShortDisk(Disk):
    """Writes at most `size` bytes at a time."""

    def __init__(self, size: int) -> None:
        self.size = size

    def write(self, descriptor: int, data: bytes | memoryview) -> int:
        return super().write(descriptor, data[: self.size])


class FullDisk(Disk):
    """Has room for `room` bytes, then gives `code`; a write that does not fit is cut short first. May refuse truncation too."""

    def __init__(self, room: int, code: int, *, truncates: bool = True) -> None:
        self.room, self.code, self.truncates = room, code, truncates

    def write(self, descriptor: int, data: bytes | memoryview) -> int:
        if self.room <= 0:
            raise OSError(self.code, os.strerror(self.code))
        written = super().write(descriptor, data[: self.room])
        self.room -= written
        return written

    def truncate(self, descriptor: int, size: int) -> None:
        if not self.truncates:
            raise OSError(self.code, os.strerror(self.code))
        super().truncate(descriptor, size)


class WatchedDisk(Disk):
    """Notes what is done, in which thread; `on_sync` is called in each sync and may raise or wait."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.sync_threads: list[int] = []
        self.on_sync: Callable[[], None] = lambda: None

    def open(self, path: Path) -> int:
        self.done.append(f"open {path.name}")
        return super().open(path)

    def write(self, descriptor: int, data: bytes | memoryview) -> int:
        self.done.append("write")
        return super().write(descriptor, data)

    def sync(self, descriptor: int) -> None:
        self.done.append("sync")
        self.sync_threads.append(threading.get_ident())
        self.on_sync()
        super().sync(descriptor)

    def sync_directory(self, path: Path) -> None:
        self.done.append("sync directory")
        super().sync_directory(path)


class LosingDisk(Disk):
    """Knows what the power would take: `lose_power` cuts each file to what was synced and removes names that were not."""

    def __init__(self) -> None:
        self.paths: dict[int, Path] = {}
        self.synced: dict[Path, int] = {}
        self.named: set[Path] = set()

    def open(self, path: Path) -> int:
        if path.exists() and path not in self.synced:
            self.named.add(path)
        descriptor = super().open(path)
        self.paths[descriptor] = path
        self.synced.setdefault(path, path.stat().st_size)
        return descriptor

    def sync(self, descriptor: int) -> None:
        super().sync(descriptor)
        self.synced[self.paths[descriptor]] = os.fstat(descriptor).st_size

    def sync_directory(self, path: Path) -> None:
        super().sync_directory(path)
        self.named |= {known for known in self.synced if known.parent == path}

    def lose_power(self) -> None:
        for path, size in self.synced.items():
            if path in self.named:
                os.truncate(path, min(size, path.stat().st_size))
            else:
                path.unlink()


def outcome(ordinal: int, *, attempts: int = 1, error: str | None = None, text: str | None = None, id_: str | None = None) -> Outcome:
    """A small outcome; `error` is the code of a failure."""
    return Outcome(
        ordinal=ordinal,
        id=str(ordinal) if id_ is None else id_,
        repeat=0,
        key=ordinal.to_bytes(16, "little"),
        attempts=attempts,
        error=None if error is None else ErrorInfo(ErrorKind.API, error, f"{error} of row {ordinal}", 500),
        api="chat/completions",
        finish_reason=None if error else "stop",
        http_status=500 if error else 200,
        sent=1_700_000_000.0 + ordinal,
        first_token=None,
        done=1_700_000_001.5 + ordinal,
        usage=None if error else {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
        response=None if error else answer(f"answer {ordinal}" if text is None else text),
    )


def answer(text: str) -> bytes:
    """The body of a chat reply."""
    return json.dumps({"choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}]}).encode()


def write_journal(directory: Path, *outcomes: Outcome, segment_bytes: int = 1 << 28) -> None:
    """A journal with these outcomes; none of its segments is larger than `segment_bytes` and one record."""
    directory.mkdir(parents=True, exist_ok=True)
    number = 1
    for item in outcomes:
        path = directory / f"{number:06d}.jsonl"
        with path.open("ab") as file:
            file.write(encode(item))
        if path.stat().st_size >= segment_bytes:
            number += 1


def reopened(directory: Path) -> str | None:
    """What opening the journal repaired."""
    with FileJournal(directory, "group") as journal:
        return journal.repaired


def read_back(directory: Path) -> list[Outcome]:
    """All records of a journal, in order."""
    return [decode(line) for path in sorted(directory.glob("*.jsonl")) for line in path.read_bytes().splitlines()]
