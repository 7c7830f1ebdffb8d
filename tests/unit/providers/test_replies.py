"""Replies and error envelopes, read."""

from __future__ import annotations

import base64
import contextlib
import struct
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch.providers.envelopes import error_in_cut
from batch.providers.replies import ReplyFormatError, read_error, read_reply
from batch.records import ReplyError
from tests.support.scripted import chat_body


def body(**changes: Any) -> bytes:
    document = orjson.loads(chat_body("Paris"))
    choice = document["choices"][0]
    choice["message"] |= changes.pop("message", {})
    choice |= changes.pop("choice", {})
    return orjson.dumps(document | changes)


def test_chat() -> None:
    """A chat completion gives text, finish_reason, model and usage, unchanged."""
    reply = read_reply("chat/completions", body())
    assert (reply.text, reply.finish_reason, reply.model) == ("Paris", "stop", "test-model")
    assert reply.usage == {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
    assert reply.error is None


@pytest.mark.parametrize(
    ("changes", "text", "reasoning"),
    [
        ({"object": "text_completion"}, "Paris", None),  # old Anyscale Endpoints
        ({"error": None}, "Paris", None),
        ({"message": {"reasoning_content": "hm"}}, "Paris", "hm"),
        ({"message": {"reasoning": "hm", "reasoning_content": None}}, "Paris", "hm"),
        ({"message": {"content": None}}, None, None),
        ({"message": {"content": [{"type": "text", "text": "Pa"}, {"type": "text", "text": "ris"}]}}, "Paris", None),
        (
            {
                "message": {
                    "content": [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}, {"type": "text", "text": "Paris"}]
                }
            },
            "Paris",
            "hm",
        ),
    ],
)
def test_chat_variants(changes: dict[str, Any], text: str | None, reasoning: str | None) -> None:
    """What servers make of a message's content and reasoning is read alike."""
    reply = read_reply("chat/completions", body(**changes))
    assert (reply.text, reply.reasoning) == (text, reasoning)


def test_tool_calls() -> None:
    """Tool calls are given as they are, and content filter and length are answers."""
    call = {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    reply = read_reply("chat/completions", body(message={"content": None, "tool_calls": [call]}, choice={"finish_reason": "tool_calls"}))
    assert (reply.text, reply.tool_calls, reply.finish_reason) == (None, [call], "tool_calls")
    assert read_reply("chat/completions", body(choice={"finish_reason": "content_filter"})).finish_reason == "content_filter"


def test_completion_and_embedding() -> None:
    """Completions give their text, embeddings their numbers, plain or in base64."""
    completion = {"object": "text_completion", "choices": [{"text": "Paris", "finish_reason": "length"}]}
    assert read_reply("completions", orjson.dumps(completion)).text == "Paris"
    for vector in ([0.5, -2.0], base64.b64encode(struct.pack("<2f", 0.5, -2.0)).decode()):
        assert read_reply("embeddings", orjson.dumps({"data": [{"embedding": vector}]})).embedding == [0.5, -2.0]


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        (b"", "not_json"),
        (b"<html>busy</html>", "not_json"),
        (b'{"choices":[{"message"', "not_json"),
        (b"null", "no_choices"),
        (b"[]", "no_choices"),
        (b'"text"', "no_choices"),
        (b"{}", "no_choices"),
        (b'{"choices":null}', "no_choices"),
        (b'{"choices":[]}', "no_choices"),
        (b'{"choices":[7]}', "no_choices"),
        (b'{"choices":[{"finish_reason":"stop"}]}', "no_choices"),
        (body(choice={"finish_reason": None}, message={"content": ""}), "truncated_body"),
        (body(choice={"finish_reason": "", "message": None}), "truncated_body"),
    ],
)
def test_what_is_no_reply(reply: bytes, code: str) -> None:
    """Fault 9, promise 5: HTML, nothing, `choices: null` and a choice with neither text nor finish_reason are never a success."""
    with pytest.raises(ReplyFormatError) as caught:
        read_reply("chat/completions", reply)
    assert caught.value.code == code


