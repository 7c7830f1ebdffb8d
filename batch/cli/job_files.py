"""Job files where a command takes a run directory: they stand for the directory of their run."""

from __future__ import annotations

from pathlib import Path

import click

from batch.errors import RunDirectoryError

_SUFFIX = ".toml"


def is_job(target: str) -> bool:
    """Whether `target` names a job file, which need not exist: a run directory is a folder, or has another name."""
    return target.endswith(_SUFFIX) and "://" not in target and not Path(target).is_dir()


def run_of(target: str) -> str:
    """Return the run directory of a job file, and any other target as it is.

    Raises:
        JobError: the job file cannot be used.
        RunDirectoryError: its run has not begun.
    """
    if not is_job(target):
        return target
    # Loaded for a job file only: a run directory needs no TOML.
    from batch.job import load
    from batch.progress import near

    directory = load(target).job.output.dir
    if "://" not in directory and not (Path(directory) / "run.json").exists():
        raise RunDirectoryError(
            f"{target}: its run has not begun, there is no {near(directory)}/run.json; begin it: promptmill run {target}"
        )
    return near(directory)


def run_argument(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:  # noqa: ARG001 - click's signature
    """Take a job file for the run that it has. Raises as `run_of`."""
    return value if value is None or ctx.resilient_parsing else run_of(value)


def run_arguments(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:  # noqa: ARG001 - click's signature
    """Take job files for the runs that they have. Raises as `run_of`."""
    return values if ctx.resilient_parsing else tuple(map(run_of, values))


def refuse_job(ctx: click.Context, param: click.Parameter, value: str) -> str:  # noqa: ARG001 - click's signature
    """Refuse a job file where its directory alone counts. Raises UsageError."""
    if is_job(value) and not ctx.resilient_parsing:
        raise click.UsageError(
            f"{value} is a job file, {ctx.info_name} takes a run directory; continue the job with: promptmill run {value}"
        )
    return value
