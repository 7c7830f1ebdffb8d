"""Derive completions and errors from journals and input in one pass."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from batch.errors import PromptmillError, StorageError
from batch.journal.disk import refusal
from batch.journal.index import ResumeIndex
from batch.readers import Dataset
from batch.records import Outcome
from batch.results.input_check import InputCheck, input_changed
from batch.results.join import MatchedTasks, Result, portions
from batch.results.lines import completion_columns, completion_line, error_line
from batch.results.openai_batch.lines import batch_paths, write_batch_lines
from batch.rundir.stored_run import StoredRun
from batch.settings import Job, OutputFormat
from batch.storage import is_url, named, uploading
from batch.writers import Layout, UnfitColumnError, open_writer
from batch.writers.columns import ERROR_COLUMNS

if TYPE_CHECKING:
    from batch.results.carried import CarriedColumns

# Writers are faster with many lines at once; a batch of them is small beside the rows' portion.
_LINES = 256
# The answers of other batch runners come without a bound on their bytes.
_REPLY_BYTES = 16 << 20

Portions = Callable[[], Iterable[Iterable[Result]]]
"""Starts a pass over all tasks, in portions that fit in memory: a second one where a column must be JSON text."""


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


def _write(run: StoredRun, format: OutputFormat, folder: Path) -> list[Path]:  # noqa: A002 - the option's name
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(refusal(error, folder)) from error
    job, whole = run.job, run.without_limit()
    paths = output_paths(job, folder, format)
    indexes = {variant.slug: ResumeIndex.load(run.directory.journal_dir(variant.slug)) for variant in job.variants}
    command = f"promptmill export {run.directory.place} --format {format}"

    def tasks() -> Iterator[Iterable[Result]]:
        matched = {slug: MatchedTasks(index) for slug, index in indexes.items()}
        check = InputCheck(whole)
        for portion in portions(whole, indexes=indexes, matched=matched, enough_rows=job.input.limit):
            yield check.watch(portion)
        if problem := check.problem(matched):
            raise input_changed(problem, command)

    with named_errors(paths[0], format, command):
        write_lines(job, whole.dataset, tasks, format, paths)
    return paths


@contextmanager
def named_errors(path: Path, format: OutputFormat, command: str) -> Iterator[None]:  # noqa: A002 - the option's name
    """Turn what a library raises into a StorageError that names the file and the command that derives it again."""
    try:
        yield
    except PromptmillError:
        raise
    except UnfitColumnError as error:
        raise StorageError(f"{named(path)}: cannot be written: {error}; without it in [output] columns: `{command}`") from error
    except OSError as error:
        raise StorageError(refusal(error, path.parent)) from error
    except Exception as error:
        other = command if format == "jsonl" else command.replace(f"--format {format}", "--format jsonl")
        raise StorageError(
            f"{named(path)}: cannot be written as {format}: {type(error).__name__}: {error}; every outcome is in the journal: `{other}`"
        ) from error


def output_paths(job: Job, folder: Path, format: OutputFormat) -> list[Path]:  # noqa: A002 - the option's name
    """Return the paths of completions and errors; in the format openai-batch each variant may have its own pair."""
    if format == "openai-batch":
        return batch_paths(job, folder)
    return [folder / f"completions.{format}", folder / f"errors.{format}"]


def write_lines(
    job: Job,
    dataset: Dataset | None,
    tasks: Portions,
    format: OutputFormat,  # noqa: A002 - the option's name
    paths: list[Path],
) -> None:
    """Write `tasks` as completions and errors to the `paths` that `output_paths` gave.

    Raises:
        UnfitColumnError: a column cannot be written, not even as JSON text.
    """
    if format == "openai-batch":
        write_batch_lines(job, tasks(), paths)
        return
    as_json: frozenset[str] = frozenset()
    # Each pass finds at most one more column that must be JSON text, so this ends.
    while True:
        try:
            _write_once(job, dataset, tasks(), format, paths, as_json)
        except UnfitColumnError as unfit:
            if unfit.name in as_json:
                raise
            as_json |= {unfit.name}
        else:
            return


def _write_once(
    job: Job,
    dataset: Dataset | None,
    tasks: Iterable[Iterable[Result]],
    format: OutputFormat,  # noqa: A002 - the option's name
    paths: list[Path],
    as_json: frozenset[str],
) -> None:
    carried = job.output.carried
    columns = _columns(job, dataset, format, as_json)
    layout = Layout(
        completion_columns(job),
        tuple(name for _, name in carried),
        None if columns is None else columns.schema,
        frozenset(("id", *(name for source, name in carried if source == job.input.id))),
        job.output.csv_guard,
        as_json,
    )
    embedding = "embedding" in layout.own
    with (
        closing(columns) if columns is not None else nullcontext(),
        open_writer(format, paths[0], layout) as completions,
        open_writer(format, paths[1], replace(layout, own=ERROR_COLUMNS)) as errors,
    ):
        for portion in tasks:
            for batch in _small(portion):
                if columns is None:
                    completions.write([completion_line(r, o, carried, embedding=embedding) for r, o in batch if o.ok])
                    errors.write([error_line(r, o, carried) for r, o in batch if not o.ok])
                else:
                    columns.write(batch, completions, errors, embedding=embedding)


def _columns(
    job: Job,
    dataset: Dataset | None,
    format: OutputFormat,  # noqa: A002 - the option's name
    as_json: frozenset[str],
) -> CarriedColumns | None:
    """Return the carried-over columns where they stay Arrow arrays from file to file."""
    if dataset is None or format != "parquet" or not job.output.columns or not dataset.columnar:
        return None
    from batch.results.carried import CarriedColumns  # pyarrow: other formats do without

    return CarriedColumns(job, dataset, as_json)


def warn_of_json_columns(job: Job, dataset: Dataset) -> list[str]:
    """Name the carried-over columns whose type the job's format cannot store, before anything is sent. Raises InputError."""
    columns = _columns(job, dataset, job.output.format, frozenset())
    if columns is None:
        return []
    texts = [field.name for field in columns.schema if field.metadata is not None]
    return [f"output.columns {name!r}: Parquet cannot store its types in one column: it is written as JSON text" for name in texts]


def _small(tasks: Iterable[Result]) -> Iterator[list[tuple[Result, Outcome]]]:
    """Split the attempted tasks into batches of at most _LINES, fewer where the replies are large."""
    batch: list[tuple[Result, Outcome]] = []
    size = 0
    for result in tasks:
        if (outcome := result.outcome) is None:
            continue
        batch.append((result, outcome))
        size += len(outcome.response or b"")
        if len(batch) >= _LINES or size >= _REPLY_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
