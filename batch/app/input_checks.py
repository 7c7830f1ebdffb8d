"""What is surely a mistake in a job's columns, found before anything is sent."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator

from batch.errors import InputError
from batch.prompts.columns import columns_of, prompt_templates
from batch.readers import Dataset
from batch.settings import Job, PromptSettings

ROWS_LOOKED_AT = 1000
_BRACES = re.compile(r"(?<!\{)\{\s*([^\W\d]\w*)\s*\}(?!\})")


def check_columns(job: Job, dataset: Dataset) -> list[str]:
    """Refuse columns that the prompts or outputs name and no row has; return notices of what may be a mistake.

    Looks at the types of Parquet and Arrow, and at the first 1,000 rows of other formats.

    Raises:
        InputError: names the key and the column, and the likely one.
    """
    names, is_all = dataset.all_names(ROWS_LOOKED_AT)
    if not names:
        return []
    notices = []
    for prompt in {id(variant.prompt): variant.prompt for variant in job.variants}.values():
        if prompt.stored:
            continue
        if (problem := next(_mistakes(prompt, names), None)) is not None:
            raise InputError(f"[prompt] {problem}")
        if not _needs_a_row(prompt):
            notices.append("[prompt] names no column: each row gets the same request")
    for column in job.output.columns:
        if column in names:
            continue
        if is_all or difflib.get_close_matches(column, names, n=1):
            raise InputError(f"[output] columns: no row has a column {column!r}{_hint(column, names)}")
        notices.append(f"[output] columns: none of the first {ROWS_LOOKED_AT:,} rows has a column {column!r}{_hint(column, names)}")
    return list(dict.fromkeys(notices))


def input_notices(job: Job, dataset: Dataset, rows: int) -> list[str]:
    """Return what a user should hear of the input: nothing selected, time zones that are not installed. Raises InputError."""
    notices = [
        f"the input has times in the zone {zone!r}, which is not installed here: they are read as UTC"
        for zone in sorted(dataset.unknown_zones())
    ]
    if not rows:
        why = "for no row [input] where holds" if job.input.where is not None else "the input has no rows"
        notices.append(f"nothing to send: {why}")
    return notices


def _mistakes(prompt: PromptSettings, names: set[str]) -> Iterator[str]:
    for key in ("messages", "tools"):
        column = getattr(prompt, key)
        if isinstance(column, str) and column not in names:
            yield f"{key}: no row has a column {column!r}{_hint(column, names)}"
    needs_a_row = _needs_a_row(prompt)
    for key, source in prompt_templates(prompt):
        for name in sorted(columns_of(source).required - names):
            yield f"{key}: no row has a column {name!r}{_hint(name, names)}"
        if not needs_a_row:
            meant = next((name for name in _BRACES.findall(source) if name in names), None)
            if meant is not None:
                yield f"{key}: {{{meant}}} is sent as it stands; write {{{{ {meant} }}}} for the column"


def _needs_a_row(prompt: PromptSettings) -> bool:
    templates = [columns_of(source) for _, source in prompt_templates(prompt)]
    return isinstance(prompt.messages, str) or any(found.names or found.everything for found in templates)


def _hint(name: str, names: set[str]) -> str:
    near = difflib.get_close_matches(name, names, n=1)
    return f"; did you mean {near[0]!r}?" if near else f"; there are: {', '.join(sorted(names)[:30])}"
