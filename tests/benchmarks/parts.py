"""The parts of the benchmark: each runs something against the endpoint and keeps its samples."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tests.benchmarks.contenders import FLOOR, FLOORS, OURS, ROOT, Contender, Load, promptmill, run_environment
from tests.benchmarks.endpoint import FAST, SECURE, SLOW, SLOWER, STREAMED
from tests.benchmarks.figures import quantile
from tests.benchmarks.inputs import job, write_rows
from tests.benchmarks.killed import first_part as measure_first_part
from tests.benchmarks.killed import killed as measure_killed
from tests.benchmarks.samples import Sample
from tests.benchmarks.session import Session

FRESH_ROWS = 2000


@dataclass(frozen=True, slots=True)
class Scale:
    """How large the parts are. `limit_s` ends a contender that takes longer; what it did until then counts."""

    rounds: int = 3
    fast_rows: int = 20_000
    slow_rows: int = 6_000
    crowd_rows: int = 16_000
    throng_rows: int = 50_000
    streamed_rows: int = 3_000
    process_rows: int = 40_000
    finished_rows: int = 1_000_000
    parted_rows: int = 200_000
    killed_rows: int = 200_000
    memory_rows: tuple[int, ...] = (10_000, 200_000)
    starts: int = 10
    paced_models: int = 100
    limit_s: float = 60.0


QUICK = Scale(
    rounds=1,
    fast_rows=4_000,
    slow_rows=3_000,
    crowd_rows=8_000,
    throng_rows=10_000,
    streamed_rows=600,
    process_rows=8_000,
    finished_rows=100_000,
    parted_rows=120_000,
    killed_rows=20_000,
    memory_rows=(5_000, 20_000),
    starts=3,
    paced_models=2,
    limit_s=15.0,
)


def fast(session: Session, scale: Scale, peers: Sequence[Contender]) -> None:
    """P1, P2: an endpoint that answers at once, 64 connections."""
    _compare(session, scale, "fast", [OURS, *FLOORS, *peers], scale.fast_rows, 64)


def slow(session: Session, scale: Scale, peers: Sequence[Contender]) -> None:
    """P3: answers after half a second, 1,000 connections."""
    _compare(session, scale, "slow", [OURS, *FLOORS, *peers], scale.slow_rows, 1000)


def crowd(session: Session, scale: Scale, peers: Sequence[Contender]) -> None:
    """P3: answers after two seconds, 4,000 connections."""
    del peers
    _compare(session, scale, "crowd", [OURS, FLOOR], scale.crowd_rows, 4000)


def throng(session: Session, scale: Scale, peers: Sequence[Contender]) -> None:
    """P3: answers after two seconds, 10,000 connections."""
    del peers
    _compare(session, scale, "throng", [OURS, FLOOR], scale.throng_rows, 10_000)


def secure(session: Session, scale: Scale, peers: Sequence[Contender]) -> None:
    """P12: answers at once, 64 connections, over TLS and without, one after the other."""
    del peers
    for number in range(scale.rounds):
        for site, part in ((FAST, "open"), (SECURE, "secure")):
            for contender in (OURS, FLOOR):
                session.contend(part, site, contender, rows=scale.fast_rows, connections=64, limit_s=scale.limit_s, number=number)


def pace(session: Session, scale: Scale, peers: Sequence[Contender]) -> None:
    """P9: concurrency = "auto" on each model of the simulated endpoints, as a share of the best fixed setting."""
    del peers
    scratch = session.scratch()
    command = [sys.executable, "-m", "tests.simulation_pace.shares", str(scratch / "shares.json"), str(scale.paced_models)]
    sample = session.command("pace", OURS.name, command, scratch, limit_s=20 * scale.limit_s)
    path = scratch / "shares.json"
    session.keep(replace(sample, extra=json.loads(path.read_text()) if path.exists() else {}))


def streamed(session: Session, scale: Scale, peers: Sequence[Contender]) -> None:
    """P10: answers as streams of 60 chunks, 64 connections."""
    sdk = [peer for peer in peers if peer.environment == "openai"]
    _compare(session, scale, "streamed", [OURS, FLOOR, *sdk], scale.streamed_rows, 64)


def delay(session: Session, scale: Scale, peers: Sequence[Contender]) -> None:
    """P11, in part: what 1,000 rows a second add to answers that take half a second, from sending to having read."""
    del peers
    rows = scale.slow_rows
    scratch = session.scratch()
    path = scratch / "job.toml"
    path.write_text(
        job(write_rows(session.folder / f"rows{rows}.jsonl", rows), session.endpoint.url(SLOW), scratch / "run", connections=500)
    )
    sample = session.command("delay", OURS.name, promptmill("run", str(path)), scratch, site=SLOW, limit_s=scale.limit_s, rows=rows)
    with (scratch / "run" / "completions.jsonl").open() as file:
        added = [(json.loads(line)["latency_s"] - SLOW.delay_s) * 1000 for line in file]
    session.keep(replace(sample, extra={"added_ms_p50": quantile(added, 0.5), "added_ms_p99": quantile(added, 0.99)}))


def memory(session: Session, scale: Scale, peers: Sequence[Contender]) -> None:
    """P4: the peak memory of few rows and many, at 64 and 1,000 connections."""
    del peers
    for connections in (64, 1000):
        for rows in scale.memory_rows:
            part = f"memory{connections}"
            session.contend(part, FAST, OURS, rows=rows, connections=connections, limit_s=20 * scale.limit_s)


def processes(session: Session, scale: Scale, peers: Sequence[Contender]) -> None:
    """P8: the fast endpoint, by one process and by two."""
    del peers
    rows = scale.process_rows
    for number in range(scale.rounds):
        for count in (1, 2):
            scratch = session.scratch()
            path = scratch / "job.toml"
            path.write_text(
                job(write_rows(session.folder / f"rows{rows}.jsonl", rows), session.endpoint.url(FAST), scratch / "run", connections=64)
            )
            command = promptmill("run", str(path), "--set", f"run.processes={count}")
            name = f"processes-{count}"
            session.keep(
                session.command("processes", name, command, scratch, site=FAST, limit_s=2 * scale.limit_s, number=number, rows=rows)
            )
            shutil.rmtree(scratch)


def start(session: Session, scale: Scale, peers: Sequence[Contender]) -> None:
    """P7: --help, and ten rows all in, peers' too."""
    for number in range(scale.starts + 1):
        scratch = session.scratch()
        sample = session.command("help", OURS.name, promptmill("--help"), scratch, limit_s=scale.limit_s, number=number)
        if number:  # the first fills the disk's cache
            session.keep(sample)
    for number in range(scale.starts):
        for contender in [OURS, *(peers if number == 0 else [])]:
            session.contend("ten", FAST, contender, rows=10, connections=64, limit_s=scale.limit_s, number=number)


