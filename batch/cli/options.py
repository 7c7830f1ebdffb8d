"""Options that several commands share, and the overrides that they make."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import click

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

set_option = click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="KEY=VALUE",
    help="Override a setting of the job, as in --set run.concurrency=16. Repeatable.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Write JSON to stdout.")
directory_argument = click.argument("directory", metavar="RUN_DIR")


def run_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """The options of run that resume has as well."""
    decorators: Sequence[Decorator] = (
        click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Take only the first N rows of the input."),
        set_option,
        click.option("--retry-failed", is_flag=True, help="Send the rows again that failed before."),
        click.option(
            "--changed",
            type=click.Choice(["rerun", "keep"]),
            help="What to do with done rows whose request is another now: rerun them, or keep the old answers. Without this: refuse.",
        ),
        click.option("--quiet", "-q", is_flag=True, help="No progress, and no summary when all is well."),
    )
    for decorate in reversed(decorators):
        function = decorate(function)
    return function


def overrides(settings: Sequence[str], limit: int | None) -> list[str]:
    """KEY=VALUE overrides as the job loader takes them; a limit is one of them."""
    return [*settings, *([f"input.limit={limit}"] if limit is not None else [])]


def as_words(settings: Sequence[str], limit: int | None) -> list[str]:
    """The same options as they were given, for a command line to be called again."""
    return [*(word for setting in settings for word in ("--set", setting)), *(["--limit", str(limit)] if limit is not None else [])]
