"""Request parameters that each row has in a column: `temperature = {column = "t"}`. Values are checked as those of the job file are."""

from __future__ import annotations

import math
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import orjson

from batch.errors import RowError
from batch.prompts.printing import has_no_value
from batch.prompts.templates import missing_column, row_place
from batch.records import Row

_Bounds = tuple[float, float]
_NUMBERS: Mapping[str, _Bounds] = {
    "temperature": (0, math.inf),
    "top_p": (0, 1),
    "frequency_penalty": (-2, 2),
    "presence_penalty": (-2, 2),
}
_WHOLE: Mapping[str, _Bounds] = {
    **dict.fromkeys(
        ("max_tokens", "max_completion_tokens", "max_output_tokens", "dimensions", "best_of", "top_n", "max_tokens_per_doc"), (1, math.inf)
    ),
    "top_logprobs": (0, math.inf),
    "seed": (-math.inf, math.inf),
}
_FLAGS = frozenset({"parallel_tool_calls", "store", "echo", "return_documents"})
_TEXTS = frozenset({"model", "reasoning_effort", "verbosity", "service_tier", "user", "suffix", "safety_identifier", "prompt_cache_key"})
_LONGEST_SHOWN = 60


class RowParameters:
    """The parameters of each row, under the provider's names. `columns` are those of the rows by parameter."""

    def __init__(self, columns: Mapping[str, str], renames: Mapping[str, str]) -> None:
        self._columns = [(renames.get(name, name), name, column) for name, column in sorted(columns.items())]

    def values(self, row: Row) -> dict[str, Any]:
        """The values of a row; one that is null or empty is not sent. Raises RowError: missing_column or bad_parameter."""
        found: dict[str, Any] = {}
        for sent_as, name, column in self._columns:
            if column not in row.columns:
                raise missing_column(row, column)
            value = row.columns[column]
            if has_no_value(value) or value == "":
                continue
            try:
                found[sent_as] = checked_value(name, value)
            except ValueError as error:
                seen = str(value)[:_LONGEST_SHOWN]
                raise RowError("bad_parameter", f"{row_place(row)}: the column {column!r}: {name} must be {error}, not {seen!r}") from error
        return found


def checked_value(name: str, value: Any) -> Any:
    """The value of a parameter as it is sent; text, as CSV has it, is read as what the parameter takes.

    Raises ValueError: what it must be.
    """
    if name in _NUMBERS or name in _WHOLE:
        return _number(value, _NUMBERS.get(name) or _WHOLE[name], whole=name in _WHOLE)
    if name in _FLAGS:
        flag = {"true": True, "false": False}.get(str(value).lower())
        if flag is None:
            raise ValueError("true or false")
        return flag
    if name in _TEXTS:
        if not isinstance(value, str):
            raise ValueError("a text")
        return value
    if isinstance(value, str) and value.lstrip()[:1] in ("{", "["):
        try:
            return orjson.loads(value)
        except orjson.JSONDecodeError:
            return value
    return float(value) if isinstance(value, Decimal) else value


def _number(value: Any, bounds: _Bounds, *, whole: bool) -> int | float:
    low, high = bounds
    number: Any = value
    if isinstance(value, str):
        try:
            number = int(value)
        except ValueError:
            number = _float(value)
    elif isinstance(value, Decimal):
        number = float(value)
    is_number = isinstance(number, int | float) and not isinstance(number, bool) and math.isfinite(number)
    if is_number and whole and number == int(number):
        number = int(number)
    if not is_number or (whole and not isinstance(number, int)) or not low <= number <= high:
        raise ValueError(_wanted(low, high, whole=whole))
    return number  # type: ignore[no-any-return]


def _float(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _wanted(low: float, high: float, *, whole: bool) -> str:
    kind = "a whole number" if whole else "a number"
    if math.isfinite(low) and math.isfinite(high):
        return f"{kind} from {low:g} to {high:g}"
    return f"{kind} of at least {low:g}" if math.isfinite(low) else kind
