"""Parts of the benchmark over runs in parts: the first part while the rest is sent, and a run that is killed twice and resumed."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from time import monotonic, sleep, time

from tests.benchmarks.contenders import promptmill, run_environment
from tests.benchmarks.endpoint import FAST
from tests.benchmarks.inputs import job, write_rows
from tests.benchmarks.measure import resident_mb
from tests.benchmarks.samples import Sample
from tests.benchmarks.session import Session

KILLS = 2
PROCESSES = 2
LOOK_EVERY_S = 0.25
# A line of the endpoint's log: 1763832000.123 0.500 200.
LOG_LINE_BYTES = 25
_SEED = 15


class Watched:
    """A command in a session of its own, looked at until it ends: its memory, and when its first part stood there."""

    def __init__(self, session: Session, scratch: Path, *words: str) -> None:
        self._began = monotonic()
        self._folder = scratch / "run"
        with (scratch / "output.log").open("ab") as out:
            command = promptmill("run", str(scratch / "job.toml"), *words)
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                cwd=scratch,
                env=run_environment(session.folder),
                start_new_session=True,
            )
        self.peak_mb = 0.0
        self.first_part_at = 0.0
        self.first_part_s = 0.0

    def wait(self, served: Path, until_bytes: float, limit_s: float) -> bool:
        """Wait until the log `served` has so many bytes: False where the command has ended before."""
        while self.process.poll() is None and monotonic() - self._began < limit_s:
            self.peak_mb = max(self.peak_mb, resident_mb(self.process.pid))
            if not self.first_part_s and next(self._folder.glob("completions-00000-of-*"), None):
                self.first_part_at, self.first_part_s = time(), monotonic() - self._began
            if served.stat().st_size >= until_bytes:
                return True
            sleep(LOOK_EVERY_S)
        return False

    def kill(self) -> None:
        """End it, and all its processes, at once."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    @property
    def wall_s(self) -> float:
        """Seconds since it was started."""
        return monotonic() - self._began


def first_part(session: Session, rows: int, limit_s: float, numbers: Sequence[int]) -> None:
    """Run so many rows by one process and by two, and note when the first part stood there and how long the end took."""
    for number in numbers:
        for count in (1, PROCESSES):
            scratch = _scratch(session, rows)
            mark, load = session.endpoint.mark(FAST), os.getloadavg()[0]
            began = time()
            watched = Watched(session, scratch, "--set", f"run.processes={count}")
            watched.wait(session.endpoint.log(FAST), float("inf"), limit_s)
            wall = watched.wall_s
            failure = "" if watched.process.poll() == 0 else f"exit code {watched.process.poll()}"
            if watched.process.poll() is None:
                watched.kill()
            served = session.endpoint.served(FAST, mark, began)
            cpu = 0.0
            extra = {"first_part_share": watched.first_part_s / wall, "after_last_answer_s": began + wall - served.last}
            sample = Sample("first-part", f"processes-{count}", session.name, number, rows, wall, cpu, watched.peak_mb, load)
            sample = replace(sample, answered=served.count, sending_s=served.last - served.first, failure=failure, extra=extra)
            session.keep(sample)
            shutil.rmtree(scratch)


def killed(session: Session, rows: int, limit_s: float) -> None:
    """Run so many rows by two processes, kill all of them twice at random, resume, and count what is lost and doubled."""
    scratch, log, chance = _scratch(session, rows), session.endpoint.log(FAST), random.Random(_SEED)
    mark, began, load = session.endpoint.mark(FAST), time(), os.getloadavg()[0]
    start, struck, peak = monotonic(), 0, 0.0
    until = sorted(chance.uniform(0.1, 0.9) for _ in range(KILLS))
    watched = Watched(session, scratch, "--set", f"run.processes={PROCESSES}")
    for share in until:
        if watched.wait(log, mark + share * rows * LOG_LINE_BYTES, limit_s):
            watched.kill()
            struck += 1
        peak = max(peak, watched.peak_mb)
        watched = Watched(session, scratch, "--set", f"run.processes={PROCESSES}")
    watched.wait(log, float("inf"), limit_s)
    failure = "" if watched.process.poll() == 0 else f"exit code {watched.process.poll()}"
    if watched.process.poll() is None:
        watched.kill()
    wall, peak = monotonic() - start, max(peak, watched.peak_mb)
    served = session.endpoint.served(FAST, mark, began)
    lost, doubled = _missing_and_doubled(scratch / "run", rows)
    extra = {"kills": float(struck), "lost": float(lost), "doubled": float(doubled), "sent_again": float(served.count - rows)}
    sample = Sample("killed", f"processes-{PROCESSES}", session.name, 0, rows, wall, 0.0, peak, load)
    session.keep(replace(sample, answered=served.count, sending_s=served.last - served.first, failure=failure, extra=extra))
    shutil.rmtree(scratch)


def _scratch(session: Session, rows: int) -> Path:
    scratch = session.scratch()
    path = write_rows(session.folder / f"rows{rows}.jsonl", rows)
    (scratch / "job.toml").write_text(job(path, session.endpoint.url(FAST), scratch / "run", connections=64))
    return scratch


def _missing_and_doubled(folder: Path, rows: int) -> tuple[int, int]:
    """Count the rows that no line of the outputs has, and the lines beyond the first of a row. A byte of memory a row."""
    seen, doubled = bytearray(rows), 0
    for path in [*folder.glob("completions[.-]*"), *folder.glob("errors[.-]*")]:
        with path.open("rb") as file:
            for line in file:
                row = json.loads(line)["row"]
                doubled += seen[row]
                seen[row] = 1
    return rows - sum(seen), doubled
