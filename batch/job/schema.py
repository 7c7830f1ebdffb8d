"""The job file's JSON Schema (draft 7), for editors and for messages that say what a setting must be."""

from __future__ import annotations

import copy
import datetime as dt
import json
from collections.abc import Mapping
from functools import cache
from typing import Any

from pydantic import BaseModel

from batch.job.model import JobFile
from batch.job.paths import KeyPath
from batch.providers.parameters import COMMON_PARAMETERS
from batch.providers.presets import PRESETS

Schema = Mapping[str, Any]

_PLURALS = {"string": "texts", "integer": "whole numbers", "number": "numbers", "object": "tables", "boolean": "true or false"}
_LONG_NUMBER_BITS = 256
_COLUMN: dict[str, Any] = {
    "type": "object",
    "properties": {"column": {"type": "string", "description": "The column with each row's value."}},
    "required": ["column"],
    "additionalProperties": False,
}
_OF_MODEL = frozenset({"id", "name", "sweep", "prompt"})


@cache
def section_schema(section: type[BaseModel]) -> dict[str, Any]:
    """Return the schema of a section, without references."""
    schema = section.model_json_schema()
    resolved: dict[str, Any] = _plain(schema, schema.pop("$defs", {}))
    return resolved


def json_schema() -> dict[str, Any]:
    """Return the schema of a whole job file: draft 7 without references, which every TOML editor understands."""
    schema = copy.deepcopy(section_schema(JobFile))
    model = schema["properties"]["model"]["items"]
    properties = {**model["properties"], **_options(set(model["properties"]))}
    for name in COMMON_PARAMETERS:
        properties[name] = _or_column(properties[name])
    properties["model"] = {"description": "The column with each row's model.", **_COLUMN}
    # Any key is let in: an option that [provider.x] options names is right, and an editor cannot see that.
    item = {**model, "properties": properties, "additionalProperties": True}
    request = {name: node for name, node in properties.items() if name not in _OF_MODEL}
    for kind in schema["properties"]["score"]["items"]["anyOf"]:
        if (parameters := kind["properties"].get("parameters")) is not None:
            parameters["properties"] = request
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "promptmill job",
        **schema,
        "properties": {**schema["properties"], "model": {**schema["properties"]["model"], "items": item}},
    }


def _or_column(node: Mapping[str, Any]) -> dict[str, Any]:
    """A parameter's schema, which each row may have in a column as well."""
    inner = {key: value for key, value in node.items() if key != "description"}
    return {"description": node.get("description", ""), "anyOf": [*inner.get("anyOf", [inner]), _COLUMN]}


def _options(known: set[str]) -> dict[str, Any]:
    """Return the request parameters that only some providers take, with those providers' names."""
    found: dict[str, dict[str, list[str]]] = {}
    for preset in PRESETS.values():
        for option, text in preset.options.items():
            if option not in known:
                found.setdefault(option, {}).setdefault(text, []).append(preset.name)
    return {
        option: {"description": " ".join(f"{text} ({', '.join(names)})" for text, names in texts.items())}
        for option, texts in sorted(found.items())
    }


def _plain(node: Any, definitions: dict[str, Any]) -> Any:
    """Drop references (draft 7 ignores the keys beside one), generated titles and null defaults."""
    if isinstance(node, list):
        return [_plain(item, definitions) for item in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        target = definitions[node["$ref"].rpartition("/")[2]]
        return _plain({**target, **{key: value for key, value in node.items() if key != "$ref"}}, definitions)
    plain = {}
    for key, value in node.items():
        # Generated titles repeat the key in other letters.
        if (key == "title" and isinstance(value, str)) or (key == "default" and value is None):
            continue
        plain[key] = (
            {name: _plain(item, definitions) for name, item in value.items()} if key == "properties" else _plain(value, definitions)
        )
    return plain


def find(schema: Schema, path: KeyPath) -> tuple[Schema, KeyPath]:
    """Return the schema of the value at `path`, and the part of `path` that it describes.

    The walk ends at a value of several types: the rest of the path depends on the intended one.
    """
    for depth, part in enumerate(path):
        below = schema.get("items") if isinstance(part, int) else schema.get("properties", {}).get(part, schema.get("additionalProperties"))
        if not isinstance(below, Mapping):
            return schema, path[:depth]
        schema = below
    return schema, path


def expectation(schema: Schema) -> str:
    """Describe a valid value: "a whole number from 1 to 100000"."""
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
            return f"a {'non-empty ' if schema.get('minItems') else ''}list{what}"
        case "object":
            return "a table"
        case _ if "examples" in schema:
            return f"text such as {json.dumps(schema['examples'][0])}"
        case _:
            return "non-empty text" if schema.get("minLength") else "text"


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
    """Show a value of a job file in a message: shortened; tables and lists only by kind."""
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return f"'{value}'" if len(value) <= 60 else f"'{value[:57]}…'"
        case int() if value.bit_length() > _LONG_NUMBER_BITS:
            # Python refuses to write more than 4,300 digits out.
            return f"a number of about {value.bit_length() * 3 // 10:,} digits"
        case dict():
            return "a table"
        case list():
            return "a list" if value else "an empty list"
        case dt.date() | dt.time():
            return f"the date or time {value.isoformat()}"
        case _:
            return str(value)
