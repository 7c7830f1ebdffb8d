"""Reads the list of models that an endpoint serves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from batch.providers.lenient_json import parse

# Signs that a list continues on another page: Anthropic and OpenAI-like services, Gemini, others.
_MORE_PAGES = ("has_more", "hasMore", "nextPageToken", "next_page_token", "next_cursor", "next")


@dataclass(frozen=True, slots=True)
class ModelList:
    """The ids of models in a list; `names` also has their aliases. `is_whole` is False when it is one page of several."""

    ids: list[str]
    names: frozenset[str]
    is_whole: bool = True


def read_model_list(body: bytes) -> ModelList | None:
    """Read OpenAI's list, a bare list (Together), or {"models": […]} (Ollama, Gemini); None for anything else."""
    try:
        document = parse(body)
    except ValueError:
        return None
    items = document.get("data", document.get("models")) if isinstance(document, dict) else document
    if not isinstance(items, list):
        return None
    ids = [name for item in items if isinstance(name := _name(item), str)]
    aliases = {alias for item in items if isinstance(item, dict) for alias in _texts(item.get("aliases"))}
    is_whole = not (isinstance(document, dict) and any(document.get(sign) for sign in _MORE_PAGES))
    return ModelList(ids, frozenset(ids) | aliases, is_whole)


def _name(item: Any) -> Any:
    return item.get("id") or item.get("name") if isinstance(item, dict) else item


def _texts(value: Any) -> list[str]:
    return [text for text in value if isinstance(text, str)] if isinstance(value, list) else []
