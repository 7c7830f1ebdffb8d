"""Replies of all APIs, and mutations of them: bytes, members, events and headers that no specification allows.

Everything is drawn from a `random.Random`, so that a seed shows the same reply again.
"""

from __future__ import annotations

import copy
import gzip
import json
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from batch.records import Api
from tests.support.streams import delta, usage_chunk

USAGE = {
    "prompt_tokens": 7,
    "completion_tokens": 3,
    "total_tokens": 10,
    "cost": 0.001,
    "prompt_tokens_details": {"cached_tokens": 2},
    "completion_tokens_details": {"reasoning_tokens": 1, "audio_tokens": 0},
}


def call(index: int | None, arguments: str, **more: Any) -> dict[str, Any]:
    """One tool-call delta; a call of a plain reply where `index` is None."""
    name = {"name": more.pop("name")} if "name" in more else {}
    return {**({} if index is None else {"index": index}), "type": "function", "function": {**name, "arguments": arguments}, **more}


def chat(message: Mapping[str, Any], reason: str = "stop", **choice: Any) -> dict[str, Any]:
    """A plain chat completion."""
    choices = [
        {"index": 0, "message": {"role": "assistant", "content": "Paris — né 😀"} | dict(message), "finish_reason": reason, **choice}
    ]
    return {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": choices, "usage": USAGE}


LOGPROBS = {"content": [{"token": "P", "bytes": [80], "logprob": -0.5, "top_logprobs": [{"token": "P", "logprob": -0.5}]}]}

PLAIN: tuple[tuple[Api, Any], ...] = (
    ("chat/completions", chat({}, logprobs=LOGPROBS)),
    ("chat/completions", chat({"content": None, "tool_calls": [call(None, '{"a":1}', id="x", name="f")]}, "tool_calls")),
    ("chat/completions", chat({"reasoning_content": "hm", "refusal": None, "annotations": [{"type": "url_citation"}]}, "length")),
    ("chat/completions", chat({"content": [{"type": "text", "text": "hi"}, {"type": "thinking", "thinking": [{"text": "hm"}]}]})),
    (
        "chat/completions",
        chat({"audio": {"id": "a", "data": "QUJD", "transcript": "hi"}, "function_call": {"name": "f", "arguments": "{}"}}),
    ),
    (
        "completions",
        {"id": "c", "object": "text_completion", "choices": [{"index": 0, "text": "hi", "finish_reason": "stop"}], "usage": USAGE},
    ),
    ("embeddings", {"object": "list", "model": "e", "data": [{"index": 0, "embedding": [0.5, -0.25]}], "usage": {"prompt_tokens": 2}}),
    (
        "responses",
        {
            "id": "r",
            "object": "response",
            "status": "completed",
            "model": "m",
            "output": [
                {"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}]},
                {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Paris", "annotations": []}]},
                {"type": "function_call", "call_id": "x", "name": "f", "arguments": "{}"},
            ],
            "usage": {"input_tokens": 5, "output_tokens": 6, "total_tokens": 11, "output_tokens_details": {"reasoning_tokens": 4}},
        },
    ),
    ("moderations", {"id": "m", "model": "o", "results": [{"flagged": True, "categories": {"hate": True}}]}),
)
ERRORS: tuple[Any, ...] = (
    {"error": {"message": "busy", "type": "rate_limit_error", "code": "rate_limit_exceeded", "param": None}},
    {"error": {"message": "x", "code": 502, "metadata": {"raw": "y", "provider_name": "z"}}},
    {"object": "error", "message": "too long", "code": 400},
    [{"error": {"code": 429, "message": "quota", "status": "RESOURCE_EXHAUSTED", "details": [{"retryDelay": "1s"}]}}],
    {"detail": [{"loc": ["body", "messages"], "msg": "field required", "type": "missing"}]},
    {"detail": "Not Found"},
    {"message": "no", "statusCode": 429},
    {"error": "text", "error_type": "validation"},
    {"error": {"code": "json_validate_failed", "message": "no", "failed_generation": "{"}},
    {"base_resp": {"status_code": 1008, "status_msg": "insufficient balance"}},
    {"choices": [{"error": {"code": 502, "message": "gone"}, "finish_reason": "error"}]},
)
STREAMS: tuple[tuple[Any, ...], ...] = (
    (delta(role="assistant", content=""), delta(content="Pa"), delta(content="ris"), delta("stop"), usage_chunk(), "[DONE]"),
    (
        delta(role="assistant", content=None, tool_calls=[call(0, "", id="a", name="f")]),
        delta(tool_calls=[call(0, '{"a"')]),
        delta(tool_calls=[call(0, ":1}"), call(1, "{}", id="b", name="g")]),
        delta("tool_calls"),
        usage_chunk(),
        "[DONE]",
    ),
    (
        {**delta(reasoning="h", annotations=[{"a": 1}]), "provider": "p", "citations": ["u"]},
        delta(reasoning_details=[{"type": "text", "text": "m"}], content="x"),
        delta(audio={"id": "a", "data": "QUJD", "transcript": "x"}, function_call={"name": "f", "arguments": "{"}),
        {**delta("length"), "usage": USAGE},
        "[DONE]",
    ),
    ({"error": {"message": "x", "code": 429}}, "[DONE]"),
    (delta(content="x"), {"error": {"message": "gone", "code": "server_error"}, "choices": [{"index": 0, "finish_reason": "error"}]}),
)

ODD_VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 7, 3.5, -0.0, 1e308, 10**19, 10**30, float("nan"), float("-inf")),
    *(
        "",
        "x",
        "7",
        "stop",
        "null",
        "\ud800",
        "\0",
        "é" * 300,
        "{}",
        '{"a":1}',
        "data: x\n\n",
        "MAX_TOKENS",
        "content_filter: SAFETY",
        "error",
    ),
    *(
        [],
        {},
        [None],
        [[]],
        [{}],
        ["x", 1],
        {"x": 1},
        {"": None},
        {"content": "x"},
        {"code": 0, "message": ""},
        {"error": {"message": "x"}},
    ),
)
CONTENT_TYPES = ("application/json", "text/event-stream", "application/x-ndjson", "text/html; charset=x", "text/plain; charset=utf-16", "")
ENCODINGS = ("identity", "none", "utf-8", "gzip", "gzip", "deflate", "br", "gzip, br", "")
STATUSES = (*[200] * 30, 201, 202, 206, 301, 400, 401, 403, 404, 408, 413, 422, 429, 498, 500, 502, 503, 524, 529, 599)


@dataclass(frozen=True, slots=True)
class MutatedReply:
    """One reply as bytes, cut into `pieces`; `broken` ends it with a lost connection."""

    api: Api
    status: int
    headers: Mapping[str, str] = field(repr=False)
    pieces: tuple[bytes, ...]
    broken: bool


def mutated_reply(chance: random.Random) -> MutatedReply:
    """Draw a reply and mutate it."""
    kind = chance.random()
    api: Api = "chat/completions"
    if kind < 0.45:
        body = _stream(chance)
        content_type = "text/event-stream"
    else:
        api, document = chance.choice(PLAIN)
        document = chance.choice(ERRORS) if kind > 0.8 else document
        body = _dumped(_mutated(copy.deepcopy(document), chance), chance)
        content_type = "application/json"
    if chance.random() < 0.3:
        body = _mutated_bytes(body, chance)
    headers = _headers(chance, content_type)
    if headers.get("content-encoding", "").startswith("gzip") and chance.random() < 0.7:
        at = chance.randrange(len(body) + 1)
        body = gzip.compress(body[:at]) + gzip.compress(body[at:])
    return MutatedReply(api, chance.choice(STATUSES), headers, tuple(_pieces(body, chance)), chance.random() < 0.05)


def _stream(chance: random.Random) -> bytes:
    events = [copy.deepcopy(event) for event in chance.choice(STREAMS)]
    for _ in range(chance.choice((0, 1, 1, 2))):
        at = chance.randrange(len(events))
        action = chance.random()
        if action < 0.6:
            events[at] = _mutated(events[at], chance)
        elif action < 0.75:
            del events[at]
        elif action < 0.9:
            events.insert(at, events[chance.randrange(len(events))])
        else:
            chance.shuffle(events)
        if not events:
            break
    field_name = chance.choice(("data: ", "data: ", "data: ", "data:", "", "event: error\ndata: "))
    end = chance.choice(("\n\n", "\n\n", "\r\n\r\n", "\n", "\r\r"))
    texts = [event.encode("utf-8", "surrogatepass") if isinstance(event, str) else _dumped(event, chance) for event in events]
    return b"".join(field_name.encode() + text + end.encode() for text in texts)


def _mutated(document: Any, chance: random.Random) -> Any:
    for _ in range(chance.choice((0, 1, 1, 1, 2, 3))):
        places = [*_places(document)]
        if not places:
            return copy.deepcopy(chance.choice(ODD_VALUES))
        container, key = chance.choice(places)
        action = chance.random()
        if action < 0.6:
            container[key] = copy.deepcopy(chance.choice(ODD_VALUES))
        elif action < 0.75:
            del container[key]
        elif action < 0.85:
            container[key] = [container[key]] * chance.choice((1, 2))
        elif action < 0.95 and isinstance(container, dict):
            container[chance.choice(("error", "message", "usage", "choices", "delta", "text", "detail", "tool_calls", "index"))] = (
                container[key]
            )
        else:
            container[key] = _nested(chance.choice((5, 60, 400, 1100)), chance)
    return document


def _nested(depth: int, chance: random.Random) -> Any:
    value: Any = 1
    as_list = chance.random() < 0.5
    for _ in range(depth):
        value = [value] if as_list else {"a": value}
    return value


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    stack, seen = [value], 0
    while stack and seen < 400:
        container = stack.pop()
        items = (
            list(container.items()) if isinstance(container, dict) else list(enumerate(container)) if isinstance(container, list) else []
        )
        for key, item in items:
            seen += 1
            yield container, key
            stack.append(item)


def _dumped(document: Any, chance: random.Random) -> bytes:
    try:
        return json.dumps(document, ensure_ascii=chance.random() < 0.5).encode("utf-8", "surrogatepass")
    except RecursionError:
        return b"[" * 1200 + b"]" * 1200


def _mutated_bytes(body: bytes, chance: random.Random) -> bytes:
    for _ in range(chance.choice((1, 1, 2, 5))):
        at = chance.randrange(len(body) + 1)
        action = chance.random()
        if action < 0.4:
            body = body[:at] + bytes([chance.randrange(256)]) + body[at + 1 :]
        elif action < 0.55:
            body = body[:at] + body[at + chance.randrange(1, 30) :]
        elif action < 0.7:
            body = (
                body[:at]
                + chance.choice((b"NaN", b"-Infinity", b"1e999", b"9" * 5000, b"\xff", b"\0", b"\n", b"[DONE]", b"\xef\xbb\xbf"))
                + body[at:]
            )
        elif action < 0.85:
            body = body[:at]
        else:
            body = body[at:] + body[:at]
    return body


def _headers(chance: random.Random, content_type: str) -> dict[str, str]:
    headers = {"content-type": content_type if chance.random() < 0.7 else chance.choice(CONTENT_TYPES)}
    if chance.random() < 0.25:
        headers["content-encoding"] = chance.choice(ENCODINGS)
    if chance.random() < 0.2:
        name = chance.choice(
            (
                "retry-after",
                "x-ratelimit-remaining-tokens",
                "x-ratelimit-reset-tokens",
                "content-length",
                "x-should-retry",
                "location",
                "nvcf-status",
            )
        )
        headers[name] = chance.choice(("", "-1", "NaN", "1e400", "9" * 39, "1m30s", "Wed, 21 Oct 2015 07:28:00 GMT", "é\xff", "true", "0"))
    return headers


def _pieces(body: bytes, chance: random.Random) -> Iterator[bytes]:
    if chance.random() < 0.5:
        yield body
        return
    while body:
        size = chance.choice((1, 2, 3, 7, 50, 400))
        yield body[:size]
        body = body[size:]


def document_of(body: bytes) -> Any:
    """The body as strict JSON, which whatever is journaled must be."""
    return orjson.loads(body)
