"""The input of a scorer, and its scores."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from batch.evaluation.table import ScoreValue

_SHOWN = 200


@dataclass(frozen=True, slots=True)
class Sample:
    """One answer with its expected value.

    `text` is None for an answer without text (tool calls only). `expected` is the column's value, or the template's text; a list holds
    several right values. `truncated` says that the answer was cut off by the token limit. `thinking` names a tag around
    thinking beside the usual ones. `columns` are the row's own. `logprobs` are the answer's tokens with their log probabilities.
    """

    text: str | None
    expected: Any = None
    tool_calls: Sequence[Mapping[str, Any]] | None = None
    truncated: bool = False
    columns: Mapping[str, Any] = field(default_factory=dict)
    thinking: str | None = None
    usage: Mapping[str, Any] = field(default_factory=dict)
    finish_reason: str | None = None
    logprobs: Sequence[Mapping[str, Any]] | None = None


Scorer: TypeAlias = Callable[[Sample], ScoreValue]
"""Raises ExpectedError for a row whose expected value is of no use, whatever the answer."""


class ExpectedError(ValueError):
    """The row has no expected value that the scorer can compare with: a fault of the data, which must count against no model."""


def scored(value: float, extracted: str | None, reason: str) -> ScoreValue:
    """Make a score from 0 to 1."""
    return ScoreValue(float(value), "scored", shown(extracted), reason)


def unscored(reason: str, extracted: str | None = None) -> ScoreValue:
    """Make a missing score: the scorer cannot read the answer. That is not a wrong answer, and never counts as 0 here."""
    return ScoreValue(None, "unscored", shown(extracted), reason)


def shown(text: str | None, limit: int = _SHOWN) -> str | None:
    """Shorten `text` for a table; an ellipsis marks the cut."""
    return text if text is None or len(text) <= limit else text[: limit - 1] + "…"
