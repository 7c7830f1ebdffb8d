"""`--set key=value`: settings from the command line, laid over the job file."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

from batch.errors import Problem
from batch.job.paths import KeyPath, dotted, looks_secret
from batch.job.toml_file import SetLayer

_STEP = re.compile(r"""\s*(?:(?P<bare>[A-Za-z0-9_-]+)|"(?P<double>[^"]*)"|'(?P<single>[^']*)')(?P<indices>(?:\[\d+\])*)\s*(?:\.|$)""")
_EXAMPLE = "write --set KEY=VALUE, such as --set run.concurrency=64 or --set 'model[0].temperature=0.2'"


def apply_override(text: str, document: dict[str, Any]) -> SetLayer | Problem:
    """Put the value of `text` ("run.concurrency=64") into `document`, in place.

    The value is read as TOML, else taken as text. A key that passes through a list without an index ("model.temperature")
    is set in all its tables.
    """
    key, equals, source = text.partition("=")
    if not equals:
        return Problem(f"--set {text}", "", "has no value", _EXAMPLE)
    label = f"--set {key}=…" if looks_secret(key) else f"--set {text}"
    path = _parse_key(key)
    if path is None:
        return Problem(label, "", "has no key that can be read", _EXAMPLE)
    if path == ("extends",):
        return Problem(label, "extends", "can only be set in the job file")
    value = _parse_value(source.strip())
    try:
        paths = _assign(document, path, value, ())
    except _PathError as error:
        return Problem(label, dotted(path), str(error))
    return SetLayer(label, Path.cwd(), tuple(paths), value)


class _PathError(ValueError):
    pass


def _parse_key(key: str) -> KeyPath | None:
    path: list[str | int] = []
    position = 0
    while position < len(key):
        step = _STEP.match(key, position)
        if step is None:
            return None
        path.append(next(part for part in (step["bare"], step["double"], step["single"]) if part is not None))
        path.extend(int(index) for index in re.findall(r"\d+", step["indices"]))
        position = step.end()
    return tuple(path) if path and not key.rstrip().endswith(".") else None


def _parse_value(source: str) -> Any:
    try:
        table = tomllib.loads(f"value = {source}")
    except tomllib.TOMLDecodeError:
        return source
    return table["value"] if len(table) == 1 else source


def _assign(container: Any, path: KeyPath, value: Any, done: KeyPath) -> list[KeyPath]:
    step, rest = path[0], path[1:]
    if isinstance(step, str) and isinstance(container, list):
        if not container:
            raise _PathError(f"{dotted(done)} is empty")
        return [found for index in range(len(container)) for found in _assign(container, (index, *path), value, done)]
    if isinstance(step, int):
        if not isinstance(container, list):
            raise _PathError(f"{dotted(done)} is not a list")
        if step >= len(container):
            raise _PathError(f"there is no {dotted((*done, step))}; {dotted(done)} has {len(container)}, counted from 0")
    elif not isinstance(container, dict):
        raise _PathError(f"{dotted(done)} is not a table")
    if not rest:
        container[step] = value
        return [(*done, step)]
    if isinstance(step, str) and isinstance(container, dict) and step not in container and isinstance(rest[0], str):
        container[step] = {}
    elif isinstance(container, dict) and step not in container:
        raise _PathError(f"there is no {dotted((*done, step))}")
    return _assign(container[step], rest, value, (*done, step))