def finished(session: Session, scale: Scale, peers: Sequence[Contender]) -> None:
    """P5, P6: going on after a million finished rows, and writing the outputs of a million rows."""
    del peers
    run = FinishedRun(session, scale.finished_rows)
    for number in range(scale.rounds + 1):
        run.rewind()
        command = promptmill("run", str(run.job))
        sample = session.command(
            "going-on", OURS.name, command, session.scratch(), site=FAST, limit_s=600, number=number, rows=scale.finished_rows
        )
        if number:  # the first writes run.json
            session.keep(sample)
    for number in range(scale.rounds):
        for output_format in ("jsonl", "parquet"):
            scratch = session.scratch()
            command = promptmill("export", str(run.directory), "--format", output_format, "--output", str(scratch / "out"))
            sample = session.command(output_format, OURS.name, command, scratch, limit_s=600, number=number, rows=scale.finished_rows)
            session.keep(sample)
            shutil.rmtree(scratch)


def first_part(session: Session, scale: Scale, peers: Sequence[Contender]) -> None:
    """P6: when the first part of 200,000 rows stands there, by one process and by two, and how long the end takes."""
    del peers
    measure_first_part(session, scale.parted_rows, 20 * scale.limit_s, range(scale.rounds))


def profiles(session: Session, scale: Scale, peers: Sequence[Contender]) -> None:
    """Where promptmill's own time goes with answers at once and with streamed ones, by cProfile, which slows calls down most."""
    del peers
    for part, site, rows in (("profile", FAST, scale.fast_rows), ("profile-streamed", STREAMED, scale.streamed_rows)):
        scratch = session.scratch()
        path = write_rows(session.folder / f"rows{rows}.jsonl", rows)
        _, *words = OURS.command(Load(session.endpoint.url(site), path, 64, scratch, site.streamed))
        command = [sys.executable, "-m", "tests.benchmarks.profiled", str(scratch / "shares.json"), *words]
        sample = session.command(part, OURS.name, command, scratch, site=site, limit_s=10 * scale.limit_s, rows=rows)
        session.keep(replace(sample, extra=json.loads((scratch / "shares.json").read_text())))


def killed(session: Session, scale: Scale, peers: Sequence[Contender]) -> None:
    """P13: rows sent by two processes, killed twice at random and resumed: what is lost, what is doubled."""
    del peers
    measure_killed(session, scale.killed_rows, 40 * scale.limit_s)


PARTS: dict[str, Callable[[Session, Scale, Sequence[Contender]], None]] = {
    "fast": fast,
    "slow": slow,
    "crowd": crowd,
    "throng": throng,
    "secure": secure,
    "pace": pace,
    "streamed": streamed,
    "processes": processes,
    "start": start,
    "delay": delay,
    "memory": memory,
    "finished": finished,
    "first-part": first_part,
    "profiles": profiles,
    "killed": killed,
}


class FinishedRun:
    """A run of which `rows` are finished and `FRESH_ROWS` are not, that can be put back to there."""

    def __init__(self, session: Session, rows: int) -> None:
        scratch = session.scratch()
        self.directory = scratch / "run"
        self.job = scratch / "job.toml"
        path = write_rows(session.folder / f"rows{rows + FRESH_ROWS}.jsonl", rows + FRESH_ROWS)
        self.job.write_text(job(path, session.endpoint.url(FAST), self.directory, connections=64))
        making = [sys.executable, "-m", "tests.benchmarks.finished", str(self.job), str(rows)]
        subprocess.run(making, cwd=ROOT, env=run_environment(session.folder), check=True)
        self._sizes = {path: path.stat().st_size for path in self._segments()}

    def rewind(self) -> None:
        """Forget what was appended to the journal since it was made, and the outputs."""
        for path in self._segments():
            if path not in self._sizes:
                path.unlink()
            elif path.stat().st_size > self._sizes[path]:
                with path.open("r+b") as file:
                    file.truncate(self._sizes[path])
        for path in [*self.directory.glob("completions[.-]*"), *self.directory.glob("errors[.-]*")]:
            path.unlink()

    def _segments(self) -> list[Path]:
        return sorted(self.directory.glob("journal/*/*.jsonl"))


def _compare(session: Session, scale: Scale, part: str, contenders: Sequence[Contender], rows: int, connections: int) -> list[Sample]:
    site = {"fast": FAST, "slow": SLOW, "crowd": SLOWER, "throng": SLOWER, "streamed": STREAMED}[part]
    return session.compare(part, site, contenders, rows=rows, connections=connections, rounds=scale.rounds, limit_s=scale.limit_s)
