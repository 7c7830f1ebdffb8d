"""Streamed replies as bytes: their head, their events, and whole ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson


def stream_head(headers: Mapping[str, str] | None = None) -> bytes:
    """The head of a streamed reply that ends with its connection's chunked body: follow it with `event` and `stream_end`."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in (headers or {}).items())
    return f"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n{lines}\r\n".encode()


def piece(data: bytes) -> bytes:
    """One piece of a chunked body."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def event(data: Mapping[str, Any] | list[Any] | str) -> bytes:
    """One server-sent event as a piece of a chunked body."""
    text = data if isinstance(data, str) else orjson.dumps(data).decode()
    return piece(f"data: {text}\n\n".encode())


STREAM_END = b"0\r\n\r\n"


def delta(finish_reason: str | None = None, *, index: int = 0, **message: Any) -> dict[str, Any]:
    """One chat.completion.chunk with this delta."""
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1700000000,
        "model": "test-model",
        "choices": [{"index": index, "delta": message, "finish_reason": finish_reason}],
    }


def usage_chunk(prompt_tokens: int = 7, completion_tokens: int = 3) -> dict[str, Any]:
    """The last chunk of a stream with `include_usage`: no choices, only the counts."""
    usage = {"prompt_tokens": prompt_tokens, "completion_tokens": completion_tokens, "total_tokens": prompt_tokens + completion_tokens}
    return delta() | {"choices": [], "usage": usage}


def sse(*chunks: Mapping[str, Any] | str, done: bool = True, headers: Mapping[str, str] | None = None) -> bytes:
    """A whole streamed reply of these chunks, with `[DONE]` at its end unless told otherwise."""
    events = [event(dict(chunk) if isinstance(chunk, Mapping) else chunk) for chunk in chunks]
    return b"".join([stream_head(headers), *events, event("[DONE]") if done else b"", STREAM_END])


def sse_text(text: str, *, finish_reason: str = "stop") -> bytes:
    """A whole streamed answer: a role chunk, one chunk per word, the finish, the usage."""
    words = [delta(content=word) for word in text.split(" ")[:1]] + [delta(content=" " + word) for word in text.split(" ")[1:]]
    return sse(delta(role="assistant", content=""), *words, delta(finish_reason), usage_chunk())
