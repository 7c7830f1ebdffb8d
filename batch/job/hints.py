"""How to mend a value or a key of a job file: what the messages of its shape put in parentheses, and the keys that they name."""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from batch.job.paths import begins

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

# Pydantic names the branch of a union by its class.
_TYPE_NAME = re.compile(r"[A-Z][A-Za-z]*Section")


def by_keys(errors: Sequence[ErrorDetails]) -> Iterator[ErrorDetails]:
    """Yield the errors by the keys of the file: pydantic names the type of an optional table as if it were a key, and None beside it."""
    places = [tuple(part for part in error["loc"] if not (isinstance(part, str) and _TYPE_NAME.fullmatch(part))) for error in errors]
    for error, place in zip(errors, places, strict=True):
        if error["type"] == "none_required" and sum(begins(other, place[:-1]) for other in places) > 1:
            continue
        yield {**error, "loc": place}


def other_name(key: str, known: Sequence[str]) -> str | None:
    """Return the setting, of this table, that other programs call `key`."""
    # Loaded for a mistake only; it imports the tables, as this module does.
    from batch.job.option_names import setting_named

    name = (setting_named(key, nearly=False) or "").rpartition(".")[2]
    return name if name in known and name != key else None


def writing_hint(value: Any, node: Mapping[str, Any] | None = None) -> str | None:
    """Say how to write a value where `node`, the schema of its setting, wants another type; None where the message says it."""
    wants_text = node is None or node.get("type") == "string"
    if isinstance(value, str) and any("\ud800" <= character <= "\udfff" for character in value):
        # As the command line gives them in arguments.
        return "it has bytes that are not UTF-8"
    kind = (node or {}).get("type")
    if kind == "array" and isinstance(value, str):
        return f"in brackets: [{json.dumps(value, ensure_ascii=False)}]"
    if kind == "object" and "{" in (text := str((node or {}).get("description", ""))):
        # An example of such a table.
        return text.removesuffix(".")
    if wants_text and isinstance(value, int | float | dt.date | dt.time):
        return f'put it in quotes: "{value}"'
    types = {branch.get("type") for branch in (node or {}).get("anyOf", [node or {}])}
    if types & {"integer", "number", "boolean"} and isinstance(value, str):
        try:
            float(value)
        except ValueError:
            return None if value not in {"true", "false"} else "without quotes"
        return "without quotes"
    return None
