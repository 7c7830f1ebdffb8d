"""Reads replies of the OpenAI protocol: chats and completions here, embeddings, responses and moderations in other_replies.py.

The envelopes of errors are in envelopes.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import orjson

from batch.providers.envelopes import ReplyFormatError, read_error
from batch.providers.other_replies import read_embedding, read_moderation, read_response
from batch.records import Api, Reply

__all__ = ["ReplyFormatError", "api_of", "content_text", "read_error", "read_reply"]


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
    return _READERS.get(api, _read_choices)(document)


def api_of(body: Mapping[str, Any]) -> Api:
    """Infer which API a parsed reply is of from the reply alone."""
    if body.get("object") == "response":
        return "responses"
    if body.get("object") == "text_completion":
        return "completions"
    if isinstance(body.get("data"), list):
        return "embeddings"
    return "moderations" if isinstance(body.get("results"), list) else "chat/completions"


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


_READERS: Mapping[Api, Callable[[dict[str, Any]], Reply]] = {
    "embeddings": read_embedding,
    "responses": read_response,
    "moderations": read_moderation,
}
