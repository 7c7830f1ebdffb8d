"""The OpenAI Python SDK and promptmill read the same streams alike: scripted ones, and those of the real llama.cpp server.

What the real server streams is recorded as our client reads it over its own engine, and replayed byte for byte to the SDK: the ids of
tool calls are drawn anew for each answer.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest
from openai import AsyncOpenAI

from batch.clock import SystemClock
from batch.records import Api, Chunk, Reply, Request
from batch.server.embedded import EmbeddedServer
from batch.settings import ProviderSettings, RunSettings
from batch.settings.embedded import EmbeddedModelSettings
from batch.transport.client import Client
from batch.transport.engines import open_engine
from batch.transport.wire import Engine, Response, Target
from tests.support.scripted import ScriptedEndpoint, http
from tests.support.scripts import open_client, request
from tests.support.streams import delta, sse, sse_text, usage_chunk

TOOLS_TEMPLATE = Path(__file__).parents[1] / "support" / "tools.jinja"  # SmolLM2's own knows no tools


def tool(index: int, arguments: str, **first: Any) -> dict[str, Any]:
    head = {"id": first["id"], "type": "function"} if first else {}
    return {"index": index, **head, "function": {"arguments": arguments} | ({"name": first["name"]} if first else {})}


STREAMS: dict[str, bytes] = {
    "text": sse_text("Paris is the capital — né 😀"),
    "cut short": sse_text("Once upon", finish_reason="length"),
    "refusal": sse(
        delta(role="assistant", content=None, refusal=""), delta(refusal="I ca"), delta(refusal="n't"), delta("stop"), usage_chunk()
    ),
    "one tool": sse(
        delta(role="assistant", content=None, tool_calls=[tool(0, "", id="a", name="weather")]),
        delta(tool_calls=[tool(0, '{"city":')]),
        delta(tool_calls=[tool(0, '"Paris"}')]),
        delta("tool_calls"),
        usage_chunk(20, 9),
    ),
    "two tools and text, interleaved": sse(
        delta(role="assistant", content="Let me look. "),
        delta(tool_calls=[tool(0, "", id="a", name="weather"), tool(1, "", id="b", name="time")]),
        delta(tool_calls=[tool(1, "{}")]),
        delta(tool_calls=[tool(0, '{"city":"Paris"}')]),
        delta("tool_calls"),
        usage_chunk(20, 9),
    ),
}


@pytest.mark.parametrize("kind", STREAMS)
async def test_same_reading(kind: str) -> None:
    """Text, tool calls, refusal, finish_reason and usage of a streamed answer are what the OpenAI SDK accumulates."""
    with ScriptedEndpoint(lambda _: [STREAMS[kind]]) as endpoint:
        async with open_client(endpoint.url, stream=True) as client:
            ours = (await client.exchange(request())).reply
        async with AsyncOpenAI(base_url=endpoint.url, api_key="x") as sdk:
            options: Any = {"include_usage": True}
            async with sdk.chat.completions.stream(
                model="m", messages=[{"role": "user", "content": "hi"}], stream_options=options
            ) as events:
                async for _ in events:
                    pass
                theirs = events.current_completion_snapshot
    assert ours is not None
    message = theirs.choices[0].message
    assert theirs.usage is not None
    assert (ours.text, ours.finish_reason) == (message.content, theirs.choices[0].finish_reason)
    assert ours.usage == theirs.usage.model_dump(exclude_unset=True)
    calls = [(call.id, call.function.name, call.function.arguments) for call in message.tool_calls or []]
    assert [(call["id"], call["function"]["name"], call["function"]["arguments"]) for call in ours.tool_calls or []] == calls


class Recorder(Engine):
    """Keeps the body of the one reply that an engine gives."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.body = b""

    async def send(self, target: Target, body: bytes) -> Response:
        """The reply, as it comes."""
        return Recorded(self, await self._engine.send(target, body))

    async def close(self) -> None:
        """The engine is another's."""


class Recorded:
    """A reply, copied as it is read."""

    def __init__(self, recorder: Recorder, response: Response) -> None:
        self._recorder = recorder
        self._response = response
        self.status, self.headers = response.status, response.headers
        self.close = response.close

    async def read(self) -> bytes | None:
        """The next piece."""
        piece = await self._response.read()
        self._recorder.body += piece or b""
        return piece


async def ask(base_url: str, api: Api, body: dict[str, Any], on_chunk: Callable[[Chunk], None] | None = None) -> tuple[Reply, bytes]:
    """Our reading of an answer, and the body that it came in."""
    run = RunSettings(stream="stream" in body)
    async with open_engine(run, 1) as engine:
        recorder = Recorder(engine)
        client = Client(ProviderSettings(name="local", base_url=base_url), None, run, clock=SystemClock(), engine=recorder)
        reply = (await client.exchange(Request(api, orjson.dumps(body), bytes(16)), on_chunk)).reply
    assert reply is not None
    return reply, recorder.body


@asynccontextmanager
async def replayed(stream: bytes, body: dict[str, Any]) -> AsyncIterator[AsyncOpenAI]:
    """The SDK, which gets `stream` for an answer and must have asked for it by `body`."""
    with ScriptedEndpoint(lambda _: [http(200, stream, content_type="text/event-stream")]) as endpoint:
        async with AsyncOpenAI(base_url=endpoint.url, api_key="none") as sdk:
            yield sdk
        assert [received.json() for received in endpoint.requests] == [body]


