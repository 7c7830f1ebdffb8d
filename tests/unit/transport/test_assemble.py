"""Stream chunks put together into the plain reply."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from batch.providers.replies import ReplyFormatError, read_reply
from batch.records import Chunk
from batch.transport.assemble import Assembler
from tests.support.scripted import chat_body
from tests.support.streams import delta, usage_chunk

Chunks = list[dict[str, Any]]


def assembled(chunks: Chunks) -> dict[str, Any]:
    assembler = Assembler("chat/completions")
    for chunk in chunks:
        assembler.add(chunk)
    document: dict[str, Any] = orjson.loads(assembler.body())
    return document


def call(index: int | None, arguments: str | None = None, *, id_: str | None = None, name: str | None = None) -> dict[str, Any]:
    """One chunk with one tool-call delta."""
    function = {key: value for key, value in (("name", name), ("arguments", arguments)) if value is not None}
    parts = {"index": index, "id": id_, "function": function}
    return delta(tool_calls=[{key: value for key, value in parts.items() if value is not None}])


def test_text_is_the_plain_reply() -> None:
    """A stream amounts to the very body that the plain reply would have had."""
    chunks = [delta(role="assistant", content=""), delta(content="Pa"), delta(content="ris"), delta("stop"), usage_chunk()]
    assert assembled(chunks) == orjson.loads(chat_body("Paris"))


def test_usage_that_stands_in_groqs_own_member() -> None:
    """It counts where the stream has no other."""
    last = {
        **delta("stop"),
        "x_groq": {"id": "req_1", "usage": {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4, "queue_time": 0.1}},
    }
    assert assembled([delta(content="Paris"), last])["usage"]["total_tokens"] == 4
    assert assembled([delta(content="Paris"), last, usage_chunk(1, 2)])["usage"]["total_tokens"] == 3
    assert "usage" not in assembled([delta(content="Paris"), {**delta("stop"), "x_groq": {"id": "req_1", "usage": "none"}}])


def test_chunks_tell_what_they_add() -> None:
    """Each chunk says what it adds: text, reasoning, tool-call deltas, the finish, the usage."""
    assembler = Assembler("chat/completions")
    tool = {"index": 0, "id": "a", "function": {"name": "f", "arguments": ""}}
    added = [
        assembler.add(chunk)
        for chunk in (
            delta(role="assistant", content=""),
            delta(reasoning_content="hm"),
            delta(content="a"),
            delta(tool_calls=[tool]),
            delta("stop"),
        )
    ]
    assert added == [Chunk(), Chunk(reasoning="hm"), Chunk(text="a"), Chunk(tool_calls=(tool,)), Chunk(finish_reason="stop")]
    assert assembler.add(usage_chunk(1, 2)).usage == {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
    assert assembler.finished


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning"])
def test_reasoning_is_kept_under_its_own_name(name: str) -> None:
    """`reasoning_content` and `reasoning` are both kept."""
    document = assembled([delta(**{name: "h"}), delta(**{name: "m", "content": None}), delta(content="x"), delta("stop")])
    assert document["choices"][0]["message"] == {"role": "assistant", name: "hm", "content": "x"}
    assert read_reply("chat/completions", orjson.dumps(document)).reasoning == "hm"


TWO = [("a", "f", '{"x":1}'), ("b", "g", '{"y":2}')]

TOOL_STREAMS: dict[str, Chunks] = {
    "in turn": [call(0, "", id_="a", name="f"), call(0, '{"x":'), call(0, "1}"), call(1, "", id_="b", name="g"), call(1, '{"y":2}')],
    "interleaved": [
        call(0, "", id_="a", name="f"),
        call(1, "", id_="b", name="g"),
        call(0, '{"x"'),
        call(1, '{"y"'),
        call(1, ":2}"),
        call(0, ":1}"),
    ],
    "second first": [call(1, '{"y":2}', id_="b", name="g"), call(0, '{"x":1}', id_="a", name="f")],
    "without index, whole": [call(None, '{"x":1}', id_="a", name="f"), call(None, '{"y":2}', id_="b", name="g")],
    "without index, in pieces": [
        call(None, "", id_="a", name="f"),
        call(None, '{"x":'),
        call(None, "1}"),
        call(None, "", id_="b", name="g"),
        call(None, '{"y":2}'),
    ],
    "without index, interleaved by id": [
        call(None, '{"x":', id_="a", name="f"),
        call(None, '{"y":', id_="b", name="g"),
        call(None, "1}", id_="a"),
        call(None, "2}", id_="b"),
    ],
    "the same index for all (Gemini)": [call(0, '{"x":1}', id_="a", name="f"), call(0, '{"y":2}', id_="b", name="g")],
    "name and id repeated": [
        call(0, '{"x":', id_="a", name="f"),
        call(0, "1}", id_="a", name="f"),
        call(1, '{"y":2}', id_="b", name="g"),
    ],
    "a new id for each delta (vLLM, old)": [
        call(0, "", id_="a", name="f"),
        call(0, '{"x":1}', id_="a2"),
        call(1, "", id_="b", name="g"),
        call(1, '{"y":2}', id_="b2"),
    ],
}


@pytest.mark.parametrize("kind", TOOL_STREAMS)
def test_tool_calls(kind: str) -> None:
    """Fault 26: tool-call deltas join by index, or by id where there is none."""
    message = assembled([*TOOL_STREAMS[kind], delta("tool_calls")])["choices"][0]["message"]
    assert [(c["id"], c["function"]["name"], c["function"]["arguments"]) for c in message["tool_calls"]] == TWO
    assert {c["type"] for c in message["tool_calls"]} == {"function"}
    assert message["content"] is None


def test_tool_calls_that_cannot_be_told_apart() -> None:
    """Fault 26: interleaved deltas with neither index nor id are an error for the row, never a wrong answer."""
    chunks = [call(None, '{"x":', name="f"), call(None, '{"y":', name="g"), call(None, "1}"), call(None, "2}"), delta("tool_calls")]
    with pytest.raises(ReplyFormatError, match="cannot be distinguished"):
        assembled(chunks)


SAME_INDEX: dict[str, tuple[Chunks, list[tuple[str, str]]]] = {
    "empty ids": (
        [call(0, '{"x":1}', id_="", name="f"), call(0, '{"y":2}', id_="", name="g")],
        [("f", '{"x":1}'), ("g", '{"y":2}')],
    ),
    "null ids": ([call(0, '{"x":1}', name="f"), call(0, '{"y":2}', name="g")], [("f", '{"x":1}'), ("g", '{"y":2}')]),
    "one name, twice": ([call(0, '{"x":1}', name="f"), call(0, '{"x":2}', name="f")], [("f", '{"x":1}'), ("f", '{"x":2}')]),
    "in pieces": (
        [call(0, "", name="f"), call(0, '{"x":'), call(0, "1}"), call(0, "", name="g"), call(0, '{"y"'), call(0, ":2}")],
        [("f", '{"x":1}'), ("g", '{"y":2}')],
    ),
    "without arguments": ([call(0, "", name="f"), call(0, "", name="g")], [("f", ""), ("g", "")]),
    "the name in pieces": ([call(0, name="get_"), call(0, name="city"), call(0, '{"x":1}')], [("get_city", '{"x":1}')]),
    "white space after the arguments": ([call(0, '{"x":1}', name="f"), call(0, " \n"), call(0, "")], [("f", '{"x":1} \n')]),
    "braces within": ([call(0, '{"x":{"y":1}', name="f"), call(0, ',"z":{}}')], [("f", '{"x":{"y":1},"z":{}}')]),
}


@pytest.mark.parametrize("kind", SAME_INDEX)
def test_calls_of_one_index_without_ids(kind: str) -> None:
    """Fault 26: a new name, or whole arguments before, begins another call, where ids are empty, null or missing."""
    chunks, expected = SAME_INDEX[kind]
    calls = assembled([*chunks, delta("tool_calls")])["choices"][0]["message"]["tool_calls"]
    assert [(c["function"]["name"], c["function"]["arguments"]) for c in calls] == expected


@pytest.mark.parametrize(
    "chunks",
    [
        [call(0, "", id_="a", name="glob"), call(0, '{"pattern":"*"}', name=""), call(0, '{"path":"x"}', name="")],
        [call(0, '{"x":1}', name="f"), call(0, '"y":2}')],
        [call(0, '{"x":', name="f"), call(0, '{"y":', name="g"), call(0, "1}"), call(0, "2}")],
        [call(0, '{"x":1}{"y":2}', id_="a", name="f")],
    ],
)
def test_calls_that_run_into_each_other(chunks: Chunks) -> None:
    """Fault 26: deltas that make no whole calls of one name each are an error for the row, never a call of two."""
    with pytest.raises(ReplyFormatError, match="cannot be distinguished"):
        assembled([*chunks, delta("tool_calls")])


def test_a_call_that_the_model_itself_got_wrong() -> None:
    """Arguments that are no JSON, of a call that is its own, are the model's: they are kept, as in a plain reply."""
    calls = assembled([call(0, '{"x": ', id_="a", name="f"), delta("tool_calls")])["choices"][0]["message"]["tool_calls"]
    assert calls[0]["function"]["arguments"] == '{"x": '


