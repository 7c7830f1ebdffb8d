"""What prompts begin with: marks for caches, and constant text that stands too late."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from batch.prompts import RequestBuilder
from batch.prompts.prefixes import late_constant
from batch.settings import PromptSettings
from tests.support.files import row, variant
from tests.support.jobs import JobFolder

MARK = {"cache_control": {"type": "ephemeral"}}
TAKES = {"cache_marks": ("chat/completions", "messages")}


def messages(prompt: dict[str, Any], provider: dict[str, Any] | None = None, **columns: Any) -> Any:
    """The messages that are sent for a row, of a prompt with cache = true."""
    made = variant(None, TAKES if provider is None else provider, **prompt, cache=True)
    return orjson.loads(RequestBuilder(made, False).build(row(**columns)).body)["messages"]


def test_the_constant_beginning_is_marked() -> None:
    """The last message of the constant beginning gets the mark, and nothing else is changed."""
    assert messages({"system": "rules", "user": "{{ q }}"}, q="x") == [
        {"role": "system", "content": [{"type": "text", "text": "rules", **MARK}]},
        {"role": "user", "content": "x"},
    ]
    shots = [{"role": "system", "content": "s"}, {"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    found = messages({"messages": (*shots, {"role": "user", "content": "{{ q }}"})}, q="x")
    assert found[:2] == shots[:2]
    assert found[2] == {"role": "assistant", "content": [{"type": "text", "text": "b", **MARK}]}


def test_where_nothing_is_constant_or_no_mark_is_taken_none_is_set() -> None:
    """A varying system message, a stored chat's own one, and providers that cache by themselves get no mark."""
    assert "cache_control" not in str(messages({"system": "{{ q }}", "user": "{{ q }}"}, q="x"))
    assert "cache_control" not in str(messages({"system": "s", "user": "{{ q }}"}, {}, q="x"))
    stored = [{"role": "user", "content": "x"}]
    assert messages({"system": "s", "messages": "chat"}, chat=stored)[0]["content"][0] == {"type": "text", "text": "s", **MARK}


def test_marks_in_the_messages_api() -> None:
    """Anthropic's system prompt becomes a block with the mark."""
    made = variant(None, TAKES, api="messages", system="s", user="{{ q }}", cache=True)
    body = orjson.loads(RequestBuilder(made, False).build(row(q="x")).body)
    assert body["system"] == [{"type": "text", "text": "s", **MARK}]


@pytest.mark.parametrize(
    ("prompt", "late"),
    [
        ({"system": "c" * 50, "user": "{{ q }}"}, 0),
        ({"user": "{{ q }}" + "c" * 50}, 50),
        ({"user": "ccc{{ q }}" + "c" * 50 + "{{ r }}cc"}, 50),
        ({"system": "{{ q }}", "user": "c" * 50 + "{{ q }}"}, 50),
        ({"system": "s", "messages": "chat"}, 0),
    ],
)
def test_constant_text_behind_a_varying_part_is_found(prompt: dict[str, Any], late: int) -> None:
    """The longest constant piece after the first varying one counts, over all messages."""
    assert late_constant(PromptSettings(**prompt)) == late


def test_plan_warns_of_it(tmp_path: Any) -> None:
    """`plan` says that no cache can reuse a long constant text behind a varying part."""
    folder = JobFolder(tmp_path, "http://127.0.0.1:9", rows=3, user="{{ text }}" + " rule" * 600)
    shown = " ".join(folder.call("plan", "test.toml").stdout.split())
    assert "a part that varies by row stands before 3,000 characters that are the same for all rows" in shown
    folder.write(user="rule " * 600 + "{{ text }}")
    assert "varies by row" not in " ".join(folder.call("plan", "test.toml").stdout.split())
