"""One exchange each with servers whose answers are odd, over every HTTP engine: what is read, what is refused, and as what."""

from __future__ import annotations

import gzip
from typing import Any

import orjson
import pytest

from batch.policy.verdicts import Action, Verdict, judge
from batch.records import Api, Exchange
from tests.support.scripted import CLOSE, ScriptedEndpoint, chat_body, chat_reply, error, http
from tests.support.scripts import ENGINES, open_client, request
from tests.support.streams import delta, event, piece, sse, sse_text, stream_head, usage_chunk

DEFAULTS: dict[str, Any] = {}
JSON_ERROR = {
    "error": {"message": "maximum context length is 4096 tokens", "type": "invalid_request_error", "code": "context_length_exceeded"}
}


@pytest.fixture(autouse=True, params=ENGINES)
def engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine of the exchanges of a test."""
    monkeypatch.setitem(DEFAULTS, "http", request.param)


async def exchange_of(*script: Any, api: Api = "chat/completions", **run: Any) -> Exchange:
    """One exchange with an endpoint that does this."""
    with ScriptedEndpoint(lambda _: script) as endpoint:
        async with open_client(endpoint.url, **DEFAULTS | run) as client:
            return await client.exchange(request(api))


def verdict_of(exchange: Exchange) -> tuple[Action, str | None]:
    """The verdict on an exchange, and its code."""
    verdict: Verdict = judge(exchange, 0.0)
    return verdict.action, verdict.error and verdict.error.code


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (chat_body("line").replace(b"line", b"line\nnext"), "line\nnext"),
        (chat_body("caf").replace(b"caf", b"caf\xe9"), "caf\ufffd"),
        (chat_body("hi") + b"data: [DONE]\n\n", "hi"),
        (chat_body("hi").replace(b"1700000000", b"9" * 5000), "hi"),
        (b"data: " + chat_body("hi") + b"\n\n", "hi"),
    ],
)
async def test_an_answer_that_strict_json_refuses(body: bytes, text: str) -> None:
    """Fault 66: control bytes, a bad byte, 5,000 digits, a stream's end or its framing around a plain reply: read, and kept as JSON."""
    exchange = await exchange_of(http(200, body))
    assert exchange.reply is not None
    assert (exchange.reply.text, judge(exchange, 0.0).action) == (text, Action.DONE)
    assert orjson.loads(exchange.body)["choices"][0]["message"]["content"] == text


async def test_the_charset_of_a_label_counts() -> None:
    """Fault 66: a body in Latin-1 that says so keeps its letters."""
    body = chat_body("café").decode().encode("latin-1")
    exchange = await exchange_of(http(200, body, content_type="application/json; charset=ISO-8859-1"))
    assert exchange.reply is not None
    assert exchange.reply.text == "café"


@pytest.mark.parametrize("stream", [False, True])
async def test_a_plain_reply_under_the_label_of_a_stream(stream: bool) -> None:
    """Fault 66: what begins with a brace is a plain reply, whatever its label."""
    exchange = await exchange_of(http(200, chat_body("hi"), content_type="text/event-stream"), stream=stream)
    assert exchange.reply is not None
    assert exchange.reply.text == "hi"


@pytest.mark.parametrize("status", [200, 503])
async def test_bytes_beyond_ascii_in_a_header(status: int) -> None:
    """Fault 61: bytes 0x80 to 0xFF in a header's value are Latin-1 (RFC 9110, section 5.5), in an answer and in an error."""
    reply = http(status, chat_body("hi") if status == 200 else b"busy").replace(b"\r\n\r\n", b"\r\nx-model: caf\xe9\r\n\r\n", 1)
    exchange = await exchange_of(reply)
    assert (exchange.status, exchange.headers["x-model"], exchange.fault) == (status, "café", None)


@pytest.mark.parametrize("content_type", ["application/json", "text/event-stream", "text/html"])
async def test_a_stream_that_was_not_asked_for(content_type: str) -> None:
    """Fault 66: what begins with data: is a stream, also where a plain reply was asked for."""
    reply = sse_text("Paris is it").replace(b"text/event-stream", content_type.encode())
    exchange = await exchange_of(reply, stream=False)
    assert exchange.reply is not None
    assert (exchange.reply.text, exchange.reply.finish_reason) == ("Paris is it", "stop")


