"""The texts of a sample as the page shows them: shortened, and with images named instead of shown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from batch.records import Reply, Request
from batch.writers.values import json_bytes

LONGEST = 20_000
SHORTEST = 500
TEXT_BUDGET = 100_000_000
"""How many characters of answers fit into a page of about 40 MB: text packs to about a third, and base64 makes four bytes of three."""

PREVIEW = 140

SentMessage = tuple[str, str]
"""Role and text. The role is empty for a prompt that is no chat."""


def longest_text(stored_bytes: int, tasks: int) -> int:
    """How many characters of a text are kept: all that anyone reads, fewer where all together would make a page too large to open."""
    if stored_bytes <= TEXT_BUDGET:
        return LONGEST
    return max(SHORTEST, min(LONGEST, TEXT_BUDGET // max(1, tasks)))


def cut(text: str, longest: int) -> str:
    """`text`, or its beginning with a note on how much is left out."""
    return text if len(text) <= longest else f"{text[:longest]}\n… ({len(text) - longest:,} more characters)"


def sent_prompt(request: Request, longest: int) -> list[SentMessage]:
    """The prompt of a request as it is sent: messages, a text, and tools."""
    body = orjson.loads(request.body)
    # Requests of batch files are sent as they are, whatever their messages look like.
    messages = body["messages"] if isinstance(body.get("messages"), list) else []
    said = [(str(message.get("role", "")), _message(message)) for message in messages if isinstance(message, Mapping)]
    said += [("", _content(body[name])) for name in ("prompt", "input") if name in body]
    if "tools" in body:
        said.append(("tools", pretty(body["tools"])))
    return [(role, cut(text, longest)) for role, text in said]


def _message(message: Mapping[str, Any]) -> str:
    calls = message.get("tool_calls")
    parts = [_content(message.get("content")), pretty(calls) if calls else ""]
    return "\n".join(part for part in parts if part)


def _content(content: Any) -> str:
    if content is None or isinstance(content, str):
        return content or ""
    if isinstance(content, list) and all(isinstance(part, dict) for part in content):
        return "\n".join(map(_part, content))
    return pretty(content)


def _part(part: Mapping[str, Any]) -> str:
    if isinstance(part.get("text"), str):
        return str(part["text"])
    image = part.get("image_url")
    url = image.get("url") if isinstance(image, Mapping) else image
    if isinstance(url, str):
        kind, comma, data = url.partition(",")
        return (
            f"[image: {kind.removeprefix('data:')}, {len(data):,} characters]" if url.startswith("data:") and comma else f"[image: {url}]"
        )
    return pretty(part)


def answer_text(reply: Reply) -> str | None:
    """What was answered; an embedding is told by its length."""
    return f"[embedding of {len(reply.embedding):,} numbers]" if reply.embedding is not None else reply.text


def pretty(value: Any) -> str:
    """JSON for people."""
    return orjson.dumps(orjson.loads(json_bytes(value)), option=orjson.OPT_INDENT_2).decode()


def preview(prompt: list[SentMessage]) -> str:
    """The beginning of what the row asks: its last message of a user."""
    asked = [text for role, text in prompt if role in {"user", ""}] or [text for _, text in prompt]
    return " ".join(asked[-1].split())[:PREVIEW] if asked else ""
