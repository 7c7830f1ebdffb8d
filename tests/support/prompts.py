"""Rows, variants and bodies for tests of prompts."""

from __future__ import annotations

from typing import Any

import orjson

from batch.prompts import RequestBuilder
from batch.records import Row
from batch.settings import PromptSettings, ProviderSettings, Variant


def row(padded: bool = False, row_id: str = "FR", **columns: Any) -> Row:
    """Line 17 of countries.jsonl."""
    return Row(16, row_id, columns, "/data/countries.jsonl", 17, padded)


def variant(parameters: dict[str, Any] | None = None, provider: dict[str, Any] | None = None, model: str = "m", **prompt: Any) -> Variant:
    """A variant with this prompt."""
    settings = ProviderSettings(**{"name": "house", "base_url": "http://127.0.0.1/v1", **(provider or {})})
    return Variant(name="house/m", slug="m", provider=settings, model=model, parameters=parameters or {}, prompt=PromptSettings(**prompt))


def body(a_variant: Variant, a_row: Row, stream: bool = False) -> dict[str, Any]:
    """The body that is sent, read back."""
    return orjson.loads(RequestBuilder(a_variant, stream).build(a_row).body)
