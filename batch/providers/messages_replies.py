"""Reads the replies of Anthropic's Messages API in the terms of a chat.

Source: its API reference: content blocks, stop_reason, and a usage whose input_tokens hold neither what was read from the cache nor what
was written to it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from batch.providers.endings import finish_reason_of
from batch.providers.envelopes import ReplyFormatError, dump
from batch.providers.usage import read_usage
from batch.records import Reply


def read_message(document: dict[str, Any]) -> Reply:
    """Read a message: its texts joined, tool_use blocks in the form of a chat's tool_calls, thinking as reasoning.

    Raises ReplyFormatError: no_choices for what has no content, truncated_body for a message without a stop_reason.
    """
    blocks = document.get("content")
    if not isinstance(blocks, list) or not all(isinstance(block, dict) for block in blocks):
        raise ReplyFormatError("no_choices", "the reply holds no content")
    reason = document.get("stop_reason")
    if not isinstance(reason, str):
        raise ReplyFormatError("truncated_body", "the message has no stop_reason: it was cut short")
    texts = [block["text"] for block in blocks if block.get("type") == "text" and isinstance(block.get("text"), str)]
    thoughts = [block["thinking"] for block in blocks if block.get("type") == "thinking" and isinstance(block.get("thinking"), str)]
    calls = [_tool_call(block) for block in blocks if block.get("type") == "tool_use"]
    model = document.get("model")
    return Reply(
        text="".join(texts) if texts else None,
        tool_calls=calls or None,
        reasoning="\n".join(thoughts) or None,
        finish_reason=finish_reason_of(reason),
        usage=chat_usage(document.get("usage")),
        model=model if isinstance(model, str) else None,
    )


def chat_usage(usage: Any) -> dict[str, Any] | None:
    """Return a usage with the counts of a chat beside its own: all prompt tokens, and those read from and written to a cache."""
    read = read_usage(usage)
    if read is None or not isinstance(read.get("input_tokens"), int):
        return read
    cached, written = (_count(read, name) for name in ("cache_read_input_tokens", "cache_creation_input_tokens"))
    read["prompt_tokens"] = read["input_tokens"] + cached + written
    if cached or written:
        read["prompt_tokens_details"] = {"cached_tokens": cached, "cache_write_tokens": written}
    return read


def _count(usage: Mapping[str, Any], name: str) -> int:
    value = usage.get(name)
    return value if isinstance(value, int) else 0


def _tool_call(block: Mapping[str, Any]) -> dict[str, Any]:
    function = {"name": block.get("name"), "arguments": dump(block.get("input") or {}).decode()}
    return {"id": block.get("id"), "type": "function", "function": function}
