"""What a command costs: time, CPU and memory of its whole process tree, start-up included."""

from __future__ import annotations

import os
import select
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, time

SAMPLE_EVERY_S = 0.2
KILL_AFTER_S = 10.0
_PAGE_MB = os.sysconf("SC_PAGE_SIZE") / 1e6


@dataclass(frozen=True, slots=True)
class Cost:
    """One command, run to its end or `cut` at the time limit.

    `began` is seconds since the epoch. `cpu_s` is user + system of the process and all it waited for. `peak_mb` is the
    largest resident set of one process, or the sum over the tree as sampled, whichever is more. `memory` are samples of that sum:
    (seconds since the epoch, MB).
    """

    began: float
    wall_s: float
    cpu_s: float
    peak_mb: float
    exit_code: int
    cut: bool
    memory: tuple[tuple[float, float], ...]


def run(command: Sequence[str], *, env: Mapping[str, str], folder: Path, log: Path, limit_s: float) -> Cost:
    """Run `command` in `folder` and measure it; its output goes to the file `log`. After `limit_s` its session is ended."""
    began, start = time(), monotonic()
    with log.open("wb") as out:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd=folder, env=dict(env), start_new_session=True
        )
    try:
        cut, memory = _watch(process.pid, start + limit_s)
    except BaseException:
        # Its session is its own: a Ctrl-C here would not reach it.
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        raise
    _, status, usage = os.wait4(process.pid, 0)
    wall = monotonic() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    peak = max([usage.ru_maxrss * 1024 / 1e6, *(megabytes for _, megabytes in memory)])
    return Cost(began, wall, usage.ru_utime + usage.ru_stime, peak, process.returncode, cut, tuple(memory))


def _watch(pid: int, deadline: float) -> tuple[bool, list[tuple[float, float]]]:
    memory: list[tuple[float, float]] = []
    signals = iter([(deadline, signal.SIGTERM), (deadline + KILL_AFTER_S, signal.SIGKILL)])
    due, number = next(signals)
    cut = False
    descriptor = os.pidfd_open(pid)
    try:
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        while not poll.poll(SAMPLE_EVERY_S * 1000):
            memory.append((time(), resident_mb(pid)))
            if monotonic() > due:
                cut = True
                os.killpg(pid, number)
                due, number = next(signals, (float("inf"), signal.SIGKILL))
    finally:
        os.close(descriptor)
    return cut, memory


def resident_mb(session: int) -> float:
    """The resident sets of all processes of a session, summed: pages that they share count for each."""
    total = 0
    for entry in os.scandir("/proc"):
        if not entry.name.isdigit():
            continue
        try:
            fields = Path(entry.path, "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it has ended
        # proc_pid_stat(5), counted from the field after the name: 3 is the session, 21 the resident set in pages.
        if int(fields[3]) == session:
            total += int(fields[21])
    return total * _PAGE_MB
