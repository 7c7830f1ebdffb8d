"""Jobs that build on each other: each takes the answers of the one before as its rows."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from batch.app.made_rows import rows_for_reading
from batch.app.running import RunOptions, RunReport
from batch.errors import JobError
from batch.job import LoadedJob, check_columns, load
from batch.job.problems import Problems
from batch.rundir.opening import open_run_directory

if TYPE_CHECKING:
    from batch.app.estimate import Estimate

StartStep = Callable[[LoadedJob, RunOptions], RunReport]

_LIMIT = "input.limit"


def steps_of(loaded: LoadedJob, overrides: Sequence[str] = ()) -> tuple[LoadedJob, ...]:
    """Return the jobs on whose answers a job builds, the first one first, and the job itself.

    Of the job's `overrides` the others take `input.limit` only: each step then takes at most this number of rows.

    Raises:
        JobError: a job file cannot be used, or the jobs build on each other in a circle.
    """
    limits = [text for text in overrides if text.partition("=")[0].strip() == _LIMIT]
    steps = [loaded]
    while (step := steps[0].job.input.step) is not None and step.job is not None:
        files = [*(_file(each) for each in steps), Path(step.job).resolve()]
        if files[-1] in files[:-1]:
            raise _refused(steps[0], f"the jobs build on each other in a circle: {_chain(steps, step.job)}")
        before = load(_near(step.job), limits)
        if any(before.job.output.dir == each.job.output.dir for each in steps):
            raise _refused(
                steps[0], f"{before.job.name} has the same run directory, {before.job.output.dir}", "give one of them another [output] dir"
            )
        steps.insert(0, before)
    if (first := steps[0].job).input.step is not None and first.input.step.run in {each.job.output.dir for each in steps}:
        raise _refused(
            steps[0],
            f"the jobs build on each other in a circle: {first.name} reads {first.input.step.run}, which is written by them",
            key="run",
        )
    return tuple(steps)


def run_steps(steps: Sequence[LoadedJob], options: RunOptions, start: StartStep) -> RunReport:
    """Run or continue each of `steps` by `start`, until one ends early; returns the report of the last that ran. Raises as `run`.

    `fresh`, given rows and patterns of models are for the last one only.
    """
    reports: list[RunReport] = []
    for loaded in steps:
        report = start(loaded, options if loaded is steps[-1] else replace(options, fresh=False, rows=None, variants=()))
        reports.append(report)
        if report.cause is not None:
            break
    return replace(reports[-1], upstream=tuple(reports[:-1]))


@dataclass(frozen=True, slots=True)
class PlannedStep:
    """The plan of one step: None while it waits for the first answers of the job named `before`.

    `coming` is the number of requests that are to be sent before it: their answers make further rows.
    """

    name: str
    directory: str
    estimate: Estimate | None
    warnings: tuple[str, ...] = ()
    before: str | None = None
    coming: int = 0


def plan_steps(steps: Sequence[LoadedJob], *, retry_failed: bool = False) -> list[PlannedStep]:
    """Estimate each of `steps`, by the answers that there are. Raises JobError, InputError, DamagedError, RunDirectoryError."""
    from batch.app.estimate import estimate

    planned: list[PlannedStep] = []
    for loaded in steps:
        before, coming = (planned[-1].name, _coming(planned[-1])) if planned else (None, 0)
        job = loaded.job
        if before is not None and not open_run_directory(steps[len(planned) - 1].job.output.dir).exists:
            planned.append(PlannedStep(job.name, job.output.dir, None, loaded.warnings, before, coming))
            continue
        with rows_for_reading(loaded) as readable:
            warnings = (*check_columns(readable), *loaded.warnings)
            found = estimate(readable, retry_failed=retry_failed)
        planned.append(PlannedStep(job.name, found.directory, found, warnings, before, coming))
    return planned


def _coming(planned: PlannedStep) -> int:
    if planned.estimate is None:
        return planned.coming
    return planned.coming + sum(variant.requests + variant.copies for variant in planned.estimate.variants)


def _near(path: str) -> str:
    """Return a path as people write it: relative to the working directory where it is below that."""
    relative = os.path.relpath(path)
    return path if relative.startswith("..") else relative


def _file(loaded: LoadedJob) -> Path:
    return Path(loaded.source).resolve()


def _chain(steps: Sequence[LoadedJob], again: str) -> str:
    return " → ".join([*(Path(each.source).name for each in reversed(steps)), Path(again).name])


def _refused(loaded: LoadedJob, message: str, hint: str | None = None, key: str = "job") -> JobError:
    if loaded.places is None:
        raise AssertionError("a job that was loaded knows its places")
    problems = Problems(loaded.places)
    problems.add(("input", key), message, hint)
    try:
        problems.raise_found()
    except JobError as error:
        return error
    raise AssertionError("a problem was added")
