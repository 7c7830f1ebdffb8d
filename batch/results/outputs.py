"""Derive completions and errors from journals and input in one pass."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from batch.errors import StorageError
from batch.journal.disk import refusal
from batch.readers import Dataset
from batch.results.join import Result, results
from batch.results.lines import completion_columns, completion_line, error_line
from batch.results.openai_batch.lines import batch_paths, write_batch_lines
from batch.rundir.local import RunDirectory
from batch.settings import Job, OutputFormat
from batch.storage import is_url, uploading
from batch.writers import Layout, open_writer
from batch.writers.columns import ERROR_COLUMNS

if TYPE_CHECKING:
    import pyarrow as pa

_LINES = 256


def write_outputs(job: Job, directory: RunDirectory, dataset: Dataset) -> list[Path | str]:
    """Write completions and errors in the job's format into the run directory; each replaces its old file whole.

    The errors file is written also when nothing failed. Tasks that were not attempted are in neither.

    Raises:
        InputError: the input cannot be read.
        DamagedError: a journal is not as it was written.
        StorageError: the disk refuses.
    """
    return export(job, directory, dataset, job.output.format)


def export(
    job: Job,
    directory: RunDirectory,
    dataset: Dataset,
    format: OutputFormat,  # noqa: A002 - the option's name
    destination: Path | str | None = None,
) -> list[Path | str]:
    """Write completions and errors in `format` into the folder `destination` (default: the run directory). Raises as `write_outputs`.

    `destination` may be a folder on an object store, given as text.
    """
    if isinstance(destination, str) and is_url(destination):
        with uploading(destination) as (folder, addresses):
            _write(job, directory, dataset, format, folder)
        return [*addresses]
    if destination is None:
        return directory.publish(*_write(job, directory, dataset, format, directory.path))
    return [*_write(job, directory, dataset, format, Path(destination))]


def _write(job: Job, directory: RunDirectory, dataset: Dataset, format: OutputFormat, folder: Path) -> list[Path]:  # noqa: A002
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(refusal(error, folder)) from error
    paths = output_paths(job, folder, format)
    write_lines(job, dataset, results(dataset, job, directory), format, paths)
    return paths


def output_paths(job: Job, folder: Path, format: OutputFormat) -> list[Path]:  # noqa: A002 - the option's name
    """Return the paths of completions and errors; in the format openai-batch each variant may have its own pair."""
    if format == "openai-batch":
        return batch_paths(job, folder)
    return [folder / f"completions.{format}", folder / f"errors.{format}"]


def write_lines(
    job: Job,
    dataset: Dataset | None,
    tasks: Iterable[Result],
    format: OutputFormat,  # noqa: A002 - the option's name
    paths: list[Path],
) -> None:
    """Write `tasks` as completions and errors to the `paths` that `output_paths` gave."""
    if format == "openai-batch":
        write_batch_lines(job, tasks, paths)
        return
    carried = job.output.carried
    names = tuple(name for _, name in carried)
    types = _types(dataset, carried) if dataset is not None and carried and format == "parquet" else None
    own = completion_columns(job)
    embedding = "embedding" in own
    with (
        open_writer(format, paths[0], Layout(own, names, types)) as completions,
        open_writer(format, paths[1], Layout(ERROR_COLUMNS, names, types)) as errors,
    ):
        remaining = iter(tasks)
        while batch := list(islice(remaining, _LINES)):
            attempted = [(result, result.outcome) for result in batch if result.outcome is not None]
            completions.write([completion_line(r, o, carried, embedding=embedding) for r, o in attempted if o.ok])
            errors.write([error_line(r, o, carried) for r, o in attempted if not o.ok])


def _types(dataset: Dataset, carried: Sequence[tuple[str, str]]) -> pa.Schema | None:
    types = dataset.column_types()
    if types is None:
        return None
    import pyarrow as pa

    return pa.schema([types.field(source).with_name(name) for source, name in carried if source in types.names])
