"""Read values that other tools write in several forms."""

from __future__ import annotations

from typing import Any

import orjson

ForeignLine = tuple[str, str, dict[str, Any], dict[str, Any]]
"""id, variant, what is said of the answer (fields of Answer), and the row's columns."""


def text_of(content: Any) -> str | None:
    """Return an answer's text: a plain text, joined text parts, or a structured answer as JSON."""
    if content is None or isinstance(content, str):
        return content
    if isinstance(content, list) and all(isinstance(part, dict) and "type" in part for part in content):
        texts = [str(part["text"]) for part in content if part["type"] == "text" and "text" in part]
        return "".join(texts) if texts else None
    return orjson.dumps(content).decode()


def id_of(value: Any) -> str:
    """Return an id as text; empty for none."""
    return "" if value is None else str(value)
