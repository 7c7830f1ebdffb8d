"""Replies of the OpenAI protocol, read: chats, completions, embeddings, and every envelope that errors come in.

Envelopes seen: {"error": {…}} (OpenAI), {"error": "text"} (Ollama, TGI), {"detail": "Not Found"} and {"detail": [{…}]} (FastAPI, Mistral),
a bare {"object": "error", …} (vLLM before 0.10, Mistral), [{"error": {…}}] (Gemini), {"message": …} (gateways), and an `error`
inside a choice (OpenRouter).
"""

from __future__ import annotations

import base64
import binascii
import struct
from collections.abc import Mapping
from typing import Any

import orjson

from batch.records import Api, Reply, ReplyError

LONGEST_MESSAGE = 2000

_BROKEN_OFF = ("error", "abort")
"""What OpenRouter and vLLM give as finish_reason of an answer that the server itself broke off."""


class ReplyFormatError(ValueError):
    """A body that is not of the protocol; `code` is one of errors.py's protocol codes."""

    def __init__(self, code: str, message: str) -> None:
        self.code = code
        super().__init__(message)


def read_reply(api: Api, body: bytes) -> Reply:
    """Reads a reply body; an error object gives a Reply with `error`, whatever the status was.

    With several choices the first one's answer is given, and all must have ended.
    Raises ReplyFormatError, a ValueError, for what is not JSON (not_json), holds no answer (no_choices), or is an answer without
    a terminal finish_reason (truncated_body).
    """
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise ReplyFormatError("not_json", "the reply is empty" if not body.strip() else "the reply is not JSON") from None
    error = read_error(document)
    if error is not None:
        return Reply(error=error)
    if not isinstance(document, dict):
        raise ReplyFormatError("no_choices", "the reply is JSON, but not an object")
    return _read_embedding(document) if api == "embeddings" else _read_choices(document)


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


def content_text(content: Any) -> tuple[str | None, str | None]:
    """(text, reasoning) of a message's content: a string, or a list of parts (Mistral: text and thinking)."""
    if content is None or isinstance(content, str):
        return content, None
    if not isinstance(content, list):
        raise ReplyFormatError("no_choices", "the reply's content is neither text nor a list of parts")
    text: list[str] = []
    thinking: list[str] = []
    for part in content:
        if isinstance(part, str):
            text.append(part)
        elif isinstance(part, dict) and part.get("type") == "thinking":
            thought = part.get("thinking")
            thinking.append((content_text(thought)[0] or "") if isinstance(thought, list) else str(thought or ""))
        elif isinstance(part, dict) and isinstance(part.get("text"), str):
            text.append(part["text"])
    return "".join(text), "".join(thinking) or None


def _read_choices(document: dict[str, Any]) -> Reply:
    choices = document.get("choices")
    if not isinstance(choices, list) or not choices or not all(isinstance(choice, dict) for choice in choices):
        raise ReplyFormatError("no_choices", "the reply holds no choices")
    for choice in choices:
        reason = choice.get("finish_reason")
        if not reason or not isinstance(reason, str):
            raise ReplyFormatError("truncated_body", "the answer has no finish_reason: it was cut short")
    first = choices[0]
    usage = document.get("usage")
    model = document.get("model")
    message = first.get("message")
    refusal = None
    if isinstance(message, dict):
        refusal = message.get("refusal")
        text, thinking = content_text(message.get("content"))
        reasoning = message.get("reasoning_content") or message.get("reasoning") or thinking
        tool_calls = message.get("tool_calls") or None
        if tool_calls is not None and not isinstance(tool_calls, list):
            raise ReplyFormatError("no_choices", "the reply's tool_calls are not a list")
    elif isinstance(first.get("text"), str):
        text, reasoning, tool_calls = first["text"], first.get("reasoning"), None
    else:
        raise ReplyFormatError("no_choices", "the reply's choice holds neither a message nor a text")
    return Reply(
        text=text,
        tool_calls=tool_calls,
        reasoning=reasoning if isinstance(reasoning, str) else None,
        finish_reason=first["finish_reason"],
        usage=usage if isinstance(usage, dict) else None,
        model=model if isinstance(model, str) else None,
        refusal=refusal if isinstance(refusal, str) else None,
    )


def _read_embedding(document: dict[str, Any]) -> Reply:
    data = document.get("data")
    item = data[0] if isinstance(data, list) and data else None
    vector = item.get("embedding") if isinstance(item, dict) else None
    if isinstance(vector, str):
        vector = _unpack(vector)
    if not isinstance(vector, list) or not vector:
        raise ReplyFormatError("no_choices", "the reply holds no embedding")
    usage = document.get("usage")
    model = document.get("model")
    return Reply(
        embedding=vector,
        usage=usage if isinstance(usage, dict) else None,
        model=model if isinstance(model, str) else None,
    )


def _unpack(text: str) -> list[float]:
    """The numbers of `encoding_format: base64`: little-endian 32-bit floats."""
    try:
        data = base64.b64decode(text, validate=True)
        return list(struct.unpack(f"<{len(data) // 4}f", data))
    except (binascii.Error, struct.error):
        raise ReplyFormatError("no_choices", "the reply's embedding is not base64 of 32-bit floats") from None


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
    """What Azure (innererror) and OpenRouter (metadata) know beyond the message."""
    known = [detail.get(name) for name in ("code", "raw", "reasons", "provider_name")]
    said = [_text(value) for value in known if value]
    return f" ({'; '.join(said)})" if said else ""


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
