"""Divides what one request used among the rows that it was sent for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def shared(value: Any, weights: Sequence[int]) -> list[Any]:
    """Divide `value` by weights, which are at least 1; returns a part for each.

    Whole numbers are divided by largest remainders, so that the parts add up to them; of other numbers the last part is the rest. The
    members of tables (prompt_tokens_details) are divided one by one. Anything else is no amount, and each part has it as it is.
    """
    if isinstance(value, Mapping):
        members = {name: shared(each, weights) for name, each in value.items()}
        return [{name: parts[place] for name, parts in members.items()} for place in range(len(weights))]
    if isinstance(value, bool) or not isinstance(value, int | float):
        return [value] * len(weights)
    return _whole(value, weights) if isinstance(value, int) else _fractions(value, weights)


def _whole(value: int, weights: Sequence[int]) -> list[int]:
    whole = sum(weights)
    parts = [value * weight // whole for weight in weights]
    by_remainder = sorted(range(len(weights)), key=lambda place: -(value * weights[place] % whole))
    for place in by_remainder[: value - sum(parts)]:
        parts[place] += 1
    return parts


def _fractions(value: float, weights: Sequence[int]) -> list[float]:
    whole = sum(weights)
    parts = [value * weight / whole for weight in weights[:-1]]
    return [*parts, value - sum(parts)]
