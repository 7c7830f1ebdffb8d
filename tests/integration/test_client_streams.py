"""Streamed answers: what counts as one, and what is left when it does not (FAULTS.md, "Streams")."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import anyio
import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from batch.policy.verdicts import Action, judge
from batch.records import Chunk, Exchange
from tests.support.scripted import CLOSE, HANG, RESET, ScriptedEndpoint, Sleep, chat_body, http
from tests.support.scripted import (
    Action as Act,
)
from tests.support.scripts import ENGINES, KEY, happens, open_client, request
from tests.support.streams import STREAM_END, delta, event, piece, sse, sse_text, stream_head, usage_chunk

every_engine = pytest.mark.parametrize("engine", ENGINES)

BEGUN = stream_head() + event(delta(role="assistant", content="")) + event(delta(content="Par"))
FINISHED = BEGUN + event(delta(content="is")) + event(delta("stop"))
ERROR = event({"error": {"message": "EngineCore encountered an issue.", "type": "InternalServerError", "code": 500}})
PING = piece(b": ping\n\n")


async def streamed(*script: Act, engine: str = "asyncio", chunks: list[Chunk] | None = None, **run: Any) -> Exchange:
    """One streamed exchange with an endpoint that does this."""
    with ScriptedEndpoint(lambda _: script) as endpoint:
        async with open_client(endpoint.url, http=engine, stream=True, **run) as client:
            return await client.exchange(request(), None if chunks is None else chunks.append)


def text(exchange: Exchange) -> str | None:
    return exchange.reply.text if exchange.reply is not None else None


@every_engine
async def test_a_stream_is_the_plain_reply(engine: str) -> None:
    """A stream amounts to the plain reply's body, tells its chunks and when the first token came, and leaves its connection in use."""
    chunks: list[Chunk] = []
    with ScriptedEndpoint(lambda _: [sse_text("Paris it is")]) as endpoint:
        async with open_client(endpoint.url, http=engine, stream=True) as client:
            for _ in range(3):
                chunks.clear()
                exchange = await client.exchange(request(), chunks.append)
    assert orjson.loads(exchange.body) == orjson.loads(chat_body("Paris it is"))
    assert [chunk.text for chunk in chunks] == ["", "Paris", " it", " is", "", ""]
    assert (chunks[4].finish_reason, chunks[5].usage) == ("stop", {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10})
    assert exchange.first_token_at is not None
    assert exchange.sent_at <= exchange.first_token_at <= exchange.done_at
    assert endpoint.connections == 1
    assert "text/event-stream" in endpoint.requests[0].headers["accept"]


@every_engine
async def test_chunks_come_as_they_are_sent(engine: str) -> None:
    """A chunk is told when it comes, not when the answer is whole."""
    chunks: list[Chunk] = []
    with ScriptedEndpoint(lambda _: [BEGUN, HANG]) as endpoint:
        async with open_client(endpoint.url, http=engine, stream=True) as client, anyio.create_task_group() as group:
            group.start_soon(client.exchange, request(), chunks.append)
            await happens(lambda: len(chunks) == 2)
            group.cancel_scope.cancel()
    assert chunks[1].text == "Par"