async def test_gzip_of_several_members() -> None:
    """Fault 66: all members of a gzip body are unpacked, wherever the connection cuts it; a gzip label on plain bytes is ignored."""
    body = chat_body("hi" * 300)
    packed = gzip.compress(body[:100]) + gzip.compress(body[100:300]) + gzip.compress(body[300:])
    for sent in (packed, body):
        exchange = await exchange_of(http(200, sent, {"content-encoding": "gzip"}))
        assert exchange.reply is not None
        assert exchange.reply.text == "hi" * 300


async def test_events_that_end_with_one_line_break() -> None:
    """Fault 66: a stream whose events are not set apart by blank lines is read line by line."""
    lines = [b"data: " + orjson.dumps(chunk) + b"\n" for chunk in (delta(content="a"), delta(content="b"), delta("stop"))]
    exchange = await exchange_of(stream_head() + piece(b"".join([*lines, b"data: [DONE]\n"])) + b"0\r\n\r\n", stream=True)
    assert exchange.reply is not None
    assert exchange.reply.text == "ab"


@pytest.mark.parametrize(
    "reply",
    [
        http(200, orjson.dumps(JSON_ERROR), content_type="text/event-stream"),
        stream_head() + piece(orjson.dumps(JSON_ERROR, option=orjson.OPT_INDENT_2)) + b"0\r\n\r\n",
        stream_head() + event(delta(role="assistant", content="")) + piece(orjson.dumps(JSON_ERROR) + b"\n") + b"0\r\n\r\n",
        error(400, b"event: error\ndata: " + orjson.dumps(JSON_ERROR) + b"\n\n", {"content-type": "text/event-stream"}),
    ],
)
async def test_a_bare_error_in_a_stream(reply: bytes) -> None:
    """Fault 67: an error in an event stream counts as the error that it is, framed as an event or bare."""
    assert verdict_of(await exchange_of(reply, stream=True)) == (Action.FAIL, "context_length")


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("reason", ["insufficient_system_resource", "error", "ABORTED", "network_error"])
async def test_an_answer_that_the_server_broke_off(reason: str, stream: bool) -> None:
    """Fault 65, promise 5: an ending that says the server broke off is no success, plain and streamed alike."""
    reply = sse(delta(content="Paris is the"), delta(reason), usage_chunk()) if stream else chat_reply("Paris is the", finish_reason=reason)
    assert verdict_of(await exchange_of(reply, stream=stream)) == (Action.RETRY, "server_error")


@pytest.mark.parametrize(
    "choice",
    [
        {"finish_reason": "content_filter: PROHIBITED_CONTENT", "index": 0},
        {"finish_reason": "SAFETY", "index": 0, "message": {"role": "assistant"}},
        {"finish_reason": "content_filter", "index": 0, "message": None},
    ],
)
async def test_a_filter_needs_no_message(choice: dict[str, Any]) -> None:
    """Fault 65: a filter's choice without a message is an answer, labelled content_filter."""
    exchange = await exchange_of(http(200, orjson.dumps({"choices": [choice]})))
    assert exchange.reply is not None
    assert (exchange.reply.text, exchange.reply.finish_reason, judge(exchange, 0.0).action) == (None, "content_filter", Action.DONE)


async def test_a_prompt_that_the_filter_stopped() -> None:
    """Fault 65: a reply without choices whose filter result names the prompt is a filtered row, not a broken reply."""
    results = [{"prompt_index": 0, "content_filter_results": {"hate": {"filtered": True, "severity": "high"}}}]
    exchange = await exchange_of(http(200, orjson.dumps({"choices": [], "prompt_filter_results": results})))
    assert verdict_of(exchange) == (Action.FAIL, "content_filter")


@pytest.mark.parametrize(
    ("reply", "api"),
    [
        (b"HTTP/1.1 202 Accepted\r\nnvcf-reqid: 1\r\nnvcf-status: pending-evaluation\r\ncontent-length: 0\r\n\r\n", "chat/completions"),
        (http(202, b'{"request_id":"x"}'), "chat/completions"),
        (http(200, b'{"id":"x","status":"IN_QUEUE"}'), "chat/completions"),
        (http(200, b'{"id":"r","object":"response","status":"queued","output":[]}'), "responses"),
    ],
)
async def test_accepted_and_not_done(reply: bytes, api: Api) -> None:
    """A request that was accepted and queued fails once, and says so: each retry would queue, and bill, another."""
    exchange = await exchange_of(reply, api=api)
    assert verdict_of(exchange) == (Action.FAIL, "queued")
    assert exchange.fault is not None
    assert "queued" in exchange.fault.message


