"""Reads the usage object of a reply: counts of tokens that make sense, everything else as it came."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

# OpenAI's usage has two levels. Deeper ones are kept, but not without end: they are merged and written recursively.
_DEEPEST = 6
# More tokens than any request can use, and less than what a double cannot count.
_MOST_TOKENS = 10**12


def read_usage(usage: Any, depth: int = 0) -> dict[str, Any] | None:
    """Return `usage` without the counts that cannot be read; None when it is no object, or holds nothing.

    A count is what stands under a name that ends with "tokens": a whole number from 0 to 10^12, also as a float or as text. Other
    members are kept, but for numbers that are not finite.
    """
    if not usage or not isinstance(usage, Mapping):
        return None
    read: dict[str, Any] = {}
    for name, given in usage.items():
        # Nearly every member is a plain count; a bool is of another type.
        value = given if type(given) is int and 0 <= given <= _MOST_TOKENS else _member(name, given, depth)
        if value is not None:
            read[name] = value
    if depth == 0 and "prompt_tokens" not in read and "input_tokens" in read:
        _add_chat_names(read)
    return read or None


def _add_chat_names(usage: dict[str, Any]) -> None:
    """Add the counts under a chat's names where they have those of the Responses and Anthropic APIs."""
    for own, name in (("input_tokens", "prompt_tokens"), ("output_tokens", "completion_tokens")):
        if own in usage:
            usage.setdefault(name, usage[own])


def _member(name: str, value: Any, depth: int) -> Any:
    if name.endswith("tokens"):
        return token_count(value)
    if isinstance(value, Mapping):
        return read_usage(value, depth + 1) if depth < _DEEPEST else None
    if isinstance(value, list):
        return None if any(isinstance(item, Mapping | list) for item in value) else value
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def token_count(value: Any) -> int | None:
    """Return `value` if it is a count of tokens: a whole number from 0 to 10^12, also as a float or as text; else None."""
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) < len(str(_MOST_TOKENS)):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _MOST_TOKENS or value != int(value):
        return None
    return int(value)
