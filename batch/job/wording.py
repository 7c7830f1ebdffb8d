"""Saying in plain words what a setting must be, from its JSON Schema."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping
from typing import Any

from batch.job.paths import KeyPath

Schema = Mapping[str, Any]

_PLURALS = {"string": "texts", "integer": "whole numbers", "number": "numbers", "object": "tables", "boolean": "true or false"}


def find(schema: Schema, path: KeyPath) -> tuple[Schema, KeyPath]:
    """The schema of the value at `path`, and how much of `path` it stands for.

    The walk ends at a value that may have several types, since the rest of the path then depends on which was meant.
    """
    for depth, part in enumerate(path):
        below = schema.get("items") if isinstance(part, int) else schema.get("properties", {}).get(part, schema.get("additionalProperties"))
        if not isinstance(below, Mapping):
            return schema, path[:depth]
        schema = below
    return schema, path


def expectation(schema: Schema) -> str:
    """What the value must be: "a whole number from 1 to 100000"."""
    if "anyOf" in schema:
        return " or ".join(expectation(branch) for branch in schema["anyOf"])
    if "const" in schema:
        return json.dumps(schema["const"])
    if "enum" in schema:
        return "one of " + ", ".join(json.dumps(choice) for choice in schema["enum"])
    match schema.get("type"):
        case "integer":
            return "a whole number" + _range(schema)
        case "number":
            return "a number" + _range(schema)
        case "boolean":
            return "true or false"
        case "array":
            what = f" of {_PLURALS[items]}" if (items := schema.get("items", {}).get("type")) in _PLURALS else ""
            return f"a list{what}" + (" that is not empty" if schema.get("minItems") else "")
        case "object":
            return "a table"
        case _ if "examples" in schema:
            return f"text such as {json.dumps(schema['examples'][0])}"
        case _:
            return "text that is not empty" if schema.get("minLength") else "text"


def _range(schema: Schema) -> str:
    low, above, high = schema.get("minimum"), schema.get("exclusiveMinimum"), schema.get("maximum")
    if low is not None and high is not None:
        return f" from {_number(low)} to {_number(high)}"
    if low is not None:
        return f", at least {_number(low)}"
    return f" above {_number(above)}" if above is not None else ""


def _number(value: float) -> str:
    return f"{value:g}" if abs(value) < 1_000_000 else str(int(value))


def shown(value: Any) -> str:
    """A value of a job file as it is named in a message: short, and tables and lists only by kind."""
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return f"'{value}'" if len(value) <= 60 else f"'{value[:57]}…'"
        case dict():
            return "a table"
        case list():
            return "a list" if value else "an empty list"
        case dt.date() | dt.time():
            return f"the date or time {value.isoformat()}"
        case _:
            return str(value)
