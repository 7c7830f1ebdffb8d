"""One sitting at the machine: runs commands against the endpoint, interleaved, and keeps what they cost."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from tests.benchmarks import measure, samples
from tests.benchmarks.contenders import ENVIRONMENTS, ROOT, Contender, Load, run_environment
from tests.benchmarks.endpoint import Endpoint, Site
from tests.benchmarks.inputs import write_rows
from tests.benchmarks.samples import Sample

OUTPUT_KEPT = 400


class Session:
    """Runs and remembers; `folder` is a scratch folder, `store` the file of all samples."""

    def __init__(self, endpoint: Endpoint, folder: Path, store: Path) -> None:
        self.endpoint = endpoint
        self.folder = folder
        self.store = store
        self.name = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        self._commit = _commit()
        self._runs = 0

    def compare(
        self, part: str, site: Site, contenders: Sequence[Contender], *, rows: int, connections: int, rounds: int, limit_s: float
    ) -> list[Sample]:
        """All contenders on the same rows, one after the other, `rounds` times over; those that are not steady in the first round only."""
        return [
            self.contend(part, site, contender, rows=rows, connections=connections, limit_s=limit_s, number=number)
            for number in range(rounds)
            for contender in contenders
            if number == 0 or contender.steady
        ]

    def contend(
        self, part: str, site: Site, contender: Contender, *, rows: int, connections: int, limit_s: float, number: int = 0
    ) -> Sample:
        """One contender, once."""
        scratch = self.scratch()
        path = write_rows(self.folder / f"rows{rows}.jsonl", rows)
        load = Load(self.endpoint.url(site), path, connections, scratch, site.streamed)
        if not _is_installed(contender):
            failure = "not installed: " + ("make bench" if contender.environment else "apt-get install wrk")
            return self.keep(Sample(part, contender.name, self.name, number, rows, 0, 0, 0, failure=failure))
        command = contender.command(load)
        sample = self.command(part, contender.name, command, scratch, site=site, limit_s=limit_s, number=number, rows=rows)
        if contender.kept and not sample.failure:
            kept = _lines(scratch / contender.kept)
            sample = replace(sample, kept=kept, failure="" if kept == rows or sample.cut else f"kept {kept} of {rows} results")
        shutil.rmtree(scratch)
        return self.keep(sample)

    def command(
        self,
        part: str,
        name: str,
        command: Sequence[str],
        scratch: Path,
        *,
        limit_s: float,
        site: Site | None = None,
        number: int = 0,
        rows: int = 0,
    ) -> Sample:
        """Any command, measured but not kept."""
        mark = self.endpoint.mark(site) if site else 0
        load = os.getloadavg()[0]
        log = scratch / "output.log"
        env = run_environment(self.folder)
        if site and site.secure:
            env["SSL_CERT_FILE"] = str(self.endpoint.certificate)
        cost = measure.run(command, env=env, folder=scratch, log=log, limit_s=limit_s)
        served = self.endpoint.served(site, mark, cost.began) if site else None
        failure = "" if cost.exit_code == 0 or cost.cut else f"exit code {cost.exit_code}: {log.read_text(errors='replace')[-OUTPUT_KEPT:]}"
        sample = Sample(
            part, name, self.name, number, rows, cost.wall_s, cost.cpu_s, cost.peak_mb, load, cut=cost.cut, failure=failure, limit_s=limit_s
        )
        if served and served.count:
            before = [megabytes for at, megabytes in cost.memory if at <= served.first]
            sample = replace(
                sample,
                answered=served.count,
                sending_s=served.last - served.first,
                first_request_s=served.first - cost.began,
                extra={"peak_mb_before_sending": max(before, default=0.0)},
            )
        return sample

    def scratch(self) -> Path:
        """A new empty folder."""
        self._runs += 1
        scratch = self.folder / f"run{self._runs}"
        scratch.mkdir()
        return scratch

    def keep(self, sample: Sample) -> Sample:
        """Into the file, and a line for who waits."""
        sample = replace(sample, commit=self._commit)
        samples.append(self.store, sample)
        cpu = sample.cpu_us
        told = sample.problem.strip().splitlines()[-1] if sample.problem else ""
        if not told:
            per_row = f"{sample.rate:8,.0f} rows/s {cpu:8,.0f} µs/row" if cpu else ""
            told = f"{sample.wall_s:7.2f} s {per_row} {sample.peak_mb:6.0f} MB{'  cut at the time limit' if sample.cut else ''}"
        print(f"{sample.part:10} {sample.contender:16} {told}", file=sys.stderr, flush=True)
        return sample


def _is_installed(contender: Contender) -> bool:
    if contender.environment is not None:
        return (ENVIRONMENTS / contender.environment / ".ready").exists()
    return contender.name != "wrk" or shutil.which("wrk") is not None


def _commit() -> str:
    def git(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()

    return git("rev-parse", "--short", "HEAD") + ("+" if git("status", "--porcelain", "--untracked-files=no", "batch") else "")


def _lines(path: Path) -> int:
    """The lines of a file, or of the parts that stand in its place."""
    found = 0
    for each in [path] if path.exists() else path.parent.glob(f"{path.stem}-*{path.suffix}"):
        with each.open("rb") as file:
            found += sum(block.count(b"\n") for block in iter(lambda file=file: file.read(1 << 20), b""))
    return found
