"""Request bodies and their keys."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any

import pytest

from batch.errors import InputError, RowError
from batch.prompts import RequestBuilder
from batch.settings.embedded import EmbeddedModelSettings
from tests.support.files import body, row, variant


def key(stream: bool = False, **settings: Any) -> bytes:
    """The key of a request with these settings."""
    return RequestBuilder(variant(**{"user": "{{ q }}", **settings}), stream).build(row(q="x")).key


def test_the_bodies_of_the_three_apis() -> None:
    """Each API gets its own field, the model and the parameters."""
    parameters = {"temperature": 0, "stop": ["\n"], "guided_json": {"b": 1, "a": None}}
    assert body(variant(parameters, user="{{ q }}", model="mistralai/M"), row(q="é")) == {
        "model": "mistralai/M", "messages": [{"role": "user", "content": "é"}], **parameters
    }  # fmt: skip
    assert body(variant(parameters, api="completions", text="{{ q }}"), row(q="x")) == {"model": "m", "prompt": "x", **parameters}
    assert body(variant(api="embeddings", text="{{ q }}"), row(q="x")) == {"model": "m", "input": "x"}


def test_the_body_and_the_key_are_stable() -> None:
    """Another encoding would make every finished row of every run look changed (promise 9)."""
    request = RequestBuilder(variant({"top_p": 0.9, "max_tokens": 5}, system="s", user="{{ q }}"), False).build(row(q="é"))
    assert request.body.decode() == (
        '{"model":"m","messages":[{"role":"system","content":"s"},{"role":"user","content":"é"}],"max_tokens":5,"top_p":0.9}'
    )
    assert request.key.hex() == "797114e6dcd816f5457a5b22f8974c48"


def test_the_key_follows_all_that_decides_the_answer() -> None:
    """Provider, API, model, parameters and text change the key; the order of parameters and the address do not (promise 9, fault 46)."""
    keys = [
        key(),
        key(model="n"),
        key(user="{{ q }}!"),
        key(parameters={"temperature": 0}),
        key(parameters={"temperature": 1}),
        key(provider={"name": "other"}),
        key(api="completions", text="{{ q }}"),
        key(api="embeddings", text="{{ q }}"),
        key(provider={"embedded": EmbeddedModelSettings(model_path="/m.gguf")}),
        key(provider={"embedded": EmbeddedModelSettings(chat_template="/m.gguf")}),
    ]
    assert len(set(keys)) == len(keys)
    assert {len(one) for one in keys} == {16}
    assert key(parameters={"a": 1, "b": 2}) == key(parameters={"b": 2, "a": 1})
    assert key(provider={"base_url": "http://elsewhere/v1"}) == key()


def test_streaming_is_asked_for_but_is_no_part_of_the_key() -> None:
    """A run can go on streamed or plain (promise 9)."""
    got = body(variant(user="x"), row(), stream=True)
    assert got["stream"] is True
    assert got["stream_options"] == {"include_usage": True}
    assert "stream_options" not in body(variant(user="x", provider={"stream_usage": False}), row(), stream=True)
    assert "stream" not in body(variant(api="embeddings", text="x"), row(), stream=True)
    assert key(stream=True) == key()


def test_stream_among_the_parameters_does_not_decide() -> None:
    """[run] stream decides alone; options of the user's own are kept when streaming and never sent otherwise."""
    own = {"stream": True, "stream_options": {"continuous_usage_stats": True}}
    assert body(variant(own, user="x"), row()).keys() == {"model", "messages"}
    got = body(variant({**own, "stream": False}, user="x"), row(), stream=True)
    assert got["stream"] is True
    assert got["stream_options"] == {"include_usage": True, "continuous_usage_stats": True}
    assert key(parameters=own) == key()


def test_parameters_take_the_providers_names() -> None:
    """`renames` maps the job's names to the provider's."""
    got = body(variant({"max_tokens": 5}, {"renames": {"max_tokens": "max_completion_tokens"}}, user="x"), row())
    assert got["max_completion_tokens"] == 5
    assert "max_tokens" not in got


@pytest.mark.parametrize(
    ("parameters", "says"),
    [
        ({"messages": []}, "'messages' is made by promptmill"),
        ({"model": "x"}, "'model' is made"),
        ({"temperature": math.nan}, "JSON"),
        ({"a": {1, 2}}, "JSON"),
    ],
)
def test_parameters_that_cannot_be_sent_are_refused(parameters: dict[str, Any], says: str) -> None:
    """A field given twice or a number that JSON has not would fail every row, so it is told at once (fault 51)."""
    with pytest.raises(InputError, match=says):
        RequestBuilder(variant(parameters, user="x"), False)


def test_a_prompt_without_text_is_refused() -> None:
    """What the API needs must be there."""
    for api in ("chat/completions", "completions", "embeddings"):
        with pytest.raises(ValueError, match="need"):
            RequestBuilder(variant(api=api), False)


# Python 3.13 takes 5,000 levels.
@pytest.mark.parametrize("deep", [300, 100_000])
def test_what_orjson_refuses_is_still_sent(deep: int) -> None:
    """Large integers, decimals and deep nesting in a stored chat go out exactly, as JSON (fault 51)."""
    nested: Any = {"n": 2**70, "d": Decimal("1.20")}
    for _ in range(deep):
        nested = [nested]
    chat = [{"role": "user", "content": "\0", "x": nested}]
    if deep > 500:
        with pytest.raises(RowError, match="cannot be sent as JSON") as caught:
            RequestBuilder(variant(messages="chat"), False).build(row(chat=chat))
        assert caught.value.code == "bad_messages"
    else:
        sent = RequestBuilder(variant(messages="chat"), False).build(row(chat=chat)).body
        assert b'{"n":1180591620717411303424,"d":"1.20"}' in sent
