"""Reads the replies of the APIs that are no chats: embeddings, responses, moderations.

Source: the OpenAI API reference, and its Python SDK's types (types/responses/response.py, types/moderation.py).
"""

from __future__ import annotations

import base64
import math
import struct
from collections.abc import Iterable, Mapping
from typing import Any

from batch.providers.envelopes import ReplyFormatError, dump, first_of
from batch.providers.usage import read_usage
from batch.records import Reply, ReplyError

_SHORTER = {"output_text": "text"}
"""Names of parts as compatible servers shorten them."""

_INCOMPLETE = {"max_output_tokens": "length", "content_filter": "content_filter"}
"""The finish_reason of a chat for each reason in a response's incomplete_details."""


def read_response(document: dict[str, Any]) -> Reply:
    """A response: its texts joined, function calls in the form of a chat's tool_calls, finish_reason in a chat's words.

    `usage` has the counts under a chat's names too. A response that failed gives a Reply with `error`.
    Raises ReplyFormatError: truncated_body for a response that has not ended, or was broken off for another reason.
    """
    status = document.get("status")
    if status in ("failed", "cancelled"):
        return Reply(error=ReplyError(f"the response {'has failed' if status == 'failed' else 'was cancelled'}", code="server_error"))
    items = document.get("output")
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise ReplyFormatError("no_choices", "the reply holds no output")
    calls = [_tool_call(item) for item in items if item.get("type") == "function_call"]
    texts = [*_texts(items, "message", "content", "output_text")]
    refusals = [*_texts(items, "message", "content", "refusal")]
    thoughts = [*_texts(items, "reasoning", "content", "reasoning_text")] or [*_texts(items, "reasoning", "summary", "summary_text")]
    usage = document.get("usage")
    model = document.get("model")
    return Reply(
        text="".join(texts) if texts else None,
        tool_calls=calls or None,
        reasoning="\n".join(thoughts) or None,
        finish_reason=_finish_reason(document, called=bool(calls)),
        refusal="".join(refusals) or None,
        usage=read_usage(_chat_usage(usage)) if isinstance(usage, dict) else None,
        model=model if isinstance(model, str) else None,
    )


def _finish_reason(document: Mapping[str, Any], *, called: bool) -> str:
    status = document.get("status")
    if status == "completed":
        return "tool_calls" if called else "stop"
    details = document.get("incomplete_details")
    reason = details.get("reason") if isinstance(details, Mapping) else None
    if status == "incomplete" and isinstance(reason, str) and reason in _INCOMPLETE:
        return _INCOMPLETE[reason]
    raise ReplyFormatError("truncated_body", f"the response has not ended: its status is {status}{f' ({reason})' if reason else ''}")


def _texts(items: Iterable[Mapping[str, Any]], kind: str, member: str, part_kind: str) -> Iterable[str]:
    for item in items:
        parts = item.get(member)
        if item.get("type", kind) == kind and isinstance(parts, list):
            for part in parts:
                text = part.get("refusal" if part_kind == "refusal" else "text") if isinstance(part, dict) else None
                if isinstance(text, str) and part.get("type") in (part_kind, _SHORTER.get(part_kind)):
                    yield text


def _tool_call(item: Mapping[str, Any]) -> dict[str, Any]:
    function = {"name": item.get("name"), "arguments": item.get("arguments")}
    return {"id": item.get("call_id"), "type": "function", "function": function}


def _chat_usage(usage: dict[str, Any]) -> dict[str, Any]:
    counts = {"prompt_tokens": usage.get("input_tokens"), "completion_tokens": usage.get("output_tokens")}
    return {**{name: count for name, count in counts.items() if count is not None}, **usage}


def read_moderation(document: dict[str, Any]) -> Reply:
    """A moderation: its result as JSON text, the list of them where there are several. Raises ReplyFormatError."""
    results = document.get("results")
    if not isinstance(results, list) or not results or not all(isinstance(each, dict) and "flagged" in each for each in results):
        raise ReplyFormatError("no_choices", "the reply holds no moderation results")
    usage = document.get("usage")
    model = document.get("model")
    return Reply(
        text=dump(results[0] if len(results) == 1 else results).decode(),
        usage=read_usage(usage),
        model=model if isinstance(model, str) else None,
    )


def read_embedding(document: dict[str, Any]) -> Reply:
    """Read the first vector of an embeddings reply. Raises ReplyFormatError, also for vectors of anything but finite numbers."""
    data = document.get("data")
    item = first_of(data) if isinstance(data, list) and data else None
    vector = item.get("embedding") if isinstance(item, dict) else None
    if isinstance(vector, str):
        vector = _unpack(vector)
    if not isinstance(data, list) or not isinstance(vector, list) or not vector:
        raise ReplyFormatError("no_choices", "the reply holds no embedding")
    # By type and not by isinstance, for which True is an int.
    if not set(map(type, vector)) <= {int, float} or not all(map(math.isfinite, vector)):
        raise ReplyFormatError("no_choices", "the reply's embedding holds something else than finite numbers")
    usage = document.get("usage")
    model = document.get("model")
    return Reply(
        embedding=vector,
        answers=len(data),
        usage=read_usage(usage),
        model=model if isinstance(model, str) else None,
    )


def _unpack(text: str) -> list[float]:
    """The numbers of `encoding_format: base64`: little-endian 32-bit floats."""
    try:
        data = base64.b64decode(text, validate=True)
        # A length that is no multiple of four is refused by struct.
        return list(struct.unpack(f"<{len(data) // 4}f", data))
    except (ValueError, struct.error):
        raise ReplyFormatError("no_choices", "the reply's embedding is not base64 of 32-bit floats") from None
