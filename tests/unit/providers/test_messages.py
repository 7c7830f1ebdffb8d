"""Chats of the OpenAI protocol as requests of Anthropic's Messages API, and its replies as those of a chat."""

from __future__ import annotations

import json
from typing import Any

import pytest

from batch.providers.messages_replies import read_message
from batch.providers.messages_requests import DEFAULT_MAX_TOKENS, message_request
from batch.providers.replies import ReplyFormatError, api_of
from batch.transport.messages_stream import MessageAssembler


def request(*messages: Any, **parameters: Any) -> dict[str, Any]:
    """The request of a chat."""
    return message_request({"model": "m", "messages": list(messages), **parameters})


def test_system_prompts_stand_apart() -> None:
    """System and developer messages become the system prompt, as blocks where they have cache_control."""
    user = {"role": "user", "content": "hi"}
    made = request({"role": "system", "content": "a"}, {"role": "developer", "content": "b"}, user)
    assert (made["system"], made["messages"]) == ("a\n\nb", [user])
    block = {"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}}
    assert request({"role": "system", "content": [block]}, user)["system"] == [block]
    assert "system" not in request(user)


def test_a_limit_is_always_sent() -> None:
    """max_tokens, or max_completion_tokens, or a default, since the API demands one."""
    user = {"role": "user", "content": "hi"}
    limits = [request(user, **given)["max_tokens"] for given in ({"max_tokens": 5}, {"max_completion_tokens": 6}, {})]
    assert limits == [5, 6, DEFAULT_MAX_TOKENS]


def test_tools_and_their_results() -> None:
    """Tools, calls and results in the API's forms; results of several calls are one turn."""
    call = {"id": "t1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
    other = {"id": "t2", "type": "function", "function": {"name": "g", "arguments": ""}}
    made = request(
        {"role": "user", "content": "go"},
        {"role": "assistant", "content": "well", "tool_calls": [call, other]},
        {"role": "tool", "tool_call_id": "t1", "content": "1"},
        {"role": "tool", "tool_call_id": "t2", "content": "2"},
        tools=[{"type": "function", "function": {"name": "f", "description": "d", "parameters": {"type": "object"}}}],
        tool_choice="required",
        parallel_tool_calls=False,
        stop="END",
        user="u7",
    )
    assert made["tools"] == [{"name": "f", "input_schema": {"type": "object"}, "description": "d"}]
    assert made["tool_choice"] == {"type": "any", "disable_parallel_tool_use": True}
    assert (made["stop_sequences"], made["metadata"]) == (["END"], {"user_id": "u7"})
    said, results = made["messages"][1:]
    assert said["content"][1] == {"type": "tool_use", "id": "t1", "name": "f", "input": {"a": 1}}
    assert [block["tool_use_id"] for block in results["content"]] == ["t1", "t2"]
    assert not {"stop", "user", "parallel_tool_calls"} & set(made)


def test_pictures_and_documents() -> None:
    """Data URLs become base64 sources, others URLs; blocks of the API's own stay; cache_control beside a part stays."""
    parts = [
        {"type": "text", "text": "see"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,QUJD"}, "cache_control": {"type": "ephemeral"}},
        {"type": "image_url", "image_url": {"url": "https://x.invalid/a.png"}},
        {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,QQ=="}},
        {"type": "thinking", "thinking": "t", "signature": "s"},
    ]
    blocks = request({"role": "user", "content": parts})["messages"][0]["content"]
    assert blocks[1]["source"] == {"type": "base64", "media_type": "image/png", "data": "QUJD"}
    assert blocks[1]["cache_control"] == {"type": "ephemeral"}
    assert blocks[2]["source"] == {"type": "url", "url": "https://x.invalid/a.png"}
    assert (blocks[3]["type"], blocks[3]["title"]) == ("document", "a.pdf")
    assert blocks[4] == parts[4]


def test_a_schema_goes_into_output_config() -> None:
    """response_format with a JSON Schema is asked for in the API's form, beside other settings of the output."""
    wanted = {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}}}
    made = request({"role": "user", "content": "x"}, response_format=wanted, output_config={"effort": "low"}, thinking={"type": "enabled"})
    assert made["output_config"] == {"effort": "low", "format": {"type": "json_schema", "schema": {"type": "object"}}}
    assert made["thinking"] == {"type": "enabled"}
    assert "response_format" not in made


@pytest.mark.parametrize(
    "message", [3, {"role": "alien", "content": "x"}, {"role": "user", "content": 7}, {"role": "user", "content": [3]}]
)
def test_what_has_no_counterpart_is_refused(message: Any) -> None:
    """Each with a sentence, never another exception."""
    with pytest.raises(ValueError, match=r"message|role|part|content"):
        request(message)


MESSAGE = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "m",
    "content": [
        {"type": "thinking", "thinking": "hm", "signature": "s"},
        {"type": "text", "text": "one "},
        {"type": "text", "text": "two"},
        {"type": "tool_use", "id": "t1", "name": "f", "input": {"a": 1}},
    ],
    "stop_reason": "tool_use",
    "stop_sequence": None,
    "usage": {"input_tokens": 10, "cache_read_input_tokens": 4, "cache_creation_input_tokens": 6, "output_tokens": 3},
}


def test_messages_are_read_as_chats() -> None:
    """Texts joined, thinking as reasoning, calls with their arguments as JSON; all prompt tokens counted, the cached ones apart."""
    reply = read_message(dict(MESSAGE))
    assert (reply.text, reply.reasoning, reply.finish_reason) == ("one two", "hm", "tool_calls")
    assert reply.tool_calls is not None
    assert json.loads(reply.tool_calls[0]["function"]["arguments"]) == {"a": 1}
    assert reply.usage is not None
    assert (reply.usage["prompt_tokens"], reply.usage["completion_tokens"]) == (20, 3)
    assert reply.usage["prompt_tokens_details"] == {"cached_tokens": 4, "cache_write_tokens": 6}
    assert api_of(MESSAGE) == "messages"


@pytest.mark.parametrize(
    ("reason", "read"),
    [
        ("end_turn", "stop"),
        ("max_tokens", "length"),
        ("stop_sequence", "stop"),
        ("refusal", "content_filter"),
        ("pause_turn", "pause_turn"),
    ],
)
def test_stop_reasons(reason: str, read: str) -> None:
    """Each in the protocol's own word; an unknown one as it is."""
    assert read_message({**MESSAGE, "stop_reason": reason}).finish_reason == read


@pytest.mark.parametrize(
    ("change", "code"), [({"content": None}, "no_choices"), ({"content": [3]}, "no_choices"), ({"stop_reason": None}, "truncated_body")]
)
def test_half_messages_are_no_answers(change: dict[str, Any], code: str) -> None:
    """A message without content or an ending is not taken for one."""
    with pytest.raises(ReplyFormatError) as error:
        read_message({**MESSAGE, **change})
    assert error.value.code == code


def test_a_stream_is_assembled_into_the_plain_message() -> None:
    """The events of a message with thinking, text and a call, in pieces, give the body of the plain reply."""
    assembler = MessageAssembler()
    begun = {**MESSAGE, "content": [], "stop_reason": None, "usage": {**MESSAGE["usage"], "output_tokens": 1}}  # type: ignore[dict-item]
    assembler.add({"type": "message_start", "message": begun})
    starts = [{"type": "thinking", "thinking": "", "signature": ""}, {"type": "text", "text": ""}, {"type": "text", "text": ""}]
    starts.append({"type": "tool_use", "id": "t1", "name": "f", "input": {}})
    deltas = [
        [{"type": "thinking_delta", "thinking": "hm"}, {"type": "signature_delta", "signature": "s"}],
        [{"type": "text_delta", "text": "one"}, {"type": "text_delta", "text": " "}],
        [{"type": "text_delta", "text": "two"}],
        [{"type": "input_json_delta", "partial_json": '{"a"'}, {"type": "input_json_delta", "partial_json": ": 1}"}],
    ]
    for index, (start, of_block) in enumerate(zip(starts, deltas, strict=True)):
        assembler.add({"type": "content_block_start", "index": index, "content_block": start})
        for delta in of_block:
            assembler.add({"type": "content_block_delta", "index": index, "delta": delta})
        assembler.add({"type": "content_block_stop", "index": index})
    assert not assembler.finished
    assembler.add({"type": "message_delta", "delta": {"stop_reason": "tool_use", "stop_sequence": None}, "usage": {"output_tokens": 3}})
    assert assembler.finished
    assert json.loads(assembler.body()) == MESSAGE
