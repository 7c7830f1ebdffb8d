"""List the runs of a folder: what each is, how far it is, what it cost and how large it is."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from batch.errors import PromptmillError
from batch.journal.index import ResumeIndex
from batch.journal.packing import is_packed
from batch.journal.summary_files import spent_usd
from batch.rundir.finding_runs import find_runs, started_at
from batch.rundir.local import RunDirectory
from batch.rundir.running import is_running

State = Literal["running", "done", "failed rows", "not finished", "packed", "unreadable"]


@dataclass(frozen=True, slots=True)
class RunEntry:
    """A run. `total` is rows × repeats × variants, None while unknown. `started` is its last start, in seconds since the epoch.

    `cost_usd` is for all records, those that were replaced too; None where no price is known. `problem` says why it cannot be read.
    `abandoned` requests were given up in flight at stops, possibly billed. Of a packed run (`promptmill prune`) nothing else is counted.
    """

    path: Path
    name: str
    state: State
    ok: int
    failed: int
    total: int | None
    cost_usd: float | None
    bytes: int
    started: float
    problem: str | None = None
    abandoned: int = 0

    @property
    def left(self) -> int | None:
        """Tasks without an outcome."""
        return None if self.total is None or self.state == "packed" else max(0, self.total - self.ok - self.failed)


def list_runs(folder: Path) -> list[RunEntry]:
    """List all runs in a folder and three levels below it, that of the last start first; one that cannot be read is named as that."""
    return [_entry(path) for path in find_runs(folder)]


def _entry(path: Path) -> RunEntry:
    directory = RunDirectory(path)
    size, started = _size(path), started_at(path)
    try:
        manifest = directory.manifest
        total = None if manifest.total is None else manifest.total * len(manifest.variants)
        if any(is_packed(path / "journal" / slug) for slug in directory.slugs()):
            # To count it would unpack it.
            return RunEntry(path, manifest.name or path.name, "packed", 0, 0, total, None, size, started, abandoned=manifest.abandoned or 0)
        indexes = [ResumeIndex.load(directory.journal_dir(slug), lambda _: None) for slug in directory.slugs()]
        spent = sum(spent_usd(directory.journal_dir(slug)) for slug in directory.slugs()) + (manifest.unrecorded_usd or 0.0)
    except (PromptmillError, OSError) as error:
        return RunEntry(path, path.name, "unreadable", 0, 0, None, None, size, started, str(error))
    ok, failed = sum(index.ok for index in indexes), sum(index.failed for index in indexes)
    if is_running(directory):
        state: State = "running"
    elif total is not None and ok + failed >= total:
        state = "failed rows" if failed else "done"
    else:
        state = "not finished"
    return RunEntry(
        path, manifest.name or path.name, state, ok, failed, total, spent or None, size, started, abandoned=manifest.abandoned or 0
    )


def _size(path: Path) -> int:
    total = 0
    for folder, _, names in os.walk(path):
        for name in names:
            try:
                total += os.lstat(os.path.join(folder, name)).st_size  # noqa: PTH118 - a Path for each of many files is slow
            except OSError:
                continue
    return total
