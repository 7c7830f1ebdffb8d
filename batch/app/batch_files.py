"""Handle batch files without a run: check and convert the answers of any batch runner, write a job's requests for one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from batch.app.made_rows import rows_for_reading
from batch.app.stored import open_run
from batch.errors import StorageError
from batch.job import load
from batch.job.variants import slugify
from batch.journal.disk import refusal
from batch.readers import Dataset
from batch.records import Row
from batch.results.join import Result
from batch.results.openai_batch.files import only_model, read_batch_files
from batch.results.openai_batch.requests import WrittenRequests, write_requests
from batch.results.openai_batch.verify import verify_batch_files
from batch.results.output_files import write_lines
from batch.results.outputs import output_paths
from batch.results.verification import Verification
from batch.settings import InputSettings, Job, OutputFormat, OutputSettings, PromptSettings, ProviderSettings, RunSettings, Variant
from batch.storage import is_url, uploading


def export_requests(source: Path | str, destination: Path | str | None, overrides: Sequence[str] = ()) -> WrittenRequests:
    """Write the requests of a job, given as its file or its run directory, as input files of a Batch API; by default to the run directory.

    Raises:
        JobError, RunDirectoryError, InputError, StorageError.
    """
    is_run = is_url(str(source)) or Path(source).is_dir()
    if is_run:
        return _write_requests(open_run(source, overrides).job, str(destination or source))
    with rows_for_reading(load(source, overrides)) as loaded:
        return _write_requests(loaded.job, str(destination or loaded.job.output.dir))


def _write_requests(job: Job, folder: str) -> WrittenRequests:
    if not is_url(folder):
        return write_requests(job, Dataset(job.input), Path(folder))
    with uploading(folder) as (local, addresses):
        written = write_requests(job, Dataset(job.input), local)
    return replace(written, paths=[*addresses])


def verify_files(paths: Sequence[Path], requests: Path | None) -> Verification:
    """Check the answers in batch files, against the input file `requests` where it is given. Raises InputError."""
    return verify_batch_files(paths, requests)


def export_files(paths: Sequence[Path], format: OutputFormat, destination: Path | str) -> list[Path | str]:  # noqa: A002 - the option's name
    """Write the answers in batch files into the folder `destination`, in their order; the variant of each is the model its reply names.

    Several answers of one model to a custom_id are repeats. Lines of failed requests name no model: theirs is the only one of the files,
    else "answers".

    Raises:
        InputError: a file cannot be read, or has a line of another kind.
        StorageError: the disk refuses.
    """
    if is_url(str(destination)):
        with uploading(str(destination)) as (folder, addresses):
            _write_files(paths, format, folder)
        return [*addresses]
    return [*_write_files(paths, format, Path(destination))]


def _write_files(paths: Sequence[Path], format: OutputFormat, folder: Path) -> list[Path]:  # noqa: A002 - the option's name
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(refusal(error, folder)) from error
    models = {answer.model for answer in read_batch_files(paths)}
    unnamed = only_model(models) or "answers"
    variants = {name: _variant(name) for name in sorted({model or unnamed for model in models})}
    output = OutputSettings(dir=str(folder), format=format)
    job = Job(name="", input=InputSettings(paths=()), variants=tuple(variants.values()), run=RunSettings(), output=output)
    targets = output_paths(job, folder, format)
    write_lines(job, None, lambda: [_results(paths, variants, unnamed)], format, targets)
    return targets


def _variant(model: str) -> Variant:
    provider = ProviderSettings(name="", base_url="")
    prompt = PromptSettings(stored=True)
    return Variant(name=model, slug=slugify(model) or "model", provider=provider, model=model, parameters={}, prompt=prompt)


def _results(paths: Sequence[Path], variants: Mapping[str, Variant], unnamed: str) -> Iterator[Result]:
    ordinals: dict[str, int] = {}
    times: Counter[tuple[str, str]] = Counter()
    for answer in read_batch_files(paths):
        variant = variants[answer.model or unnamed]
        ordinal = ordinals.setdefault(answer.custom_id, len(ordinals))
        row = Row(ordinal, answer.custom_id, {}, answer.file, answer.line)
        yield Result(row, variant, times[answer.custom_id, variant.name], answer.outcome)
        times[answer.custom_id, variant.name] += 1
