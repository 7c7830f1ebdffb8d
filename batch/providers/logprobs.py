"""Read the log probabilities of an answer's tokens from a reply, in the form of chat/completions whatever the API."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from batch.records import Api

_MARK = b'"logprobs"'


def read_logprobs(api: Api, body: bytes) -> list[dict[str, Any]] | None:
    """The tokens of the first answer in a reply: objects with `token`, `logprob` and, where it was asked for, `top_logprobs`.

    None where the reply has no log probabilities, or some that are no numbers.
    """
    if _MARK not in body:
        return None
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    tokens = _of_response(document) if api == "responses" else _of_choice(document)
    return tokens if tokens and all(map(_is_token, tokens)) else None


def _of_choice(document: Any) -> list[Any]:
    choices = document.get("choices") if isinstance(document, Mapping) else None
    found = choices[0].get("logprobs") if isinstance(choices, list) and choices and isinstance(choices[0], Mapping) else None
    if not isinstance(found, Mapping):
        return []
    if isinstance(content := found.get("content"), list):
        return content
    tokens, values = found.get("tokens"), found.get("token_logprobs")
    if not isinstance(tokens, list) or not isinstance(values, list) or len(tokens) != len(values):
        return []
    return [{"token": token, "logprob": value} for token, value in zip(tokens, values, strict=True)]


def _of_response(document: Any) -> list[Any]:
    items: Sequence[Any] = (document.get("output") or []) if isinstance(document, Mapping) else []
    parts = [part for item in items if isinstance(item, Mapping) for part in item.get("content") or [] if isinstance(part, Mapping)]
    return [token for part in parts if isinstance(part.get("logprobs"), list) for token in part["logprobs"]]


def _is_token(token: Any) -> bool:
    value = token.get("logprob") if isinstance(token, Mapping) else None
    return isinstance(value, int | float) and math.isfinite(value) and isinstance(token.get("token"), str)
