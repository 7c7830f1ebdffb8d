"""Bounds on what a template's operators and methods make, checked before any memory is used. All raise SecurityError."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from jinja2.exceptions import SecurityError

from batch.prompts.printing import check_characters, check_size, printed

_MAX_BITS = 1 << 20
_NUMBER = re.compile(r"\d+")


def check_operands(operator: str, left: Any, right: Any) -> None:
    """Check the result of `+`, `*` or `**`."""
    is_sized = hasattr(left, "__len__") or hasattr(right, "__len__")
    if operator == "+" and is_sized:
        check_characters(_length(left) + _length(right))
    elif operator == "*" and is_sized:
        for sequence, times in ((left, right), (right, left)):
            if isinstance(times, int) and hasattr(sequence, "__len__"):
                check_size(len(sequence) * times)
    elif isinstance(left, int) and isinstance(right, int):
        bits = left.bit_length() * right if operator == "**" else left.bit_length() + right.bit_length()
        if operator in "**" and bits > _MAX_BITS:
            raise SecurityError(f"a number of more than {_MAX_BITS:,} bits")


def _length(value: Any) -> int:
    return len(value) if hasattr(value, "__len__") else 0


def percent(template: str, values: Any) -> str:
    """Format as `%` does, with data only and bounded widths."""
    check_widths(template)
    items = values if isinstance(values, tuple) else (values,)
    if "*" in template:
        for item in items:
            check_size(item)
    if isinstance(values, Mapping):
        return template % {key: _formatted(item) for key, item in values.items()}
    return template % tuple(map(_formatted, items))


def _formatted(value: Any) -> Any:
    return value if isinstance(value, int | float | Decimal) and not (isinstance(value, float) and math.isnan(value)) else printed(value)


def check_widths(spec: str) -> None:
    """Check every number in a format: its widths and precisions."""
    for number in _NUMBER.findall(spec):
        check_size(int(number[:20]))


def check_method(text: str | bytes, name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
    """Check a string method that pads or replaces."""
    if name in {"ljust", "rjust", "center", "zfill"} and args:
        check_size(args[0])
    elif name == "expandtabs":
        width = args[0] if args else kwargs.get("tabsize", 8)
        check_size(width * (text.count("\t") if isinstance(text, str) else text.count(b"\t")) if isinstance(width, int) else 0)
    elif name in {"replace", "join", "translate"} and len(args) >= 2 and isinstance(text, str):
        check_replaced(text, args[0], args[1])


def check_replaced(text: str, old: Any, new: Any) -> None:
    """Check by how much a replacement lengthens `text`."""
    if isinstance(old, str) and isinstance(new, str):
        check_size(text.count(old) * (len(new) - len(old)))