INCOMPLETE: dict[str, tuple[Sequence[Act], str]] = {
    "20 end without finish": ((BEGUN + STREAM_END,), "truncated_stream"),
    "20 [DONE] without finish": ((BEGUN + event("[DONE]") + STREAM_END,), "truncated_stream"),
    "20 closed without finish": ((BEGUN, CLOSE), "truncated_stream"),
    "20 reset without finish": ((BEGUN, Sleep(0.05), RESET), "reset"),
    "23 only pings": ((stream_head(), *[PING, Sleep(0.03)] * 99), "timeout_first_byte"),
    "23 only pings, as events": ((stream_head(), *[piece(b"event: ping\ndata: still here\n\n"), Sleep(0.03)] * 99), "timeout_first_byte"),
    "23 only pings, as data": ((stream_head(), *[event({"type": "ping"}), Sleep(0.03)] * 99), "timeout_first_byte"),
    "24 pings after a token": ((BEGUN, *[PING, Sleep(0.03)] * 99), "timeout_idle"),
    "17 silence after a token": ((BEGUN, HANG), "timeout_idle"),
    "9 nothing": ((stream_head() + STREAM_END,), "not_json"),
    "9 only [DONE]": ((sse(),), "no_choices"),
    "9 HTML": ((http(200, b"<html>busy</html>", content_type="text/html"),), "not_json"),
    "9 HTML that says it is a stream": ((http(200, b"<html>busy</html>", content_type="text/event-stream"),), "not_json"),
    "9 an event that is not JSON": ((stream_head() + event("{oops") + STREAM_END,), "not_json"),
    "9 choices that are none": ((stream_head() + event({"choices": 7}) + STREAM_END,), "no_choices"),
    "26 tool calls not to be told apart": (
        (
            sse(
                *[delta(tool_calls=[{"function": {"name": n, "arguments": '{"x":'}}]) for n in "fg"],
                *[delta(tool_calls=[{"function": {"arguments": "1}"}}])] * 2,
                delta("tool_calls"),
            ),
        ),
        "no_choices",
    ),
    "28 endless": ((stream_head(), *[piece(b"data: " + b"x" * 60_000)] * 40), "too_big"),
}


@every_engine
@pytest.mark.parametrize("kind", INCOMPLETE)
async def test_what_is_no_answer(engine: str, kind: str) -> None:
    """Faults 9, 17, 20 to 24, 26, 28, promise 5: without a finish_reason there is no success, whatever else comes."""
    script, code = INCOMPLETE[kind]
    # The deadline that it must meet, and no other: a busy machine may meet one too soon.
    deadline = {f"{code.removeprefix('timeout_')}_timeout_s": 0.2} if code.startswith("timeout") else {}
    exchange = await streamed(*script, engine=engine, max_reply_bytes=1_000_000, **deadline)
    assert exchange.fault is not None
    assert (exchange.status, exchange.fault.code, exchange.reply) == (200, code, None)
    assert judge(exchange, 0.0).action is not Action.DONE


COMPLETE: dict[str, Sequence[Act]] = {
    "end": (FINISHED + event("[DONE]") + STREAM_END,),
    "22 finish, then reset": (FINISHED, Sleep(0.05), RESET),
    "22 finish and usage, then closed": (FINISHED + event(usage_chunk()), CLOSE),
    "no [DONE]": (FINISHED + STREAM_END,),
    "23 [DONE], and the socket stays open": (FINISHED + event("[DONE]"), HANG),
    "23 [DONE], and the server talks on": (FINISHED + event("[DONE]"), *[PING] * 9000, HANG),
    "finish, and the socket stays open": (FINISHED, HANG),
    "no blank line at the end": (BEGUN + event(delta(content="is")) + piece(b"data: " + orjson.dumps(delta("stop"))) + STREAM_END,),
    "pings between": (
        BEGUN + PING * 3 + piece(b"event: ping\ndata: {}\n\n") + event(delta(content="is")) + PING + event(delta("stop")) + STREAM_END,
    ),
    "choices: [] first (Azure)": (
        stream_head() + event({"choices": [], "prompt_filter_results": []}) + FINISHED.removeprefix(stream_head()) + STREAM_END,
    ),
    "no content type": (FINISHED.replace(b"content-type: text/event-stream\r\n", b"") + STREAM_END,),
    "a plain reply to one who asked for a stream": (http(200, chat_body("Paris")),),
}


@every_engine
@pytest.mark.parametrize("kind", COMPLETE)
async def test_what_is_an_answer(engine: str, kind: str) -> None:
    """Faults 22 and 23: a finish_reason makes an answer, however its stream ends; nothing waits for the close after [DONE]."""
    exchange = await streamed(*COMPLETE[kind], engine=engine, idle_timeout_s=0.3)
    assert (exchange.status, exchange.fault, text(exchange)) == (200, None, "Paris")
    assert judge(exchange, 0.0).action is Action.DONE


