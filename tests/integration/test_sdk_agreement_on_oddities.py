"""What the official OpenAI SDK reads is read: odd labels, encodings, JSON and members, both readers over the same bytes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson
import pytest
from openai import AsyncOpenAI

from batch.providers.endings import finish_reason_of
from batch.records import Reply
from tests.support.scripted import ScriptedEndpoint, chat_body, http
from tests.support.scripts import ENGINES, open_client, request
from tests.support.streams import STREAM_END, delta, event, piece, sse, usage_chunk

CHAT = chat_body("Paris — né")
LOGPROBS = b'"logprobs":{"content":[{"token":"P","bytes":[80],"logprob":-0.1,"top_logprobs":[{"token":"Q","logprob":-Infinity}]}]}'
CALL = {"id": "a", "type": "function", "function": {"name": "f", "arguments": '{"x": 1}'}}


def with_members(body: bytes, **members: Any) -> bytes:
    """A chat with more members at its top."""
    return orjson.dumps(orjson.loads(body) | members)


def replaced(old: bytes, new: bytes) -> bytes:
    """The chat with some bytes changed."""
    assert old in CHAT
    return CHAT.replace(old, new)


PLAIN: dict[str, bytes] = {
    "content-encoding none": http(200, CHAT, {"content-encoding": "none"}),
    "content-encoding utf-8": http(200, CHAT, {"content-encoding": "utf-8"}),
    "content-encoding identity, twice": http(200, CHAT, {"content-encoding": "identity, identity"}),
    "a label with parameters": http(200, CHAT, content_type="application/json; charset=utf-8; profile=x"),
    "infinite log probabilities": http(200, replaced(b'"finish_reason"', LOGPROBS + b',"finish_reason"')),
    "NaN in a member of no account": http(200, replaced(b'"created":1700000000', b'"created":NaN')),
    "a lone surrogate": http(200, replaced(b"Paris", b"Paris \\ud83d")),
    "a number beyond a double": http(200, replaced(b"1700000000", b"1e999")),
    "an integer beyond 64 bits": http(200, replaced(b"1700000000", b"170000000000000000000000000000")),
    "UTF-16": http(200, CHAT.decode().encode("utf-16")),
    "a byte order mark": http(200, b"\xef\xbb\xbf" + CHAT, {"content-encoding": "none"}),
    "a code of success": http(200, with_members(CHAT, code=0, message="Success", sid="x")),
    "an error whose members are empty": http(200, with_members(CHAT, error={"code": 0, "message": "", "param": None})),
    "counts as text": http(200, chat_body("hi", usage={"prompt_tokens": "7", "completion_tokens": "3", "total_tokens": "10"})),
    "counts that are lists": http(200, chat_body("hi", usage={"prompt_tokens": [7], "completion_tokens": {}, "total_tokens": None})),
    "members of gateways": http(200, with_members(CHAT, provider="p", citations=["u"], x_groq={"id": "r"})),
    "tool calls": http(200, chat_body(None, finish_reason="tool_calls", tool_calls=[CALL])),
    "another word for the token limit": http(200, chat_body("Once upon", finish_reason="MAX_TOKENS")),
    "no finish_reason": http(200, chat_body("Paris", finish_reason=None)),
    "a filter without a message text": http(200, chat_body(None, finish_reason="content_filter: PROHIBITED_CONTENT")),
}

CHUNKS = (delta(role="assistant", content=""), delta(content="Paris"), delta(content=" — né"), delta("stop"), usage_chunk())


def labelled(content_type: str) -> bytes:
    """The stream under another label."""
    head = f"HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\ntransfer-encoding: chunked\r\n\r\n".encode()
    return b"".join([head, *(event(chunk) for chunk in CHUNKS), event("[DONE]"), STREAM_END])


def raw(*events: bytes) -> bytes:
    """A stream of these bytes."""
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    return b"".join([head, *map(piece, events), STREAM_END])


def line(chunk: dict[str, Any]) -> bytes:
    """One event."""
    return b"data: " + orjson.dumps(chunk) + b"\n\n"


STREAMS: dict[str, bytes] = {
    "labelled x-ndjson": labelled("application/x-ndjson"),
    "labelled json": labelled("application/json"),
    "labelled html": labelled("text/html"),
    "labelled Text/Event-Stream;charset=UTF-8": labelled("Text/Event-Stream;charset=UTF-8"),
    "content-encoding none": sse(*CHUNKS, headers={"content-encoding": "none"}),
    "infinite log probabilities": raw(
        line(delta(content="Paris")).replace(b'"finish_reason"', LOGPROBS + b',"finish_reason"'), line(delta("stop")), b"data: [DONE]\n\n"
    ),
    "a list where a text was": sse(
        delta(content="hi", annotations=""), delta(content=" there", annotations=[{"type": "url_citation"}]), delta("stop"), usage_chunk()
    ),
    "a code of success": sse(*({**chunk, "code": 0, "message": "Success"} for chunk in CHUNKS)),
    "comments, ids and retries": raw(
        b": PROCESSING\n\n", b"retry: 3000\nid: 1\nevent: message\n" + line(delta("stop", content="hi")), b"data: [DONE]\n\n"
    ),
    "no end mark": sse(*CHUNKS, done=False),
    "an end mark and more": raw(line(delta("stop", content="hi")), b"data: [DONE][DONE]\n\n"),
    "counts as text": sse(delta(content="hi"), delta("stop"), usage_chunk() | {"usage": {"prompt_tokens": "7", "completion_tokens": []}}),
    "another word for the token limit": sse(delta(content="Once"), delta("max_tokens"), usage_chunk()),
}


@pytest.mark.parametrize("kind", PLAIN)
async def test_the_same_reading_of_a_plain_reply(kind: str) -> None:
    """Fault 66: text, calls and ending are what the SDK reads, in the first attempt."""

    async def theirs(sdk: AsyncOpenAI) -> tuple[str, str, list[str]]:
        reply = await sdk.chat.completions.create(model="m", messages=[{"role": "user", "content": "hi"}])
        choice = reply.choices[0]
        calls = [call.function.arguments for call in choice.message.tool_calls or [] if call.type == "function"]
        return choice.message.content or "", choice.finish_reason or "", calls

    await compare(PLAIN[kind], theirs, stream=False)


@pytest.mark.parametrize("kind", STREAMS)
async def test_the_same_reading_of_a_stream(kind: str) -> None:
    """Fault 66: so it is for streams, whatever their label."""

    async def theirs(sdk: AsyncOpenAI) -> tuple[str, str, list[str]]:
        text, reason = "", ""
        async for chunk in await sdk.chat.completions.create(model="m", messages=[{"role": "user", "content": "hi"}], stream=True):
            for choice in chunk.choices or []:
                text += choice.delta.content or ""
                reason = choice.finish_reason or reason
        return text, reason, []

    await compare(STREAMS[kind], theirs, stream=True)


async def compare(reply: bytes, theirs: Callable[[AsyncOpenAI], Any], *, stream: bool) -> None:
    """Both read `reply`."""
    with ScriptedEndpoint(lambda _: [reply]) as endpoint:
        async with AsyncOpenAI(base_url=endpoint.url, api_key="x", max_retries=0) as sdk:
            text, reason, calls = await theirs(sdk)
        exchanges = []
        for engine in ENGINES:
            async with open_client(endpoint.url, http=engine, stream=stream) as client:
                exchanges.append(await client.exchange(request()))
    exchange = exchanges[0]
    assert exchanges[1].reply == exchange.reply
    ours = exchange.reply
    assert exchange.fault is None
    assert ours is not None
    assert ours.error is None
    assert (ours.text or "") == text.replace("\ud83d", "\ufffd")
    assert (ours.finish_reason or "") == finish_reason_of(reason)
    assert arguments_of(ours) == calls
    assert orjson.loads(exchange.body)["choices"]


def arguments_of(reply: Reply) -> list[str]:
    """The arguments of a reply's tool calls."""
    return [call["function"]["arguments"] for call in reply.tool_calls or []]
