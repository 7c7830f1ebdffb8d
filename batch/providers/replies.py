"""Reads replies of the OpenAI protocol: chats and completions here, embeddings, responses and moderations in other_replies.py.

The envelopes of errors are in envelopes.py, the dialects of finish_reason in endings.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, cast

import orjson

from batch.providers.endings import finish_reason_of
from batch.providers.envelopes import ReplyFormatError, dump, first_of, read_error
from batch.providers.messages_replies import read_message
from batch.providers.other_replies import read_embedding, read_moderation, read_response
from batch.providers.score_replies import read_scores
from batch.providers.usage import read_usage
from batch.records import Api, Reply, ReplyError

__all__ = ["ReplyFormatError", "answer_within", "api_of", "content_text", "read_error", "read_reply"]

# Endings with which a choice is whole although it holds no message: Gemini's filters and exhausted thinking send none.
_NEEDS_NO_MESSAGE = frozenset({"content_filter", "length"})


def read_reply(api: Api, body: bytes) -> Reply:
    """Read a reply body; an error object gives a Reply with `error`, whatever the status was.

    With several choices the first one's answer is given, and all must have ended. An answer without a finish_reason is read, with
    finish_reason None: the body is whole, and the official SDKs read it too.
    Raises ReplyFormatError, a ValueError, for what is not JSON (not_json), holds no answer (no_choices), or has neither text nor calls
    nor a finish_reason (truncated_body).
    """
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise ReplyFormatError("not_json", "the reply is empty" if not body.strip() else "the reply is not JSON") from None
    error = read_error(document)
    if error is not None:
        return Reply(error=error, text=error.answer)
    if not isinstance(document, dict):
        raise ReplyFormatError("no_choices", "the reply is JSON, but not an object")
    reply = _READERS.get(api, _read_choices)(document)
    tier = document.get("service_tier")
    return replace(reply, tier=tier) if tier and isinstance(tier, str) else reply


def answer_within(reply: Reply, body: bytes) -> tuple[int, int] | None:
    """Return (first byte, length) of the answer's text within `body`, as JSON text, where the answer is this text alone.

    None where it has calls, reasoning or vectors beside it, where there are several answers, or where `body` spells the text otherwise.
    """
    if reply.text is None or reply.tool_calls is not None or reply.reasoning is not None or reply.answers != 1:
        return None
    if reply.embedding is not None or reply.scores is not None or reply.error is not None:
        return None
    try:
        text = orjson.dumps(reply.text)
    except TypeError:  # a lone surrogate
        return None
    # Whichever of equal texts is found first: they are the same bytes.
    place = body.find(text)
    return None if place < 0 else (place, len(text))


def api_of(body: Mapping[str, Any]) -> Api:
    """Infer which API a parsed reply is of from the reply alone."""
    if body.get("type") == "message":
        return "messages"
    if body.get("object") == "response":
        return "responses"
    if body.get("object") == "text_completion":
        return "completions"
    for name, scoring, other in (("data", "score", "embeddings"), ("results", "rerank", "moderations")):
        if isinstance(found := body.get(name), list):
            first = found[0] if found and isinstance(found[0], dict) else {}
            return cast("Api", scoring if {"score", "relevance_score"} & first.keys() else other)
    return "chat/completions"


def content_text(content: Any) -> tuple[str | None, str | None]:
    """Return (text, reasoning) of a message's content: a string, or a list of parts (Mistral: text and thinking).

    Content that a gateway has parsed already, an object or a number, is given as JSON text.
    """
    if content is None or isinstance(content, str):
        return content, None
    if isinstance(content, dict) and content.keys() & {"type", "text"}:
        content = [content]
    if not isinstance(content, list):
        return dump(content).decode(), None
    text: list[str] = []
    thinking: list[str] = []
    for part in content:
        if isinstance(part, str):
            text.append(part)
        elif isinstance(part, dict) and part.get("type") == "thinking":
            thinking.append(_thought(part.get("thinking")))
        elif isinstance(part, dict) and isinstance(part.get("text"), str):
            text.append(part["text"])
    return "".join(text), "".join(thinking) or None


def _thought(thought: Any) -> str:
    if isinstance(thought, list):
        return "".join(part["text"] for part in thought if isinstance(part, dict) and isinstance(part.get("text"), str))
    return thought if isinstance(thought, str) else ""


def _read_choices(document: dict[str, Any]) -> Reply:
    choices = document.get("choices")
    if isinstance(choices, list) and None in choices:
        choices = [choice for choice in choices if choice is not None]
    if not choices and (blocked := _blocked_prompt(document)) is not None:
        return blocked
    if not isinstance(choices, list) or set(map(type, choices)) != {dict}:
        raise ReplyFormatError("no_choices", "the reply holds no choices")
    if not all(_reason(choice) or _has_answer(choice) for choice in choices):
        raise ReplyFormatError("truncated_body", "the answer has no finish_reason and no text: it was cut short")
    first = first_of(choices)
    model = document.get("model")
    reason = _reason(first)
    message = first.get("message")
    if message is None and "text" not in first and reason in _NEEDS_NO_MESSAGE:
        message = {}
    # Moonshot has the usage of a stream in its last choice (https://platform.moonshot.cn/docs/api/chat).
    usage = read_usage(document.get("usage") or first.get("usage"))
    model = model if isinstance(model, str) else None
    if isinstance(message, dict):
        return _read_message(message, reason, usage, model, len(choices))
    if not isinstance(first.get("text"), str):
        raise ReplyFormatError("no_choices", "the reply's choice holds neither a message nor a text")
    reasoning = first.get("reasoning")
    return Reply(
        text=first["text"],
        reasoning=reasoning if isinstance(reasoning, str) else None,
        finish_reason=reason,
        usage=usage,
        model=model,
        answers=len(choices),
    )


def _reason(choice: Mapping[str, Any]) -> str | None:
    reason = choice.get("finish_reason")
    return finish_reason_of(reason) if reason and isinstance(reason, str) else None


def _has_answer(choice: Mapping[str, Any]) -> bool:
    """Whether a choice holds something that can only be the model's: a text, or calls of tools."""
    message = choice.get("message")
    if not isinstance(message, dict):
        return bool(choice.get("text"))
    return any(message.get(name) for name in ("content", "tool_calls", "function_call", "refusal", "audio"))