@every_engine
@pytest.mark.parametrize("end", [event("[DONE]"), ERROR])
async def test_nothing_waits_for_the_close(engine: str, end: bytes) -> None:
    """Fault 23: after [DONE], or an error, an open socket is not waited for, and is not left open either."""
    with ScriptedEndpoint(lambda _: [FINISHED + end, HANG]) as endpoint, anyio.fail_after(10):
        async with open_client(endpoint.url, http=engine, stream=True, idle_timeout_s=60.0) as client:
            await client.exchange(request())
            await happens(lambda: not endpoint.open_connections)


@every_engine
@pytest.mark.parametrize(
    "script",
    [
        BEGUN + ERROR + event("[DONE]") + STREAM_END,
        FINISHED + ERROR + STREAM_END,
        stream_head() + ERROR + STREAM_END,
        BEGUN + piece(b'event: error\ndata: {"code":500,"message":"x"}\n\n') + STREAM_END,
        BEGUN
        + event({"choices": [{"index": 0, "delta": {}, "finish_reason": "error", "error": {"code": 502, "message": "x"}}]})
        + STREAM_END,
    ],
)
async def test_an_error_in_the_stream(engine: str, script: bytes) -> None:
    """Fault 21: an error in the stream is an error, also when [DONE] or a finish_reason stands beside it."""
    exchange = await streamed(script, engine=engine)
    verdict = judge(exchange, 0.0)
    assert (verdict.action, verdict.error and verdict.error.code, verdict.may_be_billed_twice) == (Action.RETRY, "server_error", True)


@every_engine
async def test_an_error_status_is_no_stream(engine: str) -> None:
    """Status first: a 4xx or 5xx is read as a plain error, although a stream was asked for."""
    exchange = await streamed(http(400, b'{"error":{"message":"too long","code":"context_length_exceeded"}}'), engine=engine)
    assert (judge(exchange, 0.0).action, exchange.fault) == (Action.FAIL, None)


async def test_embeddings_are_never_streamed() -> None:
    """A run that streams reads embeddings plainly."""
    with ScriptedEndpoint() as endpoint:
        async with open_client(endpoint.url, stream=True) as client:
            exchange = await client.exchange(request("embeddings"))
    assert exchange.reply is not None
    assert exchange.reply.embedding == [0.5, -0.25]


WIDE = [
    b"\xef\xbb\xbf: hi\r\n\r\n",
    b"data: " + orjson.dumps(delta(content="né😀\u2028 \r")) + b"\r\n\r\n",
    b'data: {"choices":[{"index":0,\ndata: "delta":{"content":"!"}}]}\r\r',
    b"event: ping\ndata: {}\n\n",
    b"data: " + orjson.dumps(delta("stop")) + b"\n\ndata: [DONE]\n\n",
]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_cut_anywhere(data: st.DataObject) -> None:
    """Fault 25: a stream cut anywhere, in characters, CRLF and JSON, with data over several lines, gives the same answer."""
    whole = b"".join(WIDE)
    cuts = sorted(data.draw(st.sets(st.integers(1, len(whole) - 1), max_size=12)))
    pieces = [piece(whole[start:end]) for start, end in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    exchange = anyio.run(lambda: streamed(stream_head(), *pieces, STREAM_END))
    assert (text(exchange), exchange.fault) == ("né😀\u2028 \r!", None)


@every_engine
async def test_what_on_chunk_raises(engine: str) -> None:
    """An error of the one who looks at the chunks is theirs, not a fault of the wire."""

    def refuse(_: Chunk) -> None:
        raise BrokenPipeError("stdout is closed")

    with ScriptedEndpoint(lambda _: [sse_text("Paris")]) as endpoint:
        async with open_client(endpoint.url, http=engine, stream=True) as client:
            with pytest.raises(BrokenPipeError):
                await client.exchange(request(), refuse)


@every_engine
async def test_key_echoed_in_a_stream(engine: str) -> None:
    """Fault 29: a key in a stream's error, its text or its garbage is redacted."""
    for script in (
        BEGUN + event({"error": {"message": f"bad key {KEY}", "code": 500}}) + STREAM_END,
        sse_text(f"your key is {KEY}"),
        stream_head() + event(f"{{{KEY}") + STREAM_END,
    ):
        exchange = await streamed(script, engine=engine)
        assert KEY not in repr((exchange.body, exchange.reply, exchange.fault, judge(exchange, 0.0)))
