"""Inspect a run directory: status, verify, salvage, export. Nothing is sent."""

from __future__ import annotations

from pathlib import Path

from batch.app.stored import open_run
from batch.results import outputs
from batch.results.status import Status, read_status
from batch.results.verification import Verification
from batch.results.verify import salvage as salvage_directory
from batch.results.verify import verify as verify_directory
from batch.rundir.opening import open_existing
from batch.settings import OutputFormat


def status(directory: Path | str) -> Status:
    """Read counts, rates and failures from the journals alone. Raises RunDirectoryError."""
    return read_status(open_existing(directory))


def verify(directory: Path | str) -> Verification:
    """Join input, journal and outputs; report what is missing, duplicated or damaged. Raises RunDirectoryError, InputError."""
    return verify_directory(open_run(directory))


def salvage(directory: Path | str) -> list[str]:
    """Keep every whole record of damaged journals and report what was lost. Raises RunDirectoryError, StorageError."""
    found = open_run(directory).directory  # before the lock, which would create a folder that is not there
    with found.lock():
        return salvage_directory(found)


def export(directory: Path | str, format: OutputFormat, destination: Path | str | None) -> list[Path | str]:  # noqa: A002 - the option's name
    """Write completions and errors in another format; beside the run's own unless `destination` is given. Raises as `verify`."""
    return outputs.export(open_run(directory), format, destination)
