"""The JSON Schemas that prompts hold their answers to: written in the job, or read from a file beside it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from batch.job.filling import resolve_path
from batch.job.model import PromptSection
from batch.job.paths import KeyPath
from batch.job.problems import Problems
from batch.job.sections import Sections, check_json

AnswerSchemas = Mapping[KeyPath, dict[str, Any]]
"""The schemas by the path of their prompt."""


def read_schemas(sections: Sections, environ: Mapping[str, str], problems: Problems) -> dict[KeyPath, dict[str, Any]]:
    """The schema of each prompt that has one; what cannot be used is noted and left out."""
    prompts: list[tuple[KeyPath, PromptSection | None]] = [(("prompt",), sections.prompt)]
    prompts += [((*entry.path, "prompt"), entry.section.prompt) for entry in sections.entries]
    found: dict[KeyPath, dict[str, Any]] = {}
    for path, prompt in prompts:
        if prompt is None or prompt.schema_ is None:
            continue
        place = (*path, "schema")
        schema = prompt.schema_ if isinstance(prompt.schema_, dict) else _read(prompt.schema_, place, environ, problems)
        if schema is not None and _check(schema, place, problems):
            found[path] = schema
    return found


def put_in(document: dict[str, Any], schemas: AnswerSchemas) -> None:
    """Write the schemas themselves into a job's document, so that a run can go on without their files."""
    for path, schema in schemas.items():
        table: Any = document
        for part in path:
            table = table[part]
        table["schema"] = schema


def _read(text: str, place: KeyPath, environ: Mapping[str, str], problems: Problems) -> dict[str, Any] | None:
    path = resolve_path(text, problems.places.layer(place).base, environ, place, problems)
    if path is None:
        return None
    try:
        schema = json.loads(Path(path).read_bytes())
    except OSError as error:
        missing = isinstance(error, FileNotFoundError)
        problems.add(place, f"there is no file {path}" if missing else f"{path} cannot be read: {error.strerror}")
    except (ValueError, RecursionError) as error:
        problems.add(place, f"{path} is not JSON: {error}")
    else:
        if isinstance(schema, dict):
            return schema
        problems.add(place, f"{path} holds no JSON Schema", "that is an object")
    return None


def _check(schema: dict[str, Any], place: KeyPath, problems: Problems) -> bool:
    from batch.prompts import AnswerSchema

    if ("schema" in schema and "type" not in schema) or "json_schema" in schema:
        problems.add(place, "is a whole response_format, not the schema alone", 'keep only what stands under "schema"')
        return False
    check_json(schema, place, problems)
    if problems.touch(place):
        return False
    try:
        AnswerSchema(schema)
    except ValueError as error:
        problems.add(place, f"is no valid JSON Schema: {error}")
        return False
    return True
