"""Chats from the job and from columns."""

from __future__ import annotations

import json
from typing import Any

import pytest

from batch.errors import RowError
from batch.prompts import RequestBuilder
from tests.support.files import body, row, variant

CHAT: list[dict[str, Any]] = [
    {
        "role": "user",
        "content": [{"type": "text", "text": "{{ what }}"}, {"type": "image_url", "image_url": {"url": "file:///etc/passwd"}}],
    },
    {"role": "assistant", "content": None, "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
    {"role": "tool", "tool_call_id": "c1", "content": "42", "name": None, "own_key": {"n": 2**70, "x": [None]}},
]
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"properties": {"a": {"default": None}}}}}


def test_system_and_user_become_messages() -> None:
    """The two texts of the job make a chat of two messages."""
    got = body(variant(system="Be brief.", user="{{ q }}?"), row(q="Who"))
    assert got["messages"] == [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Who?"}]
    assert body(variant(user="{{ q }}?"), row(q="Who"))["messages"] == [{"role": "user", "content": "Who?"}]


def test_every_string_of_the_jobs_messages_is_a_template() -> None:
    """Also in content parts; numbers, keys and booleans stay."""
    messages = (
        {
            "role": "{{ r }}",
            "content": [
                {"type": "text", "text": "{{ q }}"},
                {"type": "image_url", "image_url": {"url": "{{ u }}", "n": 1, "{{ k }}": True}},
            ],
        },
        {"role": "user", "content": "x"},
    )
    got = body(variant(messages=messages), row(r="user", q="{{ q }}", u="data:,"))
    assert got["messages"] == [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "{{ q }}"},
                {"type": "image_url", "image_url": {"url": "data:,", "n": 1, "{{ k }}": True}},
            ],
        },
        {"role": "user", "content": "x"},
    ]


@pytest.mark.parametrize("stored", [CHAT, json.dumps(CHAT)])
def test_a_stored_chat_passes_through_as_it_is(stored: Any) -> None:
    """Images, tool calls, nulls, unknown keys and large integers stay; nothing is a template or fetched (fault 54)."""
    request = RequestBuilder(variant(messages="chat"), False).build(row(chat=stored))
    assert json.loads(request.body)["messages"] == CHAT


def test_nulls_that_parquet_adds_are_dropped() -> None:
    """A struct's absent fields are not sent as null; an answer's null content is (fault 53)."""
    chat = [
        {"role": "user", "content": "a", "tool_calls": None, "name": None},
        {"role": "assistant", "content": None, "tool_calls": [{"id": "1", "index": None}], "name": None},
    ]
    tools = [{"type": "function", "function": {"name": "f", "strict": None}}]
    got = body(variant(messages="chat", tools="tools"), row(padded=True, chat=chat, tools=tools))
    assert got["messages"] == [{"role": "user", "content": "a"}, {"role": "assistant", "content": None, "tool_calls": [{"id": "1"}]}]
    assert got["tools"] == [{"type": "function", "function": {"name": "f"}}]


@pytest.mark.parametrize(("role", "count"), [("user", 2), ("system", 1), ("developer", 1)])
def test_system_is_put_in_front_of_a_chat_that_has_none(role: str, count: int) -> None:
    """The job's system text is for chats without one of their own."""
    got = body(variant(messages="chat", system="Be {{ how }}."), row(chat=[{"role": role, "content": "x"}], how="brief"))
    assert len(got["messages"]) == count
    if count == 2:
        assert got["messages"][0] == {"role": "system", "content": "Be brief."}


@pytest.mark.parametrize(
    ("chat", "says"),
    [
        ([], "an empty chat"),
        ("hello", "not a JSON list"),
        ("[NaN]", "NaN is not JSON"),
        ('{"role": "user"}', "must hold a list, not dict"),
        ("[" * 100_000, "not a JSON list"),
        (7, "must hold a list, not int"),
        (None, "must hold a list, not NoneType"),
        (["hello"], "message 1 in the column 'chat' is not an object with a role"),
        ([{"role": "user"}, {"content": "x"}], "message 2 .* with a role"),
        ([{"role": None}], "message 1 .* with a role"),
        ([{"role": "user", "content": b"x"}], "cannot be sent as JSON: a value of type bytes"),
        ([{"role": "user", "content": "\ud800"}], "cannot be sent as JSON: .*surrogates"),
    ],
)
def test_what_is_no_chat_is_the_rows_error(chat: Any, says: str) -> None:
    """A column that holds no list of messages fails its row, with what is wrong (faults 50 and 51)."""
    with pytest.raises(RowError, match=rf"countries\.jsonl:17 \(id FR\): .*{says}") as caught:
        body(variant(messages="chat"), row(chat=chat))
    assert caught.value.code == "bad_messages"


def test_a_missing_chat_column_is_named() -> None:
    """A wrong column name is told like in a template."""
    with pytest.raises(RowError, match=r"needs the column 'chats' \(did you mean 'chat'") as caught:
        body(variant(messages="chats"), row(chat=[]))
    assert caught.value.code == "missing_column"


def test_tools_pass_through_or_are_not_sent() -> None:
    """A row's tools go as they are; rows without them send none, or those of the parameters."""
    with_column = variant(user="x", tools="tools")
    assert body(with_column, row(tools=[TOOL]))["tools"] == [TOOL]
    for absent in (row(), row(tools=None), row(tools=[]), *(row(tools=null) for null in ("", " ", "null", "None", "NaN", "[]"))):
        assert "tools" not in body(with_column, absent)
    with_default = variant({"tools": [{"type": "x"}]}, user="x", tools="tools")
    assert body(with_default, row())["tools"] == [{"type": "x"}]
    assert body(with_default, row(tools=[TOOL]))["tools"] == [TOOL]
    with pytest.raises(RowError, match="must hold a list of tools"):
        body(with_column, row(tools=["f"]))
