"""Reads error objects in the envelopes of all providers, whatever the API.

Seen: {"error": {…}} (OpenAI), {"error": "text"} (Ollama, TGI), {"detail": "Not Found"} and {"detail": [{…}]} (FastAPI, Mistral),
a bare {"object": "error", …} (vLLM before 0.10, Mistral), [{"error": {…}}] (Gemini), {"message": …} (gateways), and an `error`
inside a choice (OpenRouter).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from batch.records import ReplyError

LONGEST_MESSAGE = 2000

_BROKEN_OFF = ("error", "abort")
"""What OpenRouter and vLLM give as finish_reason of an answer that the server itself broke off."""


class ReplyFormatError(ValueError):
    """A body that is not of the protocol; `code` is one of errors.py's protocol codes."""

    def __init__(self, code: str, message: str) -> None:
        self.code = code
        super().__init__(message)


def read_error(document: Any) -> ReplyError | None:
    """The error object in a parsed body or stream event, or None when there is none."""
    if isinstance(document, list):
        return read_error(document[0]) if document and isinstance(document[0], dict) else None
    if not isinstance(document, dict):
        return None
    inner = document.get("error")
    if inner:
        return _from_object(inner) if isinstance(inner, dict) else _from_text(inner, document)
    if document.get("object") == "error":
        return _from_object(document)
    choices = document.get("choices")
    if choices and isinstance(choices, list):
        return _in_choices(choices)
    if "choices" in document or "data" in document:
        return None
    if document.get("detail"):
        return _from_text(_detail(document["detail"]), document)
    return _from_object(document) if document.get("message") else None


def _in_choices(choices: list[Any]) -> ReplyError | None:
    for choice in choices:
        if not isinstance(choice, dict):
            continue
        inner = choice.get("error")
        if inner:
            return _from_object(inner) if isinstance(inner, dict) else ReplyError(_text(inner))
        if choice.get("finish_reason") in _BROKEN_OFF:
            return ReplyError(
                f"the endpoint broke the answer off (finish_reason {choice['finish_reason']})", code="server_error", status=500
            )
    return None


def _from_object(error: Mapping[str, Any]) -> ReplyError:
    code = error.get("code")
    status = _status(code) or _status(error.get("status_code")) or _status(error.get("status"))
    kind = error.get("type") or (error.get("status") if isinstance(error.get("status"), str) else None)
    message = error.get("message") or error.get("detail") or error.get("msg")
    detail = error.get("innererror") or error.get("metadata")
    text = _text(message or error)
    if isinstance(detail, dict):
        text += _more(detail)
    return ReplyError(
        text[:LONGEST_MESSAGE],
        code=None if code is None else str(code),
        type=None if kind is None else str(kind),
        status=status,
    )


def _more(detail: Mapping[str, Any]) -> str:
    """Format what Azure (innererror) and OpenRouter (metadata) add to the message."""
    values = [detail.get(name) for name in ("code", "raw", "reasons", "provider_name")]
    texts = [_text(value) for value in values if value]
    return f" ({'; '.join(texts)})" if texts else ""


def _from_text(message: Any, document: Mapping[str, Any]) -> ReplyError:
    kind = document.get("error_type") or document.get("type")
    code = document.get("code")
    status = _status(code) or _status(document.get("status")) or _status(document.get("status_code"))
    return ReplyError(
        _text(message)[:LONGEST_MESSAGE],
        code=None if code is None else str(code),
        type=None if kind is None else str(kind),
        status=status,
    )


def _detail(detail: Any) -> Any:
    """FastAPI's validation errors as one line: `body.messages: field required`."""
    if not isinstance(detail, list):
        return detail
    lines = []
    for item in detail:
        if isinstance(item, dict) and "msg" in item:
            where = item.get("loc")
            place = ".".join(map(str, where)) if isinstance(where, list) else ""
            lines.append(f"{place}: {item['msg']}" if place else str(item["msg"]))
        else:
            lines.append(_text(item))
    return "; ".join(lines)


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, dict) and set(value) == {"detail"}:
        return _text(_detail(value["detail"]))
    return orjson.dumps(value).decode()


def _status(code: Any) -> int | None:
    """An HTTP status that stands where a code should."""
    if isinstance(code, str) and code.isascii() and code.isdecimal() and len(code) == len("404"):
        code = int(code)
    return code if isinstance(code, int) and not isinstance(code, bool) and 400 <= code <= 599 else None
