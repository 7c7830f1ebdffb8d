"""Processes: worker processes of a running promptmill as the system shows them, and environments of what tests start."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path

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
