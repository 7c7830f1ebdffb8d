"""Inspect a run directory: status, verify, salvage, export. Nothing is sent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from batch.app.stored import open_run
from batch.errors import PromptmillError
from batch.results import outputs
from batch.results.status import Status, read_status
from batch.results.verification import Verification
from batch.results.verify import salvage as salvage_directory
from batch.results.verify import verify as verify_directory
from batch.rundir.opening import open_existing
from batch.settings import OutputFormat


def status(directory: Path | str) -> Status:
    """Read counts, rates and failures from the journals alone, and those of the runs whose answers are its rows.

    Raises RunDirectoryError.
    """
    return _with_upstream(read_status(open_existing(directory)), frozenset())


def _with_upstream(found: Status, seen: frozenset[str]) -> Status:
    place = None if found.origin is None else str(found.origin.get("run", ""))
    if not place or place in seen:
        return found
    try:
        upstream = _with_upstream(read_status(open_existing(place)), seen | {place})
    except PromptmillError:
        # It was moved or deleted: this run has its rows all the same.
        return found
    return replace(found, upstream=upstream)


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
