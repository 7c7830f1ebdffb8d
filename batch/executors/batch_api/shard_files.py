"""The files of a batch in the run directory: its requests as they are sent, its tasks, and what became of those without an answer."""

from __future__ import annotations

import json
import os
from array import array
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from pathlib import Path
from typing import Any, Self, cast

import orjson

from batch.engine.work import Work
from batch.errors import DamagedError
from batch.journal.disk import open_to_read, storage_errors
from batch.records import Api, Request, Task
from batch.rundir.local import RunDirectory
from batch.storage import open_regular, replace_atomically
from batch.writers.values import json_bytes

DIGEST_BYTES = 8


@dataclass(frozen=True, slots=True)
class TaskEntry:
    """A task as a batch has it. `key` is that of its request, `size` the bytes of its body, `previous` its state before this submission.

    `state` is what earlier attempts have left, of Work's fields; `mended` the body that replaces the task's own.
    """

    ordinal: int
    id: str
    repeat: int
    key: bytes
    size: int
    previous: str | None = None
    state: Mapping[str, Any] = field(default_factory=dict)
    mended: str | None = None

    @classmethod
    def of(cls, work: Work) -> TaskEntry:
        """Describe work."""
        task = work.task
        state = {name: value for name in _KEPT if (value := getattr(work, name))}
        mended = work.mended.body.decode("utf-8", "replace") if work.mended is not None else None
        return cls(task.ordinal, task.id, task.repeat, task.request.key, len(work.request.body), work.previous, state, mended)

    def work(self, variant: str, api: str, body: bytes) -> Work:
        """Make the work of it again; `body` is that of its request."""
        task = Task(self.ordinal, self.id, variant, self.repeat, Request(cast("Api", api), body, self.key))
        work = Work(task, previous=self.previous)
        return self.restored(work)

    def restored(self, work: Work) -> Work:
        """Give `work` of the same task what earlier attempts have left."""
        for name, value in self.state.items():
            setattr(work, name, value)
        if self.mended is not None:
            work.mended = replace(work.task.request, body=self.mended.encode())
        return work

    def line(self) -> bytes:
        """Encode it."""
        values = [self.ordinal, self.id, self.repeat, self.key.hex(), self.size, self.previous, dict(self.state) or None, self.mended]
        return json_bytes(values) + b"\n"

    @classmethod
    def read(cls, line: bytes) -> TaskEntry:
        """Decode a line. Raises ValueError."""
        try:
            values = orjson.loads(line)
        except orjson.JSONDecodeError:
            values = json.loads(line)
        ordinal, name, repeat, key, size, previous, state, mended = values
        return cls(ordinal, name, repeat, bytes.fromhex(key), size, previous, state or {}, mended)


_KEPT = ("attempts", "tries", "may_be_billed_twice", "unusable", "cost_usd", "extra_usd", "repairs", "used")


def digest_of(slug: str, task_id: str, repeat: int, key: bytes) -> bytes:
    """Name a task with its request, in 8 bytes: the same task with another request is another one."""
    name = f"{slug}\0{repeat}\0{task_id}\0".encode("utf-8", "surrogatepass")
    return blake2b(name + key, digest_size=DIGEST_BYTES).digest()


class ShardFiles:
    """The files of all batches of a run, in one folder. Every method raises StorageError."""

    def __init__(self, directory: RunDirectory) -> None:
        self._directory = directory
        self.folder = directory.batch_folder()

    def requests(self, number: int) -> Path:
        """Path of the requests, as they are sent."""
        return self.folder / f"{number:06d}.requests.jsonl"

    def tasks(self, number: int) -> Path:
        """Path of the tasks, one line for each request, in order."""
        return self.folder / f"{number:06d}.tasks.jsonl"

    def rest(self, number: int) -> Path:
        """Path of the tasks that got no final outcome."""
        return self.folder / f"{number:06d}.rest.jsonl"

    def result(self, number: int, place: int) -> Path:
        """Path of a file of results."""
        return self.folder / f"{number:06d}.result-{place}.jsonl"

    def publish(self, *paths: Path) -> None:
        """Put files on the store, where the run directory is on one."""
        self._directory.publish(*paths)

    def entries(self, path: Path) -> Iterator[TaskEntry]:
        """Read a file of tasks. Raises DamagedError where it is missing or damaged."""
        at = 0
        with storage_errors(path):
            if not path.exists():
                raise DamagedError(str(path), 0, "the file of a batch's tasks is missing; put it back")
            with open_to_read(path) as file:
                for line in file:
                    try:
                        yield TaskEntry.read(line)
                    except (ValueError, TypeError) as error:
                        raise DamagedError(str(path), at, f"a task of a batch cannot be read: {error}") from error
                    at += len(line)

    def write_rest(self, number: int, entries: list[TaskEntry]) -> None:
        """Write the tasks that a batch left without a final outcome, durably."""
        with replace_atomically(self.rest(number)) as file:
            file.writelines(entry.line() for entry in entries)
        self.publish(self.rest(number))

    def read_rest(self, number: int) -> Iterator[TaskEntry]:
        """Read them; none where there is no such file."""
        return self.entries(self.rest(number)) if self.rest(number).exists() else iter(())

    def remove_leftovers(self, numbers: set[int]) -> None:
        """Remove files of batches that were never begun: their numbers are given again."""
        with storage_errors(self.folder):
            paths = [path for path in self.folder.glob("[0-9]*.*.jsonl") if int(path.name.partition(".")[0]) not in numbers]
        self._directory.discard(*paths)

    def remove(self, number: int, *, tasks: bool = False) -> None:
        """Remove the requests and results of a batch that has ended, and with `tasks` all of its files."""
        with storage_errors(self.folder):
            paths = [self.requests(number), *self.folder.glob(f"{number:06d}.result-*.jsonl")]
        self._directory.discard(*[path for path in paths if path.exists()], *([self.tasks(number)] if tasks else []))


class RequestBodies:
    """The bodies of a batch's requests, by place; empty where the file is gone. A context manager. Raises StorageError."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._starts: array[int] | None = None
        self._descriptor = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)

    def of(self, place: int) -> bytes:
        """Return the body of the request at a place."""
        with storage_errors(self._path):
            starts = self._starts if self._starts is not None else self._open()
            if place + 1 >= len(starts):
                return b""
            return body_of(os.pread(self._descriptor, starts[place + 1] - starts[place], starts[place]))

    def _open(self) -> array[int]:
        self._starts = starts = array("Q", [0])
        with suppress(FileNotFoundError):
            self._descriptor = open_regular(self._path, os.O_RDONLY)
            with open_to_read(self._path) as file:
                for line in file:
                    starts.append(starts[-1] + len(line))
        return starts


_MARKS = (b'"body":', b'"params":')


def body_of(line: bytes) -> bytes:
    """Cut the body out of a request's line, byte for byte: it stands last, and what precedes it is promptmill's own."""
    place, mark = min((place, mark) for mark in _MARKS if (place := line.find(mark)) >= 0)
    return line.rstrip(b"\n")[place + len(mark) : -1]
