"""Find the right value of a row: a column, or a template over its columns."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from batch.errors import InputError, RowError
from batch.evaluation.scorers import ExpectedError
from batch.prompts.templates import Template
from batch.records import Row
from batch.settings import ScoreSettings

Expected = Callable[[Row], Any]


def expected_value(settings: ScoreSettings) -> Expected:
    """Return a function from a row to its right value (None for a score without one). It raises ExpectedError for a row without one."""
    return column_or_template(settings.expected) if settings.expected is not None else lambda _: None


def column_or_template(source: str) -> Expected:
    """Return a function from a row to a column's value or a rendered template. It raises ExpectedError for a row without one."""
    # A template has a brace; column names with one cannot be given here.
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


def lacking(scores: Sequence[ScoreSettings], rows: Sequence[Row]) -> Iterator[str]:
    """Yield a sentence for each thing that scores need and none of these rows has: right values and grouping columns.

    Checked before rows are paid for: no answer can be judged against a value that is not there.
    """
    columns = list(dict.fromkeys(name for row in rows for name in row.columns))
    for score in scores:
        if (reason := _why_none(score, rows)) is not None:
            hint = _hint(score.expected, columns)
            yield f"score {score.name}: in none of the first {len(rows):,} rows can an answer be judged: {reason} ({hint})"
        weights = score.options.get("weights")
        named = [*score.slices, *score.options.get("macro", ()), *(name for name in (score.cluster, weights) if name)]
        for name in dict.fromkeys(named):
            if rows and name not in columns:
                yield f"score {score.name}: none of the first {len(rows):,} rows has a column {name!r} ({_hint(name, columns)})"


def _why_none(score: ScoreSettings, rows: Sequence[Row]) -> str | None:
    """Explain why no row has a right value; None if one has."""
    expected, reasons = expected_value(score), Counter[str]()
    for row in rows:
        try:
            expected(row)
        except ExpectedError as error:
            reasons[str(error)] += 1
        else:
            return None
    return next((reason for reason, _ in reasons.most_common(1)), None)


def _hint(meant: str | None, columns: Sequence[str]) -> str:
    near = difflib.get_close_matches(meant or "", columns, n=1)
    return f"did you mean {near[0]!r}?" if near and near[0] != meant else f"the rows have: {', '.join(columns[:30])}"


def no_row_can_be_judged(settings: ScoreSettings, reason: str, columns: Sequence[str]) -> InputError:
    """Make the error for a score without any right value; it proposes the column that was probably meant."""
    return InputError(f"score {settings.name}: no row can be judged: {reason} ({_hint(settings.expected, columns)})")
