"""A chat becomes a request of the Responses API."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from batch.prompts import RequestBuilder
from batch.prompts.schemas import mending
from batch.providers.responses_requests import response_request
from batch.settings.files import FileSettings
from tests.support.files import row, variant

CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}


def test_a_chat_in_the_form_of_responses() -> None:
    """The first system message is instructions; texts, pictures, calls and their results are items; parameters have their new places."""
    chat: dict[str, Any] = {
        "model": "m",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "image_url", "image_url": {"url": "u", "detail": "low"}}]},
            {"role": "assistant", "content": None, "tool_calls": [CALL]},
            {"role": "tool", "tool_call_id": "c1", "content": "7"},
            {"role": "assistant", "content": [{"type": "text", "text": "b"}]},
        ],
        "max_completion_tokens": 9,
        "temperature": 0,
        "seed": 1,
        "reasoning_effort": "low",
        "verbosity": "low",
        "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}, "strict": True}},
        "tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}],
        "tool_choice": {"type": "function", "function": {"name": "f"}},
    }
    assert response_request(chat) == {
        "model": "m",
        "instructions": "Be brief.",
        "input": [
            {"role": "user", "content": [{"type": "input_text", "text": "a"}, {"type": "input_image", "image_url": "u", "detail": "low"}]},
            {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c1", "output": "7"},
            {"role": "assistant", "content": [{"type": "output_text", "text": "b"}]},
        ],
        "max_output_tokens": 9,
        "temperature": 0,
        "reasoning": {"effort": "low"},
        "text": {"verbosity": "low", "format": {"type": "json_schema", "name": "n", "schema": {"type": "object"}, "strict": True}},
        "tools": [{"type": "function", "name": "f", "parameters": {}}],
        "tool_choice": {"type": "function", "name": "f"},
    }


@pytest.mark.parametrize("messages", [["x"], [{"role": "chair", "content": "x"}], [{"role": "assistant", "tool_calls": [3]}]])
def test_what_has_no_counterpart_is_refused(messages: list[Any]) -> None:
    """Messages that the API has no item for raise ValueError, which fails their row."""
    with pytest.raises(ValueError, match=r"message|role|call"):
        response_request({"messages": messages})


def test_a_prompt_makes_requests_of_responses() -> None:
    """Templates, schemas and limits go into the API's own members, and streaming asks for no usage."""
    made = variant({"max_tokens": 5}, api="responses", system="s", user="{{ q }}", schema={"type": "object"}, attached=FileSettings())
    request = RequestBuilder(made, True).build(row(q="é"))
    assert request.api == "responses"
    assert orjson.loads(request.body) == {
        "model": "m",
        "instructions": "s",
        "input": [{"role": "user", "content": "é"}],
        "max_output_tokens": 5,
        "text": {"format": {"type": "json_schema", "name": "answer", "schema": {"type": "object"}}},
        "stream": True,
    }
    assert request.key == RequestBuilder(made, False).build(row(q="é")).key
    mended = orjson.loads(mending(request, "no", "it is no JSON", {"type": "object"}).body)
    assert [item["role"] for item in mended["input"]] == ["user", "assistant", "user"]
