"""Write tasks as the lines of completions and errors, in any format."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from batch.errors import PromptmillError, StorageError
from batch.journal.disk import refusal
from batch.readers import Dataset
from batch.records import Outcome
from batch.results.join import Result
from batch.results.lines import completion_columns, completion_line, error_line
from batch.results.openai_batch.lines import write_batch_lines
from batch.settings import Job, OutputFormat
from batch.storage import named
from batch.writers import Layout, UnfitColumnError, UnfitVectorsError, open_writer
from batch.writers.columns import ERROR_COLUMNS

if TYPE_CHECKING:
    import pyarrow as pa

    from batch.results.carried import CarriedColumns
    from batch.results.part_types import PartTypes

# Writers are faster with many lines at once; a batch of them is small beside the rows' portion.
_LINES = 256
# The answers of other batch runners come without a bound on their bytes.
_REPLY_BYTES = 16 << 20

Portions = Callable[[], Iterable[Iterable[Result]]]
"""Starts a pass over all tasks, in portions that fit in memory: a second one where a column must be JSON text."""


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


def write_lines(
    job: Job,
    dataset: Dataset | None,
    tasks: Portions,
    format: OutputFormat,  # noqa: A002 - the option's name
    paths: list[Path],
    types: PartTypes | None = None,
) -> None:
    """Write `tasks` as completions and errors to the `paths` that `output_paths` gave; `types` are the columns', if known.

    Raises:
        UnfitColumnError: a column cannot be written, not even as JSON text.
    """
    if format == "openai-batch":
        write_batch_lines(job, tasks(), paths)
        return
    found = _Types() if types is None else _Types(types.as_json, types.fields, types.vector_size)
    # Each pass finds the size of the vectors, that they have several, or one more column that must be JSON text, so this ends.
    while True:
        try:
            _write_once(job, dataset, tasks(), format, paths, found)
        except UnfitVectorsError as unfit:
            found = replace(found, vector_size=unfit.size)
        except UnfitColumnError as unfit:
            if unfit.name in found.as_json:
                raise
            found = replace(found, as_json=found.as_json | {unfit.name})
        else:
            return


@dataclass(frozen=True, slots=True)
class _Types:
    """What is known of the columns' types: see Layout. `fields` are those that other parts have found."""

    as_json: frozenset[str] = frozenset()
    fields: Sequence[pa.Field] = ()
    vector_size: int | None = 0


def _write_once(
    job: Job,
    dataset: Dataset | None,
    tasks: Iterable[Iterable[Result]],
    format: OutputFormat,  # noqa: A002 - the option's name
    paths: list[Path],
    found: _Types,
) -> None:
    carried = job.output.carried
    columns = _columns(job, dataset, format, found.as_json)
    layout = Layout(
        completion_columns(job),
        tuple(name for _, name in carried),
        _schema(found.fields, found.as_json) if columns is None else columns.schema,
        frozenset(("id", *(name for source, name in carried if source == job.input.id))),
        job.output.csv_guard,
        found.as_json,
        found.vector_size,
    )
    with (
        closing(columns) if columns is not None else nullcontext(),
        open_writer(format, paths[0], layout) as completions,
        open_writer(format, paths[1], replace(layout, own=ERROR_COLUMNS)) as errors,
    ):
        for portion in tasks:
            for batch in _small(portion):
                if columns is None:
                    completions.write([completion_line(r, o, carried, layout.own) for r, o in batch if o.ok])
                    errors.write([error_line(r, o, carried) for r, o in batch if not o.ok])
                else:
                    columns.write(batch, completions, errors, layout.own)


def _schema(fields: Sequence[pa.Field], as_json: frozenset[str]) -> pa.Schema | None:
    """Return the types of carried-over columns of an input without types, where other parts have found them."""
    if not fields:
        return None
    import pyarrow as pa

    from batch.writers.arrow_types import JSON_TEXT

    return pa.schema([pa.field(each.name, pa.string(), metadata=JSON_TEXT) if each.name in as_json else each for each in fields])


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
