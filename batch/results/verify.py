"""Compare input, journals and outputs; salvage damaged journals."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from batch.errors import DamagedError, StorageError
from batch.journal.disk import refusal
from batch.journal.index import ResumeIndex
from batch.readers import Dataset
from batch.results.join import MatchedTasks, Result, results
from batch.results.outputs import output_paths, write_lines
from batch.rundir.local import RunDirectory
from batch.settings import Job, OutputFormat
from batch.storage import named, scratch_folder
from batch.writers import writing


@dataclass(slots=True)
class VariantCheck:
    """One variant's tasks: rows in = ok + failed + missing.

    `missing` counts tasks not attempted, `doubled` rows that share a task with an earlier row (a duplicate id), `superseded` records
    replaced by newer ones, `orphaned` tasks with an outcome that are no longer in the input. The last two are no faults.
    """

    name: str
    tasks: int = 0
    ok: int = 0
    failed: int = 0
    missing: int = 0
    doubled: int = 0
    superseded: int = 0
    orphaned: int = 0


@dataclass(frozen=True, slots=True)
class Verification:
    """The findings. `damage` names file and offset; `outputs` names each derived file that differs, and its first differing line."""

    variants: tuple[VariantCheck, ...]
    damage: tuple[str, ...]
    outputs: tuple[str, ...]

    @property
    def sound(self) -> bool:
        """Whether journals and outputs are consistent; rows not yet run are no fault."""
        return not self.damage and not self.outputs and not any(check.doubled for check in self.variants)

    @property
    def complete(self) -> bool:
        """Whether every task has its outcome."""
        return not any(check.missing for check in self.variants)


def verify(job: Job, directory: RunDirectory, dataset: Dataset) -> Verification:
    """Check every checksum, derive the existing outputs again and compare them; changes nothing.

    Raises:
        InputError: the input cannot be read.
        StorageError: the disk refuses.
    """
    damage: list[str] = []
    indexes: dict[str, ResumeIndex] = {}
    for variant in job.variants:
        try:
            indexes[variant.slug] = ResumeIndex.load(directory.journal_dir(variant.slug), lambda found: damage.append(str(found)))
        except DamagedError as gap:
            return Verification((), (*damage, str(gap)), ())
    checks = {variant.slug: VariantCheck(variant.name, superseded=indexes[variant.slug].superseded) for variant in job.variants}
    matched = {slug: MatchedTasks(index) for slug, index in indexes.items()}
    tasks = _counted(results(dataset, job, directory, indexes=indexes, matched=matched), checks)
    try:
        outputs = list(_compared(job, directory, dataset, tasks))
    except OSError as error:
        raise StorageError(refusal(error, directory.path)) from error
    for slug, check in checks.items():
        check.orphaned, check.doubled = matched[slug].orphaned, matched[slug].doubled
    return Verification(tuple(checks.values()), tuple(damage), tuple(outputs))


def salvage(directory: RunDirectory) -> list[str]:
    """Rewrite damaged journals with every whole record; the caller has the lock. Returns what was lost, one sentence per file.

    Raises:
        StorageError: the disk refuses.
    """
    return [str(salvaged) for slug in directory.slugs() for salvaged in directory.salvage(slug)]


def _counted(tasks: Iterable[Result], checks: dict[str, VariantCheck]) -> Iterator[Result]:
    for result in tasks:
        check = checks[result.variant.slug]
        check.tasks += 1
        if result.outcome is None:
            check.missing += 1
        elif result.outcome.ok:
            check.ok += 1
        else:
            check.failed += 1
        yield result


def _compared(job: Job, directory: RunDirectory, dataset: Dataset, tasks: Iterable[Result]) -> Iterator[str]:
    """Compare each existing output with what would be derived now. Absent outputs are no fault."""
    directory.fetch("completions.*", "errors.*")
    present = [form for form in get_args(OutputFormat) if any(path.exists() for path in output_paths(job, directory.path, form))]
    for form in present:
        with scratch_folder(directory.path, "verify") as folder:
            fresh = output_paths(job, folder, form)
            write_lines(job, dataset, tasks, form, fresh)
            for mine, theirs in zip(fresh, output_paths(job, directory.path, form), strict=True):
                fault = _difference(mine, theirs, form)
                if fault:
                    yield fault
        tasks = results(dataset, job, directory)
    if not present:
        deque(tasks, maxlen=0)


def _difference(fresh: Path, written: Path, form: OutputFormat) -> str | None:
    if not written.exists():
        return f"{named(written)}: is missing; `promptmill export` writes it again"
    try:
        line = writing(form).first_difference(fresh, written)
    except (ValueError, OSError) as error:
        return f"{named(written)}: cannot be read ({error}); `promptmill export` writes it again"
    return None if line is None else f"{named(written)}: differs from the journal from line {line} on; `promptmill export` writes it again"
