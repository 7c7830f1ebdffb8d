"""The option --env-file: variables from a file, for this command alone."""

from __future__ import annotations

import os
from pathlib import Path

import click

_META = "batch.cli.env_files"


def _load(ctx: click.Context, param: click.Parameter, paths: tuple[str, ...]) -> tuple[str, ...]:  # noqa: ARG001 - click's signature
    if paths and not ctx.resilient_parsing:
        from batch.job.env_files import read_env_file

        for path in paths:
            for name, value in read_env_file(Path(path)).items():
                # The environment comes first, and of several files the first that has the name.
                os.environ.setdefault(name, value)
        ctx.meta[_META] = paths
    return paths


# Eager: the variables are there before a job file among the arguments is loaded.
env_option = click.option(
    "--env-file",
    multiple=True,
    metavar="FILE",
    is_eager=True,
    expose_value=False,
    callback=_load,
    help="Read variables that are not set, such as keys, from this file, as in --env-file .env. They are not stored.",
)


def env_words() -> list[str]:
    """Return the options of the current command that a command line must repeat to find its variables again."""
    ctx = click.get_current_context(silent=True)
    paths: tuple[str, ...] = () if ctx is None else ctx.meta.get(_META, ())
    return [word for path in paths for word in ("--env-file", path)]
