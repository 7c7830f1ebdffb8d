"""An outcome for people to read: its answer as text, its error in words, its figures."""

from __future__ import annotations

import orjson

from batch.providers.replies import ReplyFormatError, read_reply
from batch.records import Api, Outcome

CHAT: Api = "chat/completions"


def answer_text(outcome: Outcome) -> str:
    """Return what a model said: its text, else its refusal, its tool calls, or its vector in words; "" for nothing."""
    if outcome.response is None:
        return ""
    try:
        reply = read_reply(outcome.api or CHAT, outcome.response)
    except (ReplyFormatError, ValueError):
        return outcome.response.decode(errors="replace")
    if reply.text or reply.refusal:
        return reply.text or reply.refusal or ""
    if reply.tool_calls:
        return orjson.dumps(reply.tool_calls).decode()
    return f"a vector of {len(reply.embedding):,} numbers" if reply.embedding is not None else ""


def failure_text(outcome: Outcome) -> str:
    """Return why a task failed: its code, HTTP status and message; "" for a completion."""
    error = outcome.error
    if error is None:
        return ""
    status = f" ({error.http_status})" if error.http_status is not None else ""
    return f"{error.code}{status}: {error.message}"


def seconds(outcome: Outcome) -> float | None:
    """Return how long the last attempt took; None if nothing was sent."""
    return None if outcome.sent is None or outcome.done is None else max(0.0, outcome.done - outcome.sent)


def first_token_seconds(outcome: Outcome) -> float | None:
    """Return the time to the first token; None without a stream."""
    return None if outcome.sent is None or outcome.first_token is None else max(0.0, outcome.first_token - outcome.sent)