def _read_message(message: dict[str, Any], reason: str | None, usage: dict[str, Any] | None, model: str | None, answers: int) -> Reply:
    content = message.get("content")
    text, thinking = (content, None) if type(content) is str else content_text(content)
    # DeepSeek, vLLM and llama.cpp call it reasoning_content, OpenRouter and Groq reasoning; Mistral sends parts.
    reasoning = message.get("reasoning_content") or message.get("reasoning") or thinking
    refusal = message.get("refusal")
    audio = message.get("audio")
    # A spoken answer of OpenAI's audio models has its words here, and content null.
    if not text and isinstance(audio, dict) and isinstance(audio.get("transcript"), str):
        text = audio["transcript"]
    return Reply(
        text=text,
        tool_calls=_tool_calls(message) if message.get("tool_calls") or message.get("function_call") else None,
        reasoning=reasoning if isinstance(reasoning, str) else None,
        finish_reason=reason,
        usage=usage,
        model=model,
        refusal=refusal if isinstance(refusal, str) else None,
        answers=answers,
    )


def _tool_calls(message: dict[str, Any]) -> list[dict[str, Any]] | None:
    """The message's calls, arguments as JSON text; its function_call, the older form, is a call without an id."""
    calls = message.get("tool_calls") or []
    if isinstance(calls, dict):
        calls = [calls]
    older = message.get("function_call")
    if not isinstance(calls, list):
        raise ReplyFormatError("no_choices", "the reply's tool_calls are not a list")
    found = [_with_text_arguments(call) for call in calls if isinstance(call, dict)]
    if not found and isinstance(older, dict) and older:
        found = [_with_text_arguments({"id": None, "type": "function", "function": older})]
    return found or None


def _with_text_arguments(call: dict[str, Any]) -> dict[str, Any]:
    function = call.get("function")
    # Some gateways give the arguments as an object, where the protocol has JSON text.
    if isinstance(function, dict) and isinstance(function.get("arguments"), dict | list):
        return {**call, "function": {**function, "arguments": dump(function["arguments"]).decode()}}
    return call


def _blocked_prompt(document: Mapping[str, Any]) -> Reply | None:
    """Azure's reply to a prompt that its filter stopped: no choices, and a filter result that says so."""
    results = document.get("prompt_filter_results")
    for result in results if isinstance(results, list) else ():
        filters = result.get("content_filter_results") if isinstance(result, dict) else None
        names = [name for name, found in (filters or {}).items() if isinstance(found, dict) and found.get("filtered") is True]
        if names:
            message = f"the content filter stopped the prompt ({', '.join(map(str, names))})"
            return Reply(error=ReplyError(message, code="content_filter", status=400), usage=read_usage(document.get("usage")))
    return None


_READERS: Mapping[Api, Callable[[dict[str, Any]], Reply]] = {
    "embeddings": read_embedding,
    "messages": read_message,
    "responses": read_response,
    "moderations": read_moderation,
    "rerank": read_scores,
    "score": read_scores,
}
