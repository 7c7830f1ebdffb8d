"""The run whose answers are the rows of a step."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

from batch._version import __version__
from batch.app.stored import open_run
from batch.errors import InputError
from batch.job import load
from batch.job.variants import slugify
from batch.results.steps.files import write_step_rows
from batch.results.steps.rows import StepRows
from batch.rundir.opening import address_of, open_run_directory
from batch.rundir.stored_run import StoredRun
from batch.settings.inputs import InputSettings, StepSettings

# The first bytes of a row's columns that a notice names.
_NAMED = 5


@dataclass(frozen=True, slots=True)
class StepSource:
    """The answers that make rows. `fingerprint` changes with anything that could change a row."""

    run: StoredRun
    step: StepSettings
    where: str | None
    fingerprint: str

    @property
    def name(self) -> str:
        """The name of the job that gave the answers."""
        return "" if self.run.manifest is None else self.run.manifest.name

    @property
    def stem(self) -> str:
        """The name of the file of rows, without its number."""
        return slugify(self.name) or "step"

    @property
    def _folder(self) -> str | None:
        """The folder of the files that the answered rows name, where there is one."""
        folders = {file.folder or file.rpartition("/")[0] for file in self.run.dataset.files if "?" not in file}
        return folders.pop() if len(folders) == 1 else None

    def write(self, folder: Path) -> tuple[Path, Mapping[str, Any], tuple[str, ...]]:
        """Write the rows into `folder`; return the file, its origin, and sentences for people. Raises InputError, StorageError."""
        rows = StepRows(self.run, self.step, self.where)
        path, counts, written = write_step_rows(rows, self.step.group, folder)
        origin = {
            "name": self.name,
            "run": address_of(self.run.directory),
            "of": self.fingerprint,
            "folder": self._folder,
            "rows": written,
            "omitted": dict(counts.omitted),
        }
        return path, origin, (described(origin), *_moved(counts.moved))


def step_source(settings: InputSettings) -> StepSource:
    """Open the run whose answers are the rows of a step. Raises InputError, JobError, RunDirectoryError."""
    step = settings.step
    if step is None:
        raise AssertionError("only a step has a source")
    place = upstream_place(step)
    directory = open_run_directory(place)
    if not directory.exists:
        command = f"promptmill run {step.job}" if step.job is not None else "that job's promptmill run"
        raise InputError(f"{directory.place}: has no answers yet, and they are the rows of this job; first: {command}")
    run = open_run(place)
    where = settings.where if step.group is not None else None
    return StepSource(run, step, where, _fingerprint(run, step, where))


def upstream_place(step: StepSettings) -> str:
    """Return the run directory whose answers a step takes. Raises JobError."""
    return step.run if step.run is not None else load(step.job or "").job.output.dir


def described(origin: Mapping[str, Any]) -> str:
    """Say of which answers rows were made, and how many tasks have none."""
    omitted = "; ".join(f"{count:,} {reason}" for reason, count in sorted(origin["omitted"].items()))
    rows = "1 row" if origin["rows"] == 1 else f"{origin['rows']:,} rows"
    return f"{rows} of the answers of {origin['name']}" + (f" (no row here: {omitted})" if omitted else "")


def _moved(names: set[str]) -> tuple[str, ...]:
    shown = ", ".join(sorted(names)[:_NAMED])
    return (f"columns of the input that have the names of answers are under steps.input here: {shown}",) if names else ()


def _fingerprint(run: StoredRun, step: StepSettings, where: str | None) -> str:
    manifest = run.manifest
    if manifest is None:
        raise AssertionError("a run that exists has a manifest")
    sizes = [
        (variant.slug, path.name, path.stat().st_size)
        for variant in run.job.variants
        for path in sorted(run.directory.journal_dir(variant.slug).glob("*"))
        if path.is_file()
    ]
    described_run = manifest.document()
    kept = {key: described_run.get(key) for key in ("variants", "input", "repeats")}
    parts = [__version__, kept, run.job.input.limit, run.dataset.identity(), sizes, step.variant, step.explode, step.group, where]
    return blake2b(json.dumps(parts, sort_keys=True, default=str).encode(), digest_size=16).hexdigest()