CAPITAL: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "get_capital",
        "description": "The capital of a country",
        "parameters": {
            "type": "object",
            "properties": {"country": {"type": "string"}},
            "required": ["country"],
            "additionalProperties": False,
        },
        "strict": True,
    },
}
# Without the examples so small a model writes of tools for ever instead of calling one.
CALLS: list[dict[str, Any]] = [
    message
    for country in ("Italy", "Spain")
    for message in (
        {"role": "user", "content": f"What is the capital of {country}?"},
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [
                {"id": country, "type": "function", "function": {"name": "get_capital", "arguments": f'{{"country": "{country}"}}'}}
            ],
        },
    )
]
FRANCE = {"role": "user", "content": "What is the capital of France?"}
LLAMA_ONLY = {"cache_prompt": False}  # else usage tells how much of the prompt an earlier test had sent
CHATS: dict[str, dict[str, Any]] = {
    "text": {"messages": [{"role": "system", "content": "Answer with the name of the city only."}, FRANCE], "max_tokens": 24},
    "cut short": {"messages": [FRANCE], "max_tokens": 3},
    "tool call": {"messages": [*CALLS, FRANCE], "max_tokens": 64, "tools": [CAPITAL], "tool_choice": "required"},
}
FINISHES = {"text": "stop", "cut short": "length", "tool call": "tool_calls"}


@pytest.mark.local_model
@pytest.mark.parametrize("kind", CHATS)
async def test_same_reading_of_a_chat_on_llama_cpp(kind: str, embedded_server: EmbeddedServer) -> None:
    """One streamed answer of the real server: text, tool calls, finish_reason and usage as the SDK has them, and as the plain reply."""
    if kind != "tool call":
        await compare_chat(kind, embedded_server.base_url)
        return
    async with EmbeddedServer(EmbeddedModelSettings(parallel=1, chat_template=str(TOOLS_TEMPLATE)), "smollm2") as server:
        await compare_chat(kind, server.base_url)


async def compare_chat(kind: str, base_url: str) -> None:
    """Compare both readings, and the plain reply."""
    body = {"model": "smollm2", "temperature": 0, **CHATS[kind]}
    options: Any = {"include_usage": True}
    chunks: list[Chunk] = []
    asked = {**body, **LLAMA_ONLY, "stream": True, "stream_options": options}
    ours, stream = await ask(base_url, "chat/completions", asked, chunks.append)
    async with (
        replayed(stream, asked) as sdk,
        sdk.chat.completions.stream(**body, stream_options=options, extra_body=LLAMA_ONLY) as events,
    ):
        async for _ in events:
            pass
        theirs = events.current_completion_snapshot
    assert len(chunks) > 3  # it did stream
    assert ours.finish_reason == FINISHES[kind]
    choice = theirs.choices[0]
    assert (ours.text, ours.finish_reason, ours.model) == (choice.message.content, choice.finish_reason, theirs.model)
    assert theirs.usage is not None
    assert ours.usage == theirs.usage.model_dump(exclude_unset=True)
    assert called(ours) == [(call.function.name, call.function.arguments) for call in choice.message.tool_calls or []]
    assert [call["id"] for call in ours.tool_calls or []] == [call.id for call in choice.message.tool_calls or []]
    assert called(ours) == ([("get_capital", '{"country": "France"}')] if kind == "tool call" else [])
    plain, _ = await ask(base_url, "chat/completions", {**body, **LLAMA_ONLY})
    assert (plain.text or None, plain.finish_reason, plain.usage) == (ours.text or None, ours.finish_reason, ours.usage)
    assert called(plain) == called(ours)


def called(reply: Reply) -> list[tuple[str, str]]:
    """The functions that a reply calls, with their arguments. Ids differ from answer to answer."""
    return [(call["function"]["name"], call["function"]["arguments"]) for call in reply.tool_calls or []]


@pytest.mark.local_model
async def test_same_reading_of_a_completion_on_llama_cpp(embedded_server: EmbeddedServer) -> None:
    """One streamed answer of the real server's /completions: text, finish_reason and usage as the SDK has them, and as the plain reply."""
    body: dict[str, Any] = {"model": "smollm2", "prompt": "The capital of France is", "temperature": 0, "max_tokens": 12}
    streamed: dict[str, Any] = {"stream": True, "stream_options": {"include_usage": True}}
    asked = {**body, **LLAMA_ONLY, **streamed}
    ours, stream = await ask(embedded_server.base_url, "completions", asked)
    async with replayed(stream, asked) as sdk:
        chunks = [chunk async for chunk in await sdk.completions.create(**body, **streamed, extra_body=LLAMA_ONLY)]
    assert len(chunks) > 3  # it did stream
    choices = [choice for chunk in chunks for choice in chunk.choices]
    usage = chunks[-1].usage
    assert usage is not None
    assert "Paris" in (ours.text or "")
    assert (ours.text, ours.finish_reason) == ("".join(choice.text for choice in choices), choices[-1].finish_reason)
    assert ours.usage == usage.model_dump(exclude_unset=True)
    plain, _ = await ask(embedded_server.base_url, "completions", {**body, **LLAMA_ONLY})
    assert (plain.text, plain.finish_reason, plain.usage) == (ours.text, ours.finish_reason, ours.usage)
