"""Adds up the usage of several answers to one task."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def added(first: Mapping[str, Any] | None, second: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """Return two usage objects as one: numbers are added, tables (prompt_tokens_details) too, of anything else the second's counts."""
    if first is None or second is None:
        return second if first is None else first
    return {**first, **{key: _sum(first.get(key), value) for key, value in second.items()}}


def _sum(first: Any, second: Any) -> Any:
    if isinstance(first, Mapping) and isinstance(second, Mapping):
        return added(first, second)
    if _is_number(first) and _is_number(second):
        return first + second
    return first if second is None else second


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
