"""Inspect a run directory: verify, salvage, export. Nothing is sent."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from batch.app.stored import open_run
from batch.results import outputs
from batch.results.verification import Verification
from batch.results.verify import salvage as salvage_directory
from batch.results.verify import verify as verify_directory
from batch.settings import OutputFormat


def verify(directory: Path | str) -> Verification:
    """Join input, journal and outputs; report what is missing, duplicated or damaged. Raises RunDirectoryError, InputError."""
    return verify_directory(open_run(directory))


def salvage(directory: Path | str) -> list[str]:
    """Keep every whole record of damaged journals and report what was lost. Raises RunDirectoryError, StorageError."""
    found = open_run(directory).directory  # before the lock, which would create a folder that is not there
    with found.lock():
        return salvage_directory(found)


def export(
    directory: Path | str,
    format: OutputFormat,  # noqa: A002 - the option's name
    destination: Path | str | None,
    overrides: Sequence[str] = (),
) -> list[Path | str]:
    """Write completions and errors in another format; beside the run's own unless `destination` is given. Raises as `verify`.

    `overrides` are `--set` texts, such as the new place of an input that was moved.
    """
    return outputs.export(open_run(directory, overrides), format, destination)
