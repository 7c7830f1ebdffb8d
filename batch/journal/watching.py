"""The files by which a run can be watched from another process: failed attempts, samples of its limits, and its present state.

Each pool of workers has its own, named after the process and the pool: `main-0.attempts.jsonl`, `main-0.samples.jsonl`, `main-0.live.json`.
Nothing here may stand in the way of the run: the first refusal of the disk is reported, and nothing more is written.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from socket import gethostname
from typing import Any

import orjson

from batch.errors import StorageError
from batch.journal.attempts import SUFFIX, FailedAttempt, encode_attempt, json_line
from batch.journal.disk import storage_errors
from batch.journal.rolling import RollingFile, older, read_lines
from batch.storage import open_regular
from batch.storage.local import is_alive

SAMPLES = ".samples.jsonl"
LIVE = ".live.json"
FORMAT = 1
_SAMPLE_BYTES = 4 << 20
_LEAST_BYTES = 256 << 10


@dataclass(frozen=True, slots=True)
class PoolSample:
    """The state of a pool over the seconds up to `time` (since the epoch): `seconds` by what limited it, which add up to the interval."""

    time: float
    in_flight: int
    limit: int
    waiting: int
    seconds: Mapping[Any, float] = field(default_factory=dict)


class WatchFiles:
    """Writes the files of one pool. `report` gets a sentence at the first refusal of the disk. Raises nothing."""

    def __init__(self, folder: Path, name: str, attempts_bytes: int, report: Callable[[str], None]) -> None:
        self._folder = folder
        self._report = report
        self._attempts = RollingFile(folder / f"{name}{SUFFIX}", max(_LEAST_BYTES, attempts_bytes)) if attempts_bytes else None
        self._samples = RollingFile(folder / f"{name}{SAMPLES}", _SAMPLE_BYTES)
        self._live = folder / f"{name}{LIVE}"
        self._refused = False

    def add_attempt(self, attempt: FailedAttempt) -> None:
        """Keep a failed attempt."""
        attempts = self._attempts
        if attempts is not None:
            self._try(lambda: attempts.add(encode_attempt(attempt.bounded())))

    def add_sample(self, sample: PoolSample) -> None:
        """Keep a sample, and write what waits."""
        document = {
            "time": round(sample.time, 3),
            "in_flight": sample.in_flight,
            "limit": sample.limit,
            "waiting": sample.waiting,
            "seconds": {name: round(value, 3) for name, value in sample.seconds.items() if value},
        }
        self._try(lambda: self._samples.add(json_line(document)))
        self.flush()

    def flush(self) -> None:
        """Write what waits."""
        self._try(self._samples.flush)
        if self._attempts is not None:
            self._try(self._attempts.flush)

    def write_live(self, state: Mapping[str, Any]) -> None:
        """Replace the present state; it says which process it is of."""
        self._try(lambda: self._put({"format": FORMAT, "host": gethostname(), "pid": os.getpid(), **state}))

    def close(self) -> None:
        """Write what waits; the pool has no present state any more."""
        for file in filter(None, (self._attempts, self._samples)):
            self._try(file.close)
        with suppress(OSError):
            self._live.unlink(missing_ok=True)

    def _put(self, state: Mapping[str, Any]) -> None:
        temporary = self._live.with_name(f".{self._live.name}.tmp")
        with storage_errors(self._live):
            # Without parents: a run directory that was removed is not made again.
            self._folder.mkdir(mode=0o700, exist_ok=True)
            descriptor = open_regular(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            # Not synced: after a power loss there is no present state.
            with os.fdopen(descriptor, "wb") as file:
                file.write(json_line(state))
            temporary.replace(self._live)

    def _try(self, write: Callable[[], None]) -> None:
        if self._refused:
            return
        try:
            write()
        except (StorageError, OSError, TypeError, ValueError) as error:
            self._refused = True
            self._report(f"failed attempts and the live state are not kept any more, and the run continues without: {error}")


def read_live(folder: Path) -> list[dict[str, Any]]:
    """Read the present states of a run's pools, as far as they are whole and not of a dead process of this machine. Raises StorageError."""
    states = [state for path in _files(folder, f"*{LIVE}") for state in _documents(path) if state.get("format") == FORMAT]
    return [state for state in states if state.get("host") != gethostname() or _is_alive(state.get("pid"))]


def _is_alive(pid: object) -> bool:
    return isinstance(pid, int) and is_alive(pid)


def read_samples(folder: Path) -> Iterator[tuple[str, PoolSample]]:
    """Iterate over the samples that are kept, each with the name of its pool, in the order of time for each pool. Raises StorageError."""
    for path in _files(folder, f"*{SAMPLES}"):
        name = path.name.removesuffix(SAMPLES)
        for half in (older(path), path):
            for line in read_lines(half):
                if (sample := decode_sample(line)) is not None:
                    yield name, sample


def decode_sample(line: bytes) -> PoolSample | None:
    """Decode a line of samples; None for one that was not written whole."""
    with suppress(KeyError, TypeError, ValueError):
        document = orjson.loads(line)
        in_flight, limit, waiting = (int(document[key]) for key in ("in_flight", "limit", "waiting"))
        return PoolSample(float(document["time"]), in_flight, limit, waiting, dict(document["seconds"]))
    return None


def _files(folder: Path, pattern: str) -> list[Path]:
    with storage_errors(folder):
        return sorted(path for path in folder.glob(pattern) if not path.name.startswith(".")) if folder.is_dir() else []


def _documents(path: Path) -> Iterator[dict[str, Any]]:
    for line in read_lines(path):
        with suppress(ValueError):
            document = orjson.loads(line)
            if isinstance(document, dict):
                yield document