def test_finish_of_every_choice() -> None:
    """Promise 5: a stream is finished when each of its choices is; no choice is no finish."""
    assembler = Assembler("chat/completions")
    assert not assembler.finished
    assembler.add(delta("stop", index=0, content="a"))
    assembler.add(delta(index=1, content="b"))
    assert not assembler.finished
    assembler.add(delta("stop", index=1))
    assert assembler.finished
    texts = [choice["message"]["content"] for choice in orjson.loads(assembler.body())["choices"]]
    assert texts == ["a", "b"]


def test_completions_and_logprobs() -> None:
    """Streamed completions give their text; logprobs are joined."""
    assembler = Assembler("completions")
    assembler.add({"id": "c", "choices": [{"index": 0, "text": "Pa", "logprobs": {"tokens": ["Pa"]}, "finish_reason": None}]})
    assembler.add({"id": "c", "choices": [{"index": 0, "text": "ris", "logprobs": {"tokens": ["ris"]}, "finish_reason": "stop"}]})
    assert orjson.loads(assembler.body()) == {
        "id": "c",
        "object": "text_completion",
        "choices": [{"index": 0, "text": "Paris", "finish_reason": "stop", "logprobs": {"tokens": ["Pa", "ris"]}}],
    }


def test_what_is_not_understood_is_kept() -> None:
    """Members that promptmill does not know are joined: texts end to end, lists in order, objects by member."""
    chunks = [
        delta(refusal="no", reasoning_details=[{"n": 1}], function_call={"name": "f", "arguments": "{"}),
        delta(refusal="pe", reasoning_details=[{"n": 2}], function_call={"arguments": "}"}),
        delta("stop"),
    ]
    message = assembled(chunks)["choices"][0]["message"]
    assert (message["refusal"], message["reasoning_details"]) == ("nope", [{"n": 1}, {"n": 2}])
    assert message["function_call"] == {"name": "f", "arguments": "{}"}


@pytest.mark.parametrize("chunk", [{"choices": 7}, {"choices": [7]}, {"choices": [{"delta": 7}]}])
def test_what_is_no_chunk(chunk: dict[str, Any]) -> None:
    """Fault 9: an event that is no chunk is a protocol error."""
    with pytest.raises(ReplyFormatError):
        Assembler("chat/completions").add(chunk)
