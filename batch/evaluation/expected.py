"""The right value of a row: a column, or a template over its columns."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from typing import Any

from batch.errors import InputError, RowError
from batch.evaluation.scorers import ExpectedError
from batch.prompts.templates import Template
from batch.records import Row
from batch.settings import ScoreSettings

Expected = Callable[[Row], Any]


def expected_value(settings: ScoreSettings) -> Expected:
    """A function that gives a row's right value, None for a score that has none. It raises ExpectedError where a row has none."""
    return column_or_template(settings.expected) if settings.expected is not None else lambda _: None


def column_or_template(source: str) -> Expected:
    """A function that gives a row's column, or what a template makes of the row. It raises ExpectedError where a row has none."""
    if "{" in source:
        template = Template(source)

        def rendered(row: Row) -> str:
            try:
                return template.render(row)
            except RowError as error:
                raise ExpectedError(str(error)) from error

        return rendered

    def column(row: Row) -> Any:
        value = row.columns.get(source)
        if value is None:
            raise ExpectedError(f"the row has no {source}")
        return value

    return column


def no_row_can_be_judged(settings: ScoreSettings, reason: str, columns: Sequence[str]) -> InputError:
    """The error for a score that no row has a right value for; proposes the column that was probably meant."""
    near = difflib.get_close_matches(settings.expected or "", columns, n=1)
    hint = f"did you mean {near[0]!r}?" if near and near[0] != settings.expected else f"the rows have: {', '.join(columns[:30])}"
    return InputError(f"score {settings.name}: no row can be judged: {reason} ({hint})")
