"""What a scorer is given, and the marks that it gives."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from batch.evaluation.table import Cell

_SHOWN = 200


@dataclass(frozen=True, slots=True)
class Sample:
    """One answer with what it should have been.

    `text` is None for an answer without text (tool calls only). `expected` is the column's value, or the template's text; a list holds
    several right values. `truncated` says that the answer was cut off by the token limit. `columns` are the row's own.
    """

    text: str | None
    expected: Any = None
    tool_calls: Sequence[Mapping[str, Any]] | None = None
    truncated: bool = False
    columns: Mapping[str, Any] = field(default_factory=dict)


Scorer: TypeAlias = Callable[[Sample], Cell]
"""Raises ExpectedError for a row whose expected value is of no use, whatever the answer."""


class ExpectedError(ValueError):
    """The row has no expected value that the scorer can compare with: a fault of the data, which must count against no model."""


def scored(value: float, extracted: str | None, reason: str) -> Cell:
    """A mark from 0 to 1."""
    return Cell(float(value), "scored", shown(extracted), reason)


def unscored(reason: str, extracted: str | None = None) -> Cell:
    """No mark: the answer cannot be read in the way that the scorer needs. That is not a wrong answer, and never counts as 0 here."""
    return Cell(None, "unscored", shown(extracted), reason)


def shown(text: str | None, limit: int = _SHOWN) -> str | None:
    """`text` short enough for a table; what was left out is marked by an ellipsis."""
    return text if text is None or len(text) <= limit else text[: limit - 1] + "…"
