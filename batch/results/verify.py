"""Compare input, journals and outputs; salvage damaged journals."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import get_args

from batch.errors import DamagedError, StorageError
from batch.journal.disk import refusal
from batch.journal.index import ResumeIndex
from batch.records import BadRow, Row
from batch.results.input_check import InputCheck
from batch.results.join import InputRows, MatchedTasks, Result, portions
from batch.results.output_files import named_errors, write_lines
from batch.results.output_parts import derive_parts, plan_of
from batch.results.outputs import output_paths
from batch.results.parts import part_files
from batch.results.verification import VariantCheck, Verification
from batch.rundir.local import RunDirectory
from batch.rundir.stored_run import StoredRun
from batch.settings import OutputFormat
from batch.storage import named, scratch_folder
from batch.writers import writing


def verify(run: StoredRun) -> Verification:
    """Check every checksum, derive the existing outputs again and compare them; changes nothing.

    Raises:
        InputError: the input cannot be read.
        StorageError: the disk refuses.
    """
    damage: list[str] = []
    indexes: dict[str, ResumeIndex] = {}
    for variant in run.job.variants:
        try:
            indexes[variant.slug] = ResumeIndex.load(run.directory.journal_dir(variant.slug), lambda found: damage.append(str(found)))
        except DamagedError as gap:
            return Verification((), (*damage, str(gap)), ())
    passes = _Passes(run, indexes)
    try:
        outputs = list(_compared(passes))
    except OSError as error:
        raise StorageError(refusal(error, run.directory.path)) from error
    if problem := passes.input_check.problem(passes.matched):
        outputs.insert(0, problem)
    for slug, check in passes.checks.items():
        check.orphaned, check.doubled = passes.matched[slug].orphaned, passes.matched[slug].doubled
    return Verification(tuple(passes.checks.values()), tuple(damage), tuple(outputs))


def salvage(directory: RunDirectory) -> list[str]:
    """Rewrite damaged journals with every whole record; the caller has the lock. Returns what was lost, one sentence per file.

    Raises:
        StorageError: the disk refuses.
    """
    return [str(salvaged) for slug in directory.slugs() for salvaged in directory.salvage(slug)]


class _Passes:
    """Passes over all tasks; the counts are those of the last pass."""

    def __init__(self, run: StoredRun, indexes: Mapping[str, ResumeIndex]) -> None:
        self.limited, self.run = run, run.without_limit()
        self._indexes = indexes
        self._begin()

    def _begin(self) -> None:
        self.checks = {v.slug: VariantCheck(v.name, superseded=self._indexes[v.slug].superseded) for v in self.run.job.variants}
        self.matched = {slug: MatchedTasks(index) for slug, index in self._indexes.items()}
        self.input_check = InputCheck(self.run)
        self._rows = 0
        self._row: Row | BadRow | None = None

    def __call__(self) -> Iterator[Iterator[Result]]:
        """Begin a pass. Raises InputError, DamagedError, OSError."""
        self._begin()
        limit = self.run.job.input.limit
        for portion in portions(self.run, indexes=self._indexes, matched=self.matched, enough_rows=limit):
            yield self._counted(self.input_check.watch(portion))

    def of_rows(self, rows: InputRows) -> Iterator[Iterator[Result]]:
        """Pass over the tasks of some rows, without counting. Raises as a pass."""
        yield from portions(self.run, indexes=self._indexes, rows=rows)

    def _counted(self, tasks: Iterable[Result]) -> Iterator[Result]:
        limit = self.run.job.input.limit
        for result in tasks:
            if result.row is not self._row:
                self._row = result.row
                self._rows += 1
            check = self.checks[result.variant.slug]
            beyond = limit is not None and self._rows > limit
            # What the limit excludes is not missing; what was sent all the same counts.
            check.tasks += not beyond or result.outcome is not None
            if result.outcome is None:
                check.missing += not beyond
            elif result.outcome.ok:
                check.ok += 1
            else:
                check.failed += 1
            yield result


def _compared(passes: _Passes) -> Iterator[str]:
    """Compare each existing output with what would be derived now. Absent outputs are no fault."""
    job, directory = passes.run.job, passes.run.directory
    directory.fetch("completions[.-]*", "errors[.-]*")
    divided = [form for form in get_args(OutputFormat) if part_files(directory.path, form)]
    for form in divided:
        yield from _compared_parts(passes, form)
    present = [form for form in get_args(OutputFormat) if any(path.exists() for path in output_paths(job, directory.path, form))]
    for form in present:
        with scratch_folder(directory.path, "verify") as folder:
            fresh = output_paths(job, folder, form)
            with named_errors(fresh[0], form, passes.run.export_command(form)):
                write_lines(job, passes.run.dataset, passes, form, fresh)
            for mine, theirs in zip(fresh, output_paths(job, directory.path, form), strict=True):
                fault = _difference(mine, theirs, form)
                if fault:
                    yield fault
    if not present:
        for portion in passes():
            deque(portion, maxlen=0)


def _compared_parts(passes: _Passes, form: OutputFormat) -> Iterator[str]:
    """Compare the parts of an output with what would be derived now."""
    run, directory = passes.run, passes.run.directory
    found = part_files(directory.path, form)
    command = run.export_command(form)
    plan = plan_of(passes.limited, run, form)
    if plan is None or any(path not in plan.all_paths(directory.path, form) for path in found):
        yield f"{named(found[0])}: the outputs have other parts now; `{command}` writes them again"
        return
    with scratch_folder(directory.path, "verify") as folder:
        for mine in derive_parts(run, plan, form, folder, passes.of_rows, command):
            if fault := _difference(mine, directory.path / mine.name, form):
                yield fault


def _difference(fresh: Path, written: Path, form: OutputFormat) -> str | None:
    if not written.exists():
        return f"{named(written)}: is missing; `promptmill export` writes it again"
    try:
        line = writing(form).first_difference(fresh, written)
    except (ValueError, OSError) as error:
        return f"{named(written)}: cannot be read ({error}); `promptmill export` writes it again"
    return None if line is None else f"{named(written)}: differs from the journal from line {line} on; `promptmill export` writes it again"