@pytest.mark.parametrize("vector", [[None, None], [0.5, "x"], [True], [[0.5]], []])
async def test_vectors_are_numbers(vector: list[Any]) -> None:
    """An embedding of anything but finite numbers is refused."""
    exchange = await exchange_of(http(200, orjson.dumps({"data": [{"embedding": vector}]})), api="embeddings")
    assert verdict_of(exchange) == (Action.RETRY, "no_choices")


async def test_plain_and_streamed_keep_the_same_members() -> None:
    """A stream keeps what stands beside the message, as the plain reply does: citations, provider, stop reasons, filter results."""
    top = {"provider": "Groq", "citations": ["https://a.example"], "x_new": {"id": "req"}}
    beside = {"stop_reason": "###", "native_finish_reason": "STOP", "content_filter_results": {"hate": {"filtered": False}}, "x_more": 7}
    plain = orjson.loads(chat_body("hi", audio={"id": "a", "data": "QUJD"}, function_call={"name": "f", "arguments": "{}"})) | top
    plain["choices"][0] |= beside
    chunks = [
        {**delta(role="assistant", content="h"), **top},
        delta(content="i", audio={"id": "a", "data": "QU"}, function_call={"name": "f", "arguments": "{"}),
        delta(audio={"data": "JD"}, function_call={"arguments": "}"}),
        delta("stop"),
        usage_chunk(),
    ]
    chunks[3]["choices"][0] |= beside
    streamed = await exchange_of(sse(*chunks), stream=True)
    whole = await exchange_of(http(200, orjson.dumps(plain)))
    assert orjson.loads(streamed.body) == plain
    assert streamed.reply == whole.reply
    assert whole.reply is not None
    assert whole.reply.tool_calls == [{"id": None, "type": "function", "function": {"name": "f", "arguments": "{}"}}]


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
async def test_the_first_of_several_is_that_of_index_0(order: tuple[int, int]) -> None:
    """Of several answers or vectors in one reply the one of index 0 is the first, in whatever order they are listed; all are counted."""
    choices = [{"index": n, "message": {"role": "assistant", "content": str(n)}, "finish_reason": "stop"} for n in order]
    chat = await exchange_of(http(200, orjson.dumps({"choices": choices})))
    vectors = await exchange_of(http(200, orjson.dumps({"data": [{"index": n, "embedding": [float(n)]} for n in order]})), api="embeddings")
    assert chat.reply is not None
    assert vectors.reply is not None
    assert (chat.reply.text, chat.reply.answers) == ("0", 2)
    assert (vectors.reply.embedding, vectors.reply.answers) == ([0.0], 2)


async def test_an_answer_in_sound_is_its_transcript() -> None:
    """An answer that was spoken has its transcript for a text."""
    exchange = await exchange_of(http(200, chat_body(None, audio={"id": "a", "data": "QUJD", "transcript": "Hello"})))
    assert exchange.reply is not None
    assert exchange.reply.text == "Hello"


@pytest.mark.parametrize(
    ("reply", "answered"),
    [
        (chat_reply("", finish_reason=None), True),
        (http(200, b'{"choices": [{"finish_reason": "stop"}]}'), True),
        (http(200, b'{"choices": null}'), False),
        (http(200, b'{"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 3}}'), True),
        (http(200, b'{"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 0}}'), False),
        (http(200, b"<html>login</html>"), False),
        (http(200, b'{"status": "fine"}'), False),
        (http(200, b""), False),
        (http(200, b'{"choices"', {"content-length": "99"}), False),
    ],
)
async def test_what_was_paid_for_is_known(reply: bytes, answered: bool) -> None:
    """Fault 66: a finished reply that cannot be read is marked, so that it is asked for once more at most; a gateway's page is not."""
    exchange = await exchange_of(reply, CLOSE)
    verdict = judge(exchange, 0.0)
    assert (verdict.action, verdict.unusable) == (Action.RETRY, answered)


