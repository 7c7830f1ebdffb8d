"""Parameters of a `[[model]]` that each row has in a column: `temperature = {column = "t"}`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from batch.job.paths import KeyPath
from batch.job.problems import Loading

# Without them there is no request to name a row's value in.
_FIXED = frozenset({"id", "name", "sweep", "extra_body", "prompt", "price", "stream", "stream_options", "messages", "n"})


def divided(raw: Any) -> tuple[Any, dict[str, str]]:
    """Return an entry without the parameters that are columns, and those columns by parameter."""
    if not isinstance(raw, Mapping):
        return raw, {}
    columns = {key: value["column"] for key, value in raw.items() if key not in _FIXED and _is_column(value)}
    return {key: value for key, value in raw.items() if key not in columns}, columns


def check_columns_of(columns: Mapping[str, str], others: Mapping[str, Any], path: KeyPath, loading: Loading, *, stored: bool) -> None:
    """Report columns of parameters that are also swept or in extra_body, or that stand beside whole requests."""
    for key in columns:
        if stored:
            loading.add((*path, key), "cannot be a column with format = 'openai-batch'", "each request has its own parameters")
        elif key in others:
            loading.add((*path, key), f"{key} is set twice, once as a column", "keep one of the two")


def _is_column(value: Any) -> bool:
    return isinstance(value, Mapping) and set(value) == {"column"} and isinstance(value["column"], str) and bool(value["column"])