@pytest.mark.parametrize("data", [None, [], [{}], [{"embedding": []}], [{"embedding": "???"}], [{"embedding": "AAA="}]])
def test_what_is_no_embedding(data: Any) -> None:
    """An embedding that is not there, or cannot be unpacked, is never a success."""
    with pytest.raises(ValueError, match="embedding"):
        read_reply("embeddings", orjson.dumps({"data": data}))


ENVELOPES: list[tuple[str, Any, ReplyError]] = [
    (
        "OpenAI",
        {"error": {"message": "Rate limit", "type": "requests", "param": None, "code": "rate_limit_exceeded"}},
        ReplyError("Rate limit", "rate_limit_exceeded", "requests"),
    ),
    ("Ollama, old", {"error": 'model "x" not found'}, ReplyError('model "x" not found')),
    ("TGI", {"error": "Input too long", "error_type": "validation"}, ReplyError("Input too long", type="validation")),
    ("FastAPI", {"detail": "Not Found"}, ReplyError("Not Found")),
    (
        "FastAPI validation",
        {"detail": [{"type": "missing", "loc": ["body", "messages"], "msg": "Field required"}]},
        ReplyError("body.messages: Field required"),
    ),
    (
        "vLLM, old",
        {"object": "error", "message": "too long", "type": "BadRequestError", "param": None, "code": 400},
        ReplyError("too long", "400", "BadRequestError", 400),
    ),
    (
        "Mistral",
        {
            "object": "error",
            "message": {"detail": [{"loc": ["body", "model"], "msg": "Invalid"}]},
            "type": "invalid_request_error",
            "code": None,
        },
        ReplyError("body.model: Invalid", None, "invalid_request_error"),
    ),
    (
        "Gemini",
        [{"error": {"code": 429, "message": "Resource has been exhausted", "status": "RESOURCE_EXHAUSTED"}}],
        ReplyError("Resource has been exhausted", "429", "RESOURCE_EXHAUSTED", 429),
    ),
    ("gateway", {"message": "no Route matched"}, ReplyError("no Route matched")),
    (
        "OpenRouter",
        {"error": {"code": 502, "message": "Provider returned error", "metadata": {"raw": "boom", "provider_name": "X"}}},
        ReplyError("Provider returned error (boom; X)", "502", None, 502),
    ),
    (
        "OpenRouter, in a choice",
        {"choices": [{"error": {"code": 429, "message": "slow"}, "finish_reason": "error", "message": {"content": "ab"}}]},
        ReplyError("slow", "429", None, 429),
    ),
    (
        "Azure",
        {"error": {"code": "content_filter", "message": "filtered", "status": 400, "innererror": {"code": "ResponsibleAIPolicyViolation"}}},
        ReplyError("filtered (ResponsibleAIPolicyViolation)", "content_filter", None, 400),
    ),
    (
        "AWS",
        {"__type": "com.amazon.coral#ThrottlingException", "Message": "Too many tokens"},
        ReplyError("Too many tokens", None, "ThrottlingException"),
    ),
    (
        "Baidu, old",
        {"error_code": 17, "error_msg": "Open api daily request limit reached"},
        ReplyError("Open api daily request limit reached", "17"),
    ),
    (
        "MiniMax",
        {"base_resp": {"status_code": 1004, "status_msg": "login fail"}, "choices": None},
        ReplyError("login fail", "1004", None, 401),
    ),
    ("MiniMax, busy", {"base_resp": {"status_code": 1002, "status_msg": "rate"}}, ReplyError("rate", "1002", None, 429)),
    ("odd", {"error": ["a", 1]}, ReplyError('["a",1]')),
    ("odd", {"error": {"code": "x"}}, ReplyError('{"code":"x"}', "x")),
]


