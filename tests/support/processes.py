"""Worker processes as the system shows them, environments of what tests start, and ports on which nothing listens."""

from __future__ import annotations

import os
import random
import socket
import time
from contextlib import suppress
from pathlib import Path
from typing import Self

from tests.support.scripted import PATIENCE_S


def unmeasured() -> dict[str, str]:
    """The environment without coverage, for processes that run none of promptmill's code or are killed before they save what they measured.

    Starting to measure takes longer than starting promptmill.
    """
    return {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}


def workers_of(pid: int) -> list[int]:
    """The process ids of the workers that a promptmill process has started, in order."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal():
            continue
        try:
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            command = (entry / "cmdline").read_bytes()
        except (OSError, IndexError):
            continue
        if parent == pid and b"batch.executors.workers.child" in command:
            found.append(int(entry.name))
    return sorted(found)


def sending_workers(pid: int, port: int) -> list[int]:
    """Those of them that have a connection to this port of 127.0.0.1: they have begun, and have rows."""
    place = f"0100007F:{port:04X}"
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()]
    sockets = {f"socket:[{line[9]}]" for line in lines if line[2] == place and line[3] == "01"}
    return [worker for worker in workers_of(pid) if sockets & set(open_files(worker))]


def open_files(pid: int) -> list[str]:
    """What the open files of a process are."""
    found = []
    with suppress(OSError):
        for link in (Path("/proc") / str(pid) / "fd").iterdir():
            with suppress(OSError):
                found.append(str(link.readlink()))
    return found


def is_running(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    try:
        return (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_until_gone(pids: list[int]) -> None:
    """Wait until none of these processes runs; they are about to end."""
    deadline = time.monotonic() + PATIENCE_S
    while any(map(is_running, pids)):
        assert time.monotonic() < deadline, f"still running: {[pid for pid in pids if is_running(pid)]}"
        time.sleep(0.01)


# Bound and not listening, to the end of this process: no other test's server can come to such a port.
_kept: list[socket.socket] = []


def unused_port() -> int:
    """A port on which nothing listens, nor ever will."""
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    _kept.append(sock)
    return int(sock.getsockname()[1])


def free_port() -> int:
    """A port for a server that must be told one."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def server_port() -> int:
    """A port for a server that takes minutes to start: on a busy machine one that the system gave out may be another's by then.

    It is below the ports that systems give to connections (from 32768 on Linux, 49152 on others).
    """
    while True:
        port = random.randrange(20000, 32000)
        with socket.socket() as sock:
            if sock.connect_ex(("127.0.0.1", port)) != 0:
                return port


class BlackHole:
    """A port that never answers a SYN: its queue of connections is full. A context manager; `.url` is its base URL."""

    def __enter__(self) -> Self:
        self._listener = socket.socket()
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen(0)
        self.port = int(self._listener.getsockname()[1])
        self._fillers = [socket.socket() for _ in range(4)]
        for filler in self._fillers:
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", self.port))
        return self

    def __exit__(self, *_: object) -> None:
        for sock in [*self._fillers, self._listener]:
            sock.close()

    @property
    def url(self) -> str:
        """The base URL, with /v1."""
        return f"http://127.0.0.1:{self.port}/v1"
