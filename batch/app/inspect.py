"""Looking at a run directory: status, verify, salvage, export. Nothing is sent."""

from __future__ import annotations

from pathlib import Path

from batch.job import from_document
from batch.prompts.columns import needed_columns
from batch.readers import Dataset
from batch.results import outputs
from batch.results.status import Status, read_status
from batch.results.verify import Verification
from batch.results.verify import salvage as salvage_directory
from batch.results.verify import verify as verify_directory
from batch.rundir.local import RunDirectory
from batch.rundir.opening import run_directory
from batch.settings import Job, OutputFormat


def status(directory: Path | str) -> Status:
    """Counts, rates and failures, from the journals alone. Raises RunDirectoryError."""
    return read_status(run_directory(directory))


def verify(directory: Path | str) -> Verification:
    """Join input, journal and outputs; say what is missing, doubled or damaged. Raises RunDirectoryError, InputError."""
    found, job = _open(directory)
    return verify_directory(job, found, Dataset(job.input, columns=needed_columns(job)))


def salvage(directory: Path | str) -> list[str]:
    """Keep every whole record of damaged journals and say what was lost. Raises RunDirectoryError, StorageError."""
    found = run_directory(directory)
    with found.lock():
        return salvage_directory(found)


def export(directory: Path | str, format: OutputFormat, destination: Path | str | None) -> list[Path | str]:  # noqa: A002 - the option's name
    """Write completions and errors in another format; beside the run's own unless `destination` is given. Raises as `verify`."""
    found, job = _open(directory)
    return outputs.export(job, found, Dataset(job.input, columns=needed_columns(job)), format, destination)


def _open(directory: Path | str) -> tuple[RunDirectory, Job]:
    found = run_directory(directory)
    return found, from_document(found.manifest["job"]).job
