"""Disks that misbehave on purpose, an S3 server on loopback (moto), and jobs whose run directory is on it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from batch import app
from batch.job import load
from batch.journal.disk import Disk
from batch.journal.file_writer import FileJournal
from batch.journal.lines import decode, encode
from batch.records import ErrorInfo, ErrorKind, Outcome
from tests.support.jobs import JobFolder, Notices
from tests.support.processes import unmeasured
from tests.support.scripted import PATIENCE_S, Action, Received, ScriptedEndpoint
from tests.support.scripts import after


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


_SERVER = """
import logging, sys
logging.getLogger("werkzeug").setLevel(logging.CRITICAL)
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
sys.stdin.read()
"""
ENVIRON = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test-secret",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": "/nonexistent",
    "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent",
}


class S3Server:
    """A running server; buckets are made by `bucket`."""

    def __init__(self, port: int, pid: int) -> None:
        self._pid = pid
        self.hangs = False
        self.url = f"http://127.0.0.1:{port}"
        self._made = 0

    @property
    def environ(self) -> dict[str, str]:
        """What a process needs to find it."""
        return {**ENVIRON, "AWS_ENDPOINT_URL": self.url}

    def bucket(self) -> str:
        """A new, empty bucket."""
        self._made += 1
        name = f"bucket-{self._made}"
        self.system().create_dir(name)
        return name

    def hang(self) -> None:
        """Answer nothing until `resume`; connections are accepted, and what is stored is kept."""
        self.hangs = True
        os.kill(self._pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Answer again, also what came meanwhile."""
        os.kill(self._pid, signal.SIGCONT)
        self.hangs = False

    def system(self):
        """The server as pyarrow sees it, apart from promptmill."""
        from pyarrow.fs import S3FileSystem

        return S3FileSystem(
            access_key="test",
            secret_key="test-secret",
            region="us-east-1",
            endpoint_override=self.url,
            allow_bucket_creation=True,
            # By default a request ends after 3 s without a byte, which a loaded machine may take.
            connect_timeout=PATIENCE_S,
            request_timeout=PATIENCE_S,
        )

    def put(self, path: str, data: bytes) -> None:
        """Put an object at BUCKET/KEY."""
        with self.system().open_output_stream(path, compression=None) as file:
            file.write(data)

    def get(self, path: str) -> bytes:
        """The object at BUCKET/KEY."""
        with self.system().open_input_stream(path, compression=None) as file:
            return file.read()

    def names(self, path: str) -> list[str]:
        """The keys of all objects under BUCKET/KEY, relative to it, sorted."""
        from pyarrow.fs import FileSelector

        found = self.system().get_file_info(FileSelector(path, recursive=True, allow_not_found=True))
        return sorted(each.path.removeprefix(path + "/") for each in found if each.is_file)


@contextmanager
def s3_server() -> Iterator[S3Server]:
    """A server for the body."""
    process = subprocess.Popen([sys.executable, "-c", _SERVER], env=unmeasured(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield S3Server(int(process.stdout.readline()), process.pid)
    finally:
        process.send_signal(signal.SIGCONT)
        process.communicate("")


CONCURRENCY = 8
FLUSH_S = 0.3
slow = after(0.05)


class StoreJob(JobFolder):
    """A job whose run directory is `run` in a bucket; `options` stand behind its address."""

    def __init__(self, path: Path, url: str, s3: S3Server, *, options: str = "", **settings) -> None:
        self.s3 = s3
        self.bucket = s3.bucket()
        self.at = f"{self.bucket}/run"
        self.address = f"s3://{self.at}{options}"
        super().__init__(path, url, **{"concurrency": CONCURRENCY, "flush_interval_s": FLUSH_S, **settings})
        self.job.write_text(self.job.read_text().replace('"runs/test"', f'"{self.address}"'))

    def here(self, *overrides: str, fresh: bool = False, notices: list[str] | None = None) -> app.RunReport:
        """Run the job in this process; its notices come into the list."""
        observers = [] if notices is None else [Notices(notices)]
        return app.run(load(self.job, list(overrides), {}), app.RunOptions(fresh=fresh), observers)

    def segments(self) -> list[str]:
        """The journal's objects, in the order of their names."""
        return [name for name in self.s3.names(self.at) if name.startswith("journal/") and name.endswith(".jsonl")]

    def records(self) -> list:
        """All records of the journal."""
        return [decode(line) for name in self.segments() for line in self.s3.get(f"{self.at}/{name}").splitlines()]

    def recorded(self) -> set[str]:
        """The ids of the rows that have a record."""
        return {record.id for record in self.records()}

    def run_until_robbed(self, endpoint: ScriptedEndpoint, **more: bool) -> None:
        """Run here until another runner takes the lock, every 30 requests: exit 5, which names that runner. `more` goes into its lock."""

        def intrude(received: Received) -> Iterable[Action]:
            # Again and again: a renewal of the lock that has begun writes over another's.
            if len(endpoint.requests) % 30 == 0:
                lock = {"token": "x", "pid": 7, "host": "far", "started": "today", **more}
                self.s3.put(f"{self.at}/run.lock", json.dumps(lock).encode())
            return slow(received)

        endpoint.handler = intrude
        stopped = self.here()
        assert stopped.exit_code == 5
        assert "run.lock was taken by pid 7 on host far since today" in (stopped.reason or ""), stopped.reason
        assert len(endpoint.requests) < len(self.rows)
