"""Write outputs in parts: each from its own records where input and ids are those that were sent, else by an index of all rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from batch.errors import StorageError
from batch.journal import ranges
from batch.journal.done import DoneTasks
from batch.journal.index import ResumeIndex
from batch.readers.dataset import MARK_EVERY
from batch.readers.input_index import count_rows
from batch.readers.ranges import Ranges, mark_before
from batch.records import BadRow, Row
from batch.results.input_check import InputCheck, input_changed
from batch.results.join import InputRows, MatchedTasks, Result, portions
from batch.results.output_files import named_errors, write_lines
from batch.results.part_processes import write_parts
from batch.results.part_writer import PartWriter, remove_states
from batch.results.parts import PartPlan, part_files, plan_parts
from batch.rundir.stored_run import StoredRun
from batch.settings import OutputFormat
from batch.storage import scratch_folder, sync_directory

if TYPE_CHECKING:
    from batch.results.part_types import PartTypes

TasksOf = Callable[[InputRows], Iterable[Iterable[Result]]]


def plan_of(run: StoredRun, whole: StoredRun, form: OutputFormat) -> PartPlan | None:
    """Return the parts of a run's outputs; None for one file. `whole` is the run without its limit. Raises InputError, DamagedError."""
    job = run.job
    if form == "openai-batch" or (job.output.parts == 1 and job.output.rows_per_part is None):
        return None
    if job.input.limit is not None:
        # All files would be read to count rows that are not sent.
        done = [DoneTasks.load(run.directory.journal_dir(variant.slug)) for variant in job.variants]
        last = [int(each.done[-1, 1]) for of_variant in done for each in of_variant.tasks.values() if ranges.count(each.done)]
        selects = job.input.where is not None or job.input.sample is not None
        return plan_parts(job, max([*last, 0 if selects else job.input.limit]), form)
    if run.manifest is not None and run.manifest.input is not None:
        count_rows(whole.dataset, run.directory.path, run.manifest.input.files, unchanged=True)
    return plan_parts(job, whole.dataset.marks(MARK_EVERY)[0], form)


def parts_by_ordinal(run: StoredRun) -> bool:
    """Return whether each record is of the row with its ordinal in the input as it is now. Raises InputError."""
    return run.manifest is not None and run.manifest.ordinals_hold and run.manifest.settled and not InputCheck(run).changed


def write_parts_by_ordinal(run: StoredRun, plan: PartPlan, form: OutputFormat, folder: Path) -> list[Path]:
    """Write the parts that are not as the journals say. Raises as `PartWriter.write`."""
    writer = PartWriter(run, plan, form, folder)
    write_parts(writer, [number for number in range(plan.count) if not writer.is_current(number)])

    def rewrite(types: PartTypes, numbers: Sequence[int]) -> None:
        write_parts(PartWriter(run, plan, form, folder, types), numbers)

    _agree(run, plan, form, folder, rewrite)
    return plan.all_paths(folder, form)


def _agree(run: StoredRun, plan: PartPlan, form: OutputFormat, folder: Path, rewrite: Callable[[PartTypes, Sequence[int]], None]) -> None:
    """Write those parts again whose columns have other types than those of the others."""
    if form != "parquet":
        return
    from batch.results.part_types import settle  # pyarrow: other formats do without

    carried = [name for _, name in run.job.output.carried]
    # Each pass finds at least one more column that must be JSON text, or is the last.
    while True:
        types, other = settle(plan, folder, carried, typed=run.dataset.columnar)
        if not other:
            return
        rewrite(types, other)


@dataclass(frozen=True, slots=True)
class PartRows:
    """The rows of one part."""

    run: StoredRun
    plan: PartPlan
    number: int

    def batches(self) -> Iterator[list[Row | BadRow]]:
        """Iterate over the rows in batches, in input order. Raises InputError."""
        start, stop = self.plan.range(self.number)
        bound, offsets = self.run.dataset.marks(MARK_EVERY)
        stop = min(stop, bound)
        if start < stop:
            yield from Ranges(self.run.dataset).batches(start, stop, mark_before(offsets, start))


def write_parts_by_rows(run: StoredRun, plan: PartPlan, form: OutputFormat, folder: Path, indexes: Mapping[str, ResumeIndex]) -> list[Path]:
    """Write all parts by an index of all rows; they are put in place when all are written and the input has been checked.

    Raises:
        InputChangedError: the input is not the one whose rows were sent; nothing was put in place.
    """
    command = run.export_command(form)
    matched = {slug: MatchedTasks(index) for slug, index in indexes.items()}
    check = InputCheck(run)

    def tasks_of(rows: InputRows) -> Iterator[Iterable[Result]]:
        for portion in portions(run, indexes=indexes, matched=matched, rows=rows):
            yield check.watch(portion)

    with scratch_folder(folder, "parts") as scratch:
        written = derive_parts(run, plan, form, scratch, tasks_of, command)
        if problem := check.problem(matched):
            raise input_changed(problem, command)
        paths = [folder / path.name for path in written]
        with named_errors(paths[0], form, command):
            for path in written:
                path.replace(folder / path.name)
            sync_directory(folder)
    return paths


def derive_parts(run: StoredRun, plan: PartPlan, form: OutputFormat, folder: Path, tasks_of: TasksOf, command: str) -> list[Path]:
    """Write the tasks of all rows, part by part, into a scratch folder."""

    def write(types: PartTypes | None, numbers: Sequence[int]) -> None:
        for number in numbers:
            paths, rows = plan.paths(number, folder, form), PartRows(run, plan, number)
            with named_errors(paths[0], form, command):
                write_lines(run.job, run.dataset, partial(tasks_of, rows), form, paths, types)

    write(None, range(plan.count))
    _agree(run, plan, form, folder, write)
    return plan.all_paths(folder, form)


def remove_stale(run: StoredRun, folder: Path, form: OutputFormat, kept: list[Path]) -> None:
    """Remove what other numbers of parts have left: the new files are all in place. Raises StorageError."""
    try:
        one = [folder / f"completions.{form}", folder / f"errors.{form}"] if form != "openai-batch" else []
        stale = [path for path in [*part_files(folder, form), *one] if path not in kept and path.exists()]
        if stale:
            run.directory.discard(*stale)
    except OSError as error:
        raise StorageError(f"{folder}: {error.strerror or error}") from error
    remove_states(folder, form, kept)
