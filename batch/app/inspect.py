"""Looking at a run directory: status, verify, salvage, export. Nothing is sent."""

from __future__ import annotations

from pathlib import Path

from batch.job import from_document
from batch.journal.directory import RunDirectory
from batch.readers import Dataset
from batch.results import outputs
from batch.results.status import Status, read_status
from batch.results.verify import Verification
from batch.results.verify import salvage as salvage_directory
from batch.results.verify import verify as verify_directory
from batch.settings import Job, OutputFormat


def status(directory: Path) -> Status:
    """Counts, rates and failures, from the journals alone. Raises RunDirectoryError."""
    return read_status(RunDirectory(directory))


def verify(directory: Path) -> Verification:
    """Join input, journal and outputs; say what is missing, doubled or damaged. Raises RunDirectoryError, InputError."""
    run_directory, job = _open(directory)
    return verify_directory(job, run_directory, Dataset(job.input))


def salvage(directory: Path) -> list[str]:
    """Keep every whole record of damaged journals and say what was lost. Raises RunDirectoryError, StorageError."""
    run_directory = RunDirectory(directory)
    with run_directory.lock():
        return salvage_directory(run_directory)


def export(directory: Path, format: OutputFormat, destination: Path | None) -> list[Path]:  # noqa: A002 - the option's name
    """Write completions and errors in another format; beside the run's own unless `destination` is given. Raises as `verify`."""
    run_directory, job = _open(directory)
    return outputs.export(job, run_directory, Dataset(job.input), format, destination)


def _open(directory: Path) -> tuple[RunDirectory, Job]:
    run_directory = RunDirectory(directory)
    return run_directory, from_document(run_directory.manifest["job"]).job
