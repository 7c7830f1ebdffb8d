"""The options for scoring files of answers, shared by score, compare and report."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from dataclasses import replace
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from batch.app.sides import FileScoring

FILE_OPTIONS = ("kind", "expected", "options", "answer", "rows", "row_id")


def file_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options for files; the command gets them as the dict `files`."""
    decorators = (
        click.option("--kind", help="For files: the kind of score, such as exact, contains, choice or number."),
        click.option("--expected", metavar="COLUMN", help="For files: the key with the right value, or a template such as '{{ city }}'."),
        click.option(
            "--option",
            "options",
            multiple=True,
            metavar="KEY=VALUE",
            help="For files: another key of the [[score]], as in tolerance=0.01.",
        ),
        click.option("--answer", metavar="KEY", help="For files: the key with the answer.  [default: completion, output, response, ...]"),
        click.option("--rows", metavar="FILE", help="For files: a file with the right values, joined by id."),
        click.option("--id", "row_id", metavar="COLUMN", help="For files: the column of --rows with the ids."),
    )

    @wraps(function)
    def command(*args: Any, **options: Any) -> Any:
        given = {name: options.pop(name) for name in FILE_OPTIONS}
        return function(*args, files=given, **options)

    decorated: Callable[..., Any] = command
    for decorate in reversed(decorators):
        decorated = decorate(decorated)
    return decorated


def refuse_file_options(files: dict[str, Any]) -> None:
    """Refuse options for files when the target is a run. Raises UsageError."""
    if given := [name for name in FILE_OPTIONS if files[name]]:
        option = given[0].replace("row_id", "id").rstrip("s")
        raise click.UsageError(f"--{option} is for files; a run is scored by its job, or by that of --job.")


def file_scoring(files: dict[str, Any], job: Path | None, *, needed: bool = True) -> FileScoring:
    """Return how files are scored: by --kind, or by the [[score]] of --job. Raises UsageError when it is `needed` and not given."""
    from batch.app.sides import FileScoring, file_rules

    if job is not None and files["kind"]:
        raise click.UsageError("--kind and --job both say how to score; give one of them.")
    if needed and job is None and not files["kind"]:
        raise click.UsageError("Say how to score these files: --kind exact --expected COLUMN, for example, or --job JOB.toml.")
    rules = file_rules(job, _entry(files)) if files["kind"] or (job is not None and needed) else FileScoring(())
    rows = Path(files["rows"]) if files["rows"] else None
    return replace(rules, answer=files["answer"], rows=rows, row_id=files["row_id"])


def _entry(files: dict[str, Any]) -> dict[str, Any]:
    """Convert the options for files to a [[score]] entry."""
    entry = {key: files[key] for key in ("kind", "expected") if files[key]}
    for option in files["options"]:
        key, equals, text = option.partition("=")
        if not equals:
            raise click.BadParameter(f"{option!r} has no '='; write KEY=VALUE, as in tolerance=0.01", param_hint="--option")
        try:
            entry[key.strip()] = tomllib.loads(f"value = {text}")["value"]
        # Text needs no quotes: shells take them away.
        except (ValueError, RecursionError):
            entry[key.strip()] = text
    return entry
