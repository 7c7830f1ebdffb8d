"""The job file's JSON Schema (draft 7): for editors, and for saying what a setting must be."""

from __future__ import annotations

import copy
from functools import cache
from typing import Any

from pydantic import BaseModel

from batch.job.model import JobFile
from batch.providers.presets import PRESETS

_OF_MODEL = frozenset({"id", "name", "sweep", "prompt"})


@cache
def section_schema(section: type[BaseModel]) -> dict[str, Any]:
    """The schema of a section, without references."""
    schema = section.model_json_schema()
    resolved: dict[str, Any] = _plain(schema, schema.pop("$defs", {}))
    return resolved


def json_schema() -> dict[str, Any]:
    """The schema of a whole job file: draft 7 without references, which every TOML editor understands."""
    schema = copy.deepcopy(section_schema(JobFile))
    model = schema["properties"]["model"]["items"]
    properties = {**model["properties"], **_options(set(model["properties"]))}
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


def _options(known: set[str]) -> dict[str, Any]:
    """The request parameters that only some providers take, each with their names."""
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
    """Without references (draft 7 ignores what stands beside one), generated titles and null defaults."""
    if isinstance(node, list):
        return [_plain(item, definitions) for item in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        target = definitions[node["$ref"].rpartition("/")[2]]
        return _plain({**target, **{key: value for key, value in node.items() if key != "$ref"}}, definitions)
    plain = {}
    for key, value in node.items():
        if (key == "title" and isinstance(value, str)) or (key == "default" and value is None):
            continue
        plain[key] = (
            {name: _plain(item, definitions) for name, item in value.items()} if key == "properties" else _plain(value, definitions)
        )
    return plain
