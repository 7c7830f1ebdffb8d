"""The OpenAI Python SDK and promptmill read the same streams alike."""

from __future__ import annotations

from typing import Any

import pytest
from openai import AsyncOpenAI

from tests.support.scripted import ScriptedEndpoint, delta, sse, sse_text, usage_chunk
from tests.support.wire import open_client, request


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
