"""`batch.status`, `batch.verify` and `batch.export`: look into a run from Python. Nothing is sent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Protocol, get_args, runtime_checkable

from batch.app import batch_files, inspect, look
from batch.app.python_html import html_table
from batch.app.python_words import in_python_words
from batch.results.status import Status
from batch.results.verification import Verification
from batch.settings import OutputFormat


@runtime_checkable
class HasDirectory(Protocol):
    """What knows its run directory, such as a `RunResult`."""

    directory: Path | str


AnyRun = str | Path | HasDirectory


class RunStatus(Status):
    """The present state of a run: `Status`, with a short repr and a table in notebooks."""

    __slots__ = ()

    def __repr__(self) -> str:
        left = [variant.not_attempted for variant in self.variants]
        missing = "an unknown number" if None in left else f"{sum(each or 0 for each in left):,}"
        ok, failed = sum(each.ok for each in self.variants), sum(each.failed for each in self.variants)
        return f"<RunStatus {str(self.directory)!r}: {ok:,} ok, {failed:,} failed, {missing} left{', running' if self.running else ''}>"

    def _repr_html_(self) -> str:
        head = ["variant", "rows", "ok", "failed", "left", "tokens in", "tokens out", "USD"]
        rows = [
            (v.name, v.total, v.ok, v.failed, v.not_attempted, v.prompt_tokens, v.completion_tokens, v.cost_usd if v.priced else None)
            for v in self.variants
        ]
        return html_table(f"{self.name} in {self.directory}{', running' if self.running else ''}", head, rows)


class RunVerification(Verification):
    """What a check found: `Verification`, with a short repr and a table in notebooks."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"<RunVerification: {self._verdict()}>"

    def _repr_html_(self) -> str:
        head = ["variant", "tasks", "ok", "failed", "missing", "doubled", "superseded", "orphaned"]
        rows = [(v.name, v.tasks, v.ok, v.failed, v.missing, v.doubled, v.superseded, v.orphaned) for v in self.variants]
        return html_table(self._verdict(), head, rows)

    def _verdict(self) -> str:
        if not self.sound:
            doubled = sum(check.doubled for check in self.variants)
            repeated = [f"{doubled:,} rows are of a task that another row has"] if doubled else []
            found = [*self.damage, *self.outputs, *repeated]
            return f"not sound: {found[0]}" + (f", and {len(found) - 1:,} more" if len(found) > 1 else "")
        missing = sum(check.missing for check in self.variants)
        return "sound and complete" if self.complete else f"sound so far, {missing:,} without an outcome"


@in_python_words
def status(run: AnyRun) -> RunStatus:
    """Read counts, rates and failures of a run from its journals, also while it is active.

    `run` is a run directory, or what `batch.run` returned.

    Raises:
        RunDirectoryError: there is no run there.
    """
    found = look.status(place_of(run))
    return RunStatus(**{each.name: getattr(found, each.name) for each in fields(found)})


@in_python_words
def verify(*targets: AnyRun, requests: str | Path | None = None) -> RunVerification:
    """Check input, journal and outputs of a run against each other; or files of answers, against the file `requests` where it is given.

    `sound` and `complete` of what is returned are the verdict; rows that have not been sent yet are no fault.

    Raises:
        RunDirectoryError, InputError, DamagedError.
        ValueError: no target, or a run with further targets.
    """
    places = [place_of(target) for target in targets]
    if not places:
        raise ValueError("name a run directory, or files of answers")
    if requests is not None or Path(places[0]).is_file():
        found = batch_files.verify_files([Path(place) for place in places], Path(requests) if requests is not None else None)
    elif len(places) > 1:
        raise ValueError("one run directory at a time; several targets are for files of answers")
    else:
        found = inspect.verify(places[0])
    return RunVerification(found.variants, found.damage, found.outputs)


@in_python_words
def export(run: AnyRun | Sequence[str | Path], format: OutputFormat, output: str | Path | None = None) -> list[str]:  # noqa: A002 - as --format
    """Write completions and errors in another format, beside the run's own files or to the folder `output`; return the files' addresses.

    `run` is a run directory, what `batch.run` returned, or files of another batch runner's answers, which need `output`.

    Raises:
        RunDirectoryError, InputError, DamagedError, StorageError.
        ValueError: an unknown format, or files without `output`.
    """
    if format not in get_args(OutputFormat):
        raise ValueError(f"format is one of {', '.join(map(repr, get_args(OutputFormat)))}, not {format!r}")
    several = isinstance(run, Sequence) and not isinstance(run, str)
    places = [place_of(each) for each in run] if several else [place_of(run)]  # type: ignore[union-attr, arg-type]
    if several or Path(places[0]).is_file():
        if output is None:
            raise ValueError('say where to write: output="DIR"')
        return [*map(str, batch_files.export_files([Path(place) for place in places], format, output))]
    return [*map(str, inspect.export(places[0], format, output))]


def place_of(run: AnyRun) -> str | Path:
    """Return the run directory that is meant."""
    return run if isinstance(run, str | Path) else run.directory