@pytest.mark.parametrize("label", ["gzip", "deflate", "br", "zstd", "compress"])
async def test_plain_bytes_are_read_whatever_packing_is_claimed(label: str) -> None:
    """Fault 66: JSON and streams that a gateway labels as packed and does not pack are read."""
    plain = await exchange_of(http(200, chat_body("hi"), {"content-encoding": label}))
    streamed = await exchange_of(sse(delta(content="hi"), delta("stop"), headers={"content-encoding": label}), stream=True)
    for exchange in (plain, streamed):
        assert exchange.fault is None
        assert exchange.reply is not None
        assert exchange.reply.text == "hi"


@pytest.mark.parametrize("headers", [{}, {"content-encoding": "br"}])
async def test_packed_bytes_are_unpacked_without_a_label(headers: dict[str, str]) -> None:
    """Fault 66: a reply that comes as gzip, with no label or a wrong one, is read."""
    exchange = await exchange_of(http(200, gzip.compress(chat_body("hi")), headers))
    assert exchange.fault is None
    assert exchange.reply is not None
    assert exchange.reply.text == "hi"


@pytest.mark.parametrize(
    ("content", "text"),
    [({"label": "bug"}, '{"label":"bug"}'), (7, "7"), (True, "true"), ({"type": "text", "text": "hi"}, "hi"), ([], "")],
)
async def test_content_of_another_type_is_kept_as_text(content: Any, text: str) -> None:
    """Promise 5: what a gateway parsed already is given as JSON text, never as an empty answer."""
    exchange = await exchange_of(http(200, chat_body(content)))
    assert exchange.reply is not None
    assert exchange.reply.text == text


async def test_a_single_call_that_is_no_list_is_read() -> None:
    """Fault 66: tool_calls that hold one call instead of a list of one."""
    call = {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    exchange = await exchange_of(http(200, chat_body(None, finish_reason="tool_calls", tool_calls=call)))
    assert exchange.reply is not None
    assert exchange.reply.tool_calls == [call]


@pytest.mark.parametrize(
    "body",
    [
        {"model": "m", "message": {"role": "assistant", "content": "hi"}, "done": True, "done_reason": "stop"},
        {"type": "message", "content": [{"type": "text", "text": "hi"}], "stop_reason": "end_turn"},
        {"candidates": [{"content": {"parts": [{"text": "hi"}]}, "finishReason": "STOP"}]},
    ],
    ids=["Ollama", "Anthropic", "Gemini"],
)
async def test_an_answer_of_another_api_is_no_error_and_is_paid_for_once(body: dict[str, Any]) -> None:
    """Fault 66: a reply of a provider's own API, met by a wrong base_url, holds no choices; asking again would be paid for in vain."""
    exchange = await exchange_of(http(200, orjson.dumps(body)))
    verdict = judge(exchange, 0.0)
    assert verdict.error is not None
    assert (verdict.error.code, verdict.unusable) == ("no_choices", True)


@pytest.mark.parametrize("how", ["JSON", "text", "gzip"])
async def test_a_huge_error_is_shown_by_its_beginning(how: str) -> None:
    """Fault 28: of an error text beyond 1 MiB the first 2,000 characters are told, and the rest is not read."""
    text = b"the tokens of row 7: " + b"x" * (3 * 1024 * 1024)
    body = text if how == "text" else b'{"error": {"code": "too_odd", "message": "%b"}}' % text
    exchange = await exchange_of(http(400, gzip.compress(body), {"content-encoding": "gzip"}) if how == "gzip" else http(400, body))
    error_info = judge(exchange, 0.0).error
    assert error_info is not None
    assert error_info.message.startswith("the tokens of row 7: xxx")
    assert 1999 <= len(error_info.message) <= 2000
    assert len(exchange.body) <= 2000


async def test_usage_under_other_names_is_counted() -> None:
    """Counts under the names of the Responses and Anthropic APIs are those of a chat too."""
    exchange = await exchange_of(http(200, chat_body("hi", usage={"input_tokens": 7, "output_tokens": 3})))
    assert exchange.reply is not None
    assert exchange.reply.usage == {"input_tokens": 7, "output_tokens": 3, "prompt_tokens": 7, "completion_tokens": 3}


async def test_what_was_refused_before_a_token_cannot_have_been_billed() -> None:
    """A rate limit inside a 200 is no possible double; the same after tokens is one."""
    refused = {"error": {"message": "Provider returned error", "code": 429}}
    assert not judge(await exchange_of(http(200, orjson.dumps(refused))), 0.0).may_be_billed_twice
    cut = await exchange_of(sse(delta(content="Pa"), refused), stream=True)
    assert judge(cut, 0.0).may_be_billed_twice
