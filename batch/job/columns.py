"""Compares the columns that a job names with those of its input, before anything is sent."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from batch.job.loading import LoadedJob
from batch.job.paths import KeyPath, dotted
from batch.job.problems import Problems, nearest
from batch.job.schema import shown
from batch.providers.text_apis import COLUMN_SETTINGS
from batch.records import Row
from batch.settings import PromptSettings

# Rows that are read for a column that the first ones lack. If none of them has it, all of them would fail.
ROWS_READ = 1000
_MOST_SHOWN = 30


@dataclass(frozen=True, slots=True)
class _Use:
    """A column that the job names at `path`; only rows that have it can be sent if it is `required`."""

    column: str
    path: KeyPath
    required: bool


def check_columns(loaded: LoadedJob) -> list[str]:
    """Report columns that the input does not have, each with its line and the name that was probably meant.

    Reads rows until each column was seen, at most ROWS_READ. Returns a sentence for each that a later row may have: those that are only
    carried over, of formats whose rows have columns of their own.

    Raises:
        JobError: a column is in none of these rows.
        InputError: the input cannot be read.
    """
    from batch.readers import Dataset

    if loaded.job.input.format == "openai-batch" or loaded.places is None:
        return []
    missing = list(_uses(loaded))
    present: dict[str, None] = {}
    rows = Dataset(loaded.job.input).rows()
    read = 0
    for row, _ in islice(rows, ROWS_READ):
        read += 1
        if isinstance(row, Row):
            present |= dict.fromkeys(row.columns)
            missing = [use for use in missing if use.column not in row.columns]
        if not missing:
            return []
    # No row can be read: each becomes an error with its own reason.
    if not present:
        return []
    return _report(loaded, missing, list(present), ended=read < ROWS_READ)


def _report(loaded: LoadedJob, missing: list[_Use], present: list[str], *, ended: bool) -> list[str]:
    """Raise JobError for the columns that no row has, and return a sentence for each that one beyond those that were read may have."""
    assert loaded.places is not None  # noqa: S101 - checked before the rows were read
    problems = Problems(loaded.places)
    doubts = []
    for use in missing:
        name = shown(use.column)
        # A column that is only carried over may come with a later row, but not a name that is nearly one of the input's.
        if use.required or ended or nearest(use.column, present):
            problems.add(use.path, f"the input has no column {name}", _hint(use.column, present))
        else:
            what = f"none of the first {ROWS_READ:,} rows has a column {name}, which {dotted(use.path)} names"
            doubts.append(f"{loaded.places.describe(use.path)[2]}: {what}; {_hint(use.column, present)}")
    problems.raise_found()
    return doubts


def _uses(loaded: LoadedJob) -> Iterator[_Use]:
    from batch.prompts.column_settings import named_columns
    from batch.prompts.columns import columns_of, prompt_templates

    for index, column in enumerate(loaded.job.output.columns):
        yield _Use(column, ("output", "columns", index), required=False)
    for variant in loaded.job.variants:
        prompt = variant.prompt
        if isinstance(prompt.messages, str):
            yield _Use(prompt.messages, _path_of(loaded, "messages", prompt.messages), required=True)
        for column in sorted(named_columns(prompt)):
            yield _Use(column, _path_of(loaded, _setting(prompt, column), column), required=True)
        if prompt.tools is not None:
            yield _Use(prompt.tools, _path_of(loaded, "tools", prompt.tools), required=False)
        for key, column in variant.row_parameters.items():
            yield _Use(column, _path_of(loaded, key, column), required=True)
        for key in ("images", "audio", "files"):
            for column in getattr(prompt.attached, key):
                yield _Use(column, _path_of(loaded, key, column), required=True)
        for place, source in prompt_templates(prompt):
            at = _path_of(loaded, place.partition("[")[0], source)
            yield from (_Use(column, at, required=True) for column in sorted(columns_of(source).required))


def _setting(prompt: PromptSettings, column: str) -> str:
    """Return the setting of a prompt that names a column to send."""
    return next(setting for setting in COLUMN_SETTINGS if getattr(prompt, setting) == column)


def _path_of(loaded: LoadedJob, key: str, source: str) -> KeyPath:
    """Where the job sets `key` of a prompt to `source`: in a model's own prompt, or in [prompt]."""
    from batch.prompts.columns import strings_in

    for index, entry in enumerate(loaded.document["model"]):
        if entry.get(key) == {"column": source}:
            return ("model", index, key)
        own = (entry.get("prompt") or {}).get(key)
        if any(text == source for _, text in strings_in(own, key)):
            return ("model", index, "prompt", key)
    return ("prompt", key)


def _hint(column: str, present: list[str]) -> str:
    near = nearest(column, present)
    more = f" and {len(present) - _MOST_SHOWN} more" if len(present) > _MOST_SHOWN else ""
    return f"did you mean {shown(near) if near != near.strip() else near}?" if near else f"it has {', '.join(present[:_MOST_SHOWN])}{more}"