@pytest.mark.parametrize(("server", "document", "error"), ENVELOPES)
def test_envelopes(server: str, document: Any, error: ReplyError) -> None:
    """Fault 7: every envelope of an error is read, whatever the status was."""
    assert read_error(document) == error, server
    assert read_reply("chat/completions", orjson.dumps(document)).error == error


@pytest.mark.parametrize(
    ("document", "error"),
    [
        ({"code": 429, "msg": "too many requests"}, ReplyError("too many requests", "429", None, 429)),
        ({"status": "error", "msg": "invalid input"}, ReplyError("invalid input", None, "error")),
        ({"success": False, "error_message": "no"}, ReplyError("no")),
        ({"errcode": 336003, "errmsg": "the prompt is empty"}, ReplyError("the prompt is empty")),
        ({"code": 401, "message": "invalid key", "data": None}, ReplyError("invalid key", "401", None, 401)),
        ({"code": 500, "message": "crashed", "choices": None}, ReplyError("crashed", "500", None, 500)),
        ({"code": 0, "message": "success", "data": None}, None),
        ({"object": "list", "data": [], "message": "no texts"}, ReplyError("no texts")),
        ({"code": 0, "msg": "ok"}, None),
        ({"msg": "hello"}, None),
        ({"status": "queued", "message": "the request was queued"}, None),
        ({"status": "in_progress", "msg": "wait"}, None),
    ],
)
def test_a_remark_is_an_error_beside_a_code_of_failure(document: Any, error: ReplyError | None) -> None:
    """Words beside a code of failure say what failed; beside success, or a state of work that goes on, they are no error."""
    assert read_error(document) == error


def test_an_unusable_call_is_the_models_fault() -> None:
    """Gemini's MALFORMED_FUNCTION_CALL ends a whole answer, which was paid for: it is an answer that does not fit."""
    reply = read_reply("chat/completions", body(choice={"finish_reason": "function_call_filter: MALFORMED_FUNCTION_CALL"}))
    assert reply.error is not None
    assert (reply.error.code, reply.error.status) == ("tool_use_failed", 422)


def test_an_empty_place_among_the_choices_is_none() -> None:
    """A null beside a choice is passed over, and usage within the choice counts where there is none beside it."""
    document = orjson.loads(body(choice={"usage": {"prompt_tokens": 7, "completion_tokens": 3}}))
    del document["usage"]
    document["choices"].insert(0, None)
    reply = read_reply("chat/completions", orjson.dumps(document))
    assert (reply.text, reply.usage) == ("Paris", {"prompt_tokens": 7, "completion_tokens": 3})


def test_broken_off_by_the_server() -> None:
    """Promise 5: a finish_reason of `error` or `abort` is an error, not an answer."""
    for reason in ("error", "abort"):
        reply = read_reply("chat/completions", body(choice={"finish_reason": reason}))
        assert reply.error is not None
        assert reply.error.status == 500


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 600) | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(
                [
                    "error",
                    "message",
                    "choices",
                    "detail",
                    "object",
                    "code",
                    "data",
                    "embedding",
                    "finish_reason",
                    "content",
                    "delta",
                    "tool_calls",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(JSON, st.sampled_from(["chat/completions", "completions", "embeddings"]))
def test_any_json_is_survived(document: Any, api: Any) -> None:
    """Fault 9: no JSON breaks the reading: it is a reply, or a ReplyFormatError and nothing else."""
    with contextlib.suppress(ReplyFormatError):
        read_reply(api, orjson.dumps(document))


@pytest.mark.parametrize("body", [b'{"object": "error", "message": "\xed\xa0\x80 x", "code": 4', b'{"error": {"message": "\\ud800 x'])
def test_half_a_character_in_an_error_is_text_that_can_be_kept(body: bytes) -> None:
    """A lone surrogate in an error whose JSON is cut or broken: the message is text that every JSON parser reads again."""
    found = error_in_cut(body)
    assert found is not None
    assert found.message.endswith(" x")
    found.message.encode()
