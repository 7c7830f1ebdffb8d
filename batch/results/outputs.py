"""Derive completions and errors from journals and input: one file each, or parts (parts.py)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from batch.errors import StorageError
from batch.journal.disk import refusal
from batch.journal.index import ResumeIndex
from batch.readers.dataset import MARK_EVERY
from batch.results import part_processes
from batch.results.input_check import InputCheck, input_changed
from batch.results.join import MatchedTasks, Result, portions
from batch.results.openai_batch.lines import batch_paths
from batch.results.output_files import named_errors, write_lines
from batch.results.output_parts import parts_by_ordinal, plan_of, remove_stale, write_parts_by_ordinal, write_parts_by_rows
from batch.results.part_writer import PartWriter
from batch.results.parts import PartPlan, plan_parts
from batch.rundir.stored_run import StoredRun
from batch.settings import Job, OutputFormat
from batch.storage import is_url, uploading


def write_outputs(run: StoredRun) -> list[Path | str]:
    """Write completions and errors in the job's format into the run directory; each replaces its old file whole.

    The errors file is written also when nothing failed. Tasks that were not attempted are in neither. Rows beyond the job's limit that
    have an outcome are in them: the limit bounds what is sent.

    Raises:
        InputError: the input cannot be read.
        InputChangedError: the input is not the one whose rows were sent; nothing was written.
        DamagedError: a journal is not as it was written.
        StorageError: the disk refuses, or a value cannot be written.
    """
    return export(run, run.job.output.format)


def export(
    run: StoredRun,
    format: OutputFormat,  # noqa: A002 - the option's name
    destination: Path | str | None = None,
) -> list[Path | str]:
    """Write completions and errors in `format` into the folder `destination` (default: the run directory). Raises as `write_outputs`.

    `destination` may be a folder on an object store, given as text.
    """
    if isinstance(destination, str) and is_url(destination):
        with uploading(destination) as (folder, addresses):
            _write(run, format, folder)
        return [*addresses]
    if destination is None:
        return run.directory.publish(*_write(run, format, run.directory.path))
    return [*_write(run, format, Path(destination))]


def following(run: StoredRun, *, alone: bool) -> AbstractContextManager[None]:
    """Write the parts of a run in a process of its own as soon as their rows have outcomes, while the body sends; no parts: do nothing.

    Not where a row's place says nothing of how many rows are selected: there all parts are written at the end. Nor on a disk where it does
    not send `alone`: workers write parts themselves.
    """
    plan = plan_while_sending(run) if alone or not run.directory.is_local else None
    if plan is None:
        return nullcontext()
    return part_processes.following(PartWriter(run, plan, run.job.output.format, run.directory.path))


def plan_while_sending(run: StoredRun) -> PartPlan | None:
    """Return the parts that can be written while a run sends, each from the records of its own rows; None where there are none."""
    job, manifest = run.job, run.manifest
    source = job.input
    if manifest is None or not manifest.ordinals_hold or job.run.race is not None:
        return None
    if source.where is not None or source.sample is not None or source.limit is not None:
        return None
    bound, _ = run.dataset.marks(MARK_EVERY)
    return plan_parts(job, bound, job.output.format)


def _write(run: StoredRun, form: OutputFormat, folder: Path) -> list[Path]:
    """Write the outputs, as one file each or in parts; those that other numbers of parts have left go last."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(refusal(error, folder)) from error
    whole = run.without_limit()
    plan = plan_of(run, whole, form)
    if plan is None:
        paths = _write_one(run, whole, form, folder)
    elif parts_by_ordinal(whole):
        paths = write_parts_by_ordinal(whole, plan, form, folder)
    else:
        indexes = {variant.slug: ResumeIndex.load(run.directory.journal_dir(variant.slug)) for variant in run.job.variants}
        paths = write_parts_by_rows(whole, plan, form, folder, indexes)
    remove_stale(run, folder, form, paths)
    return paths


def _write_one(run: StoredRun, whole: StoredRun, form: OutputFormat, folder: Path) -> list[Path]:
    job = run.job
    paths = output_paths(job, folder, form)
    indexes = {variant.slug: ResumeIndex.load(run.directory.journal_dir(variant.slug)) for variant in job.variants}
    command = run.export_command(form)

    def tasks() -> Iterator[Iterable[Result]]:
        matched = {slug: MatchedTasks(index) for slug, index in indexes.items()}
        check = InputCheck(whole)
        for portion in portions(whole, indexes=indexes, matched=matched, enough_rows=job.input.limit):
            yield check.watch(portion)
        if problem := check.problem(matched):
            raise input_changed(problem, command)

    with named_errors(paths[0], form, command):
        write_lines(job, whole.dataset, tasks, form, paths)
    return paths


def output_paths(job: Job, folder: Path, format: OutputFormat) -> list[Path]:  # noqa: A002 - the option's name
    """Return the paths of completions and errors; in the format openai-batch each variant may have its own pair."""
    if format == "openai-batch":
        return batch_paths(job, folder)
    return [folder / f"completions.{format}", folder / f"errors.{format}"]
