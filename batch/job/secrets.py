"""Keeps secrets that a job file writes out, in a URL, a query or a header, out of stored job documents.

Each is replaced by a reference to a variable, so that a stored job stays one that can be run.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

from batch.policy.redaction import is_secret, is_token
from batch.providers.variables import UnsetVariableError, substitute

VARIABLE_PREFIX = "SECRET_"
"""How the names of the variables begin that stand for secrets which the job file wrote out."""

_REFERENCE = "${"
_UNSET = "http://unset.invalid"
_ENDS = re.compile(r"^(\w+://[^/]*)(.*)$", re.DOTALL)


def without_secrets(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return a job document in which each secret of a provider is a reference such as `${SECRET_HOUSE_QUERY_KEY}`."""
    found = copy.deepcopy(dict(document))
    for name, table in _tables(found):
        for kind, values in _texts(table):
            for key, value in values.items():
                if is_secret(key, value) and _REFERENCE not in value:
                    values[key] = _reference(name, kind, key)
        _change_urls(table, partial(_without_tokens, name))
    return found


def readable(document: Mapping[str, Any], environ: Mapping[str, str]) -> dict[str, Any]:
    """Return a stored job document for what sends nothing: endpoints whose variables are not set lead nowhere."""
    found = copy.deepcopy(dict(document))
    for _, table in _tables(found):
        for _, values in _texts(table):
            values.update({key: "unset" for key, value in values.items() if _is_unset(value, environ)})
        _change_urls(table, lambda url, at: f"{_UNSET}/{at}/v1" if _is_unset(url, environ) else url)
    return found


def _tables(document: Mapping[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    tables = document.get("provider")
    return [(name, table) for name, table in tables.items() if isinstance(table, dict)] if isinstance(tables, dict) else []


def _texts(table: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, str]]]:
    for kind in ("query", "headers"):
        values = table.get(kind)
        if isinstance(values, dict) and all(isinstance(value, str) for value in values.values()):
            yield kind, values


def _change_urls(table: dict[str, Any], change: Callable[[str, int], str]) -> None:
    urls = table.get("base_url")
    if isinstance(urls, str):
        table["base_url"] = change(urls, 0)
    elif isinstance(urls, list):
        table["base_url"] = [change(url, at) if isinstance(url, str) else url for at, url in enumerate(urls)]


def _without_tokens(provider: str, url: str, at: int) -> str:
    match = _ENDS.match(url)
    if match is None:
        return url
    segments = match[2].split("/")
    for place, segment in enumerate(segments):
        if is_token(segment) and _REFERENCE not in segment:
            segments[place] = _reference(provider, f"url {at + 1} part {place}")
    return match[1] + "/".join(segments)


def _reference(*parts: str) -> str:
    name = re.sub(r"[^A-Z0-9]+", "_", "_".join(parts).upper()).strip("_")
    return f"${{{VARIABLE_PREFIX}{name}}}"


def _is_unset(text: str, environ: Mapping[str, str]) -> bool:
    try:
        substitute(text, environ)
    except UnsetVariableError:
        return True
    except ValueError:
        return False
    return False
