"""Tests of the events that are read by the bytes that stay the same: the answer is the one that parsing each event gives."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch.transport.decoding import UnreadableError
from batch.transport.stream_reader import StreamReader

_TEXTS = st.one_of(st.text(max_size=6), st.sampled_from(["a", '"', ",", "\\", "0", "c1", "stop", '","', "\n", "é", "\U0001f600"]))
_DELTAS = st.one_of(
    st.builds(lambda text: {"content": text}, _TEXTS),
    st.builds(lambda text: {"role": "assistant", "content": text, "reasoning_content": None}, _TEXTS),
    st.builds(lambda text: {"reasoning_content": text}, _TEXTS),
    st.builds(lambda text: {"content": text, "reasoning": text}, _TEXTS),
    st.builds(lambda text: {"content": [{"type": "text", "text": text}]}, _TEXTS),
    st.builds(lambda text: {"tool_calls": [{"index": 0, "id": "t", "function": {"name": "f", "arguments": text}}]}, _TEXTS),
)
_CHOICES = st.builds(
    lambda index, delta, more: {"index": index, "delta": delta, "finish_reason": None, **more},
    st.sampled_from([0, 0, 0, 1]),
    _DELTAS,
    st.sampled_from([{}, {}, {"logprobs": {"content": [1]}}, {"filter": {"hate": False}}, {"token_ids": [7]}]),
)
_EVENTS = st.builds(
    lambda id_, choices, usage: {"id": id_, "choices": choices, **usage},
    st.sampled_from(["c1", "c1", "c1", "c2", "a"]),
    st.one_of(st.lists(_CHOICES, min_size=1, max_size=1), st.lists(st.one_of(_CHOICES, _CHOICES, st.none()), max_size=2)),
    st.sampled_from([{}, {}, {}, {"usage": None}, {"usage": {"prompt_tokens": 1}}]),
)
_END = [{"id": "c1", "choices": [{"index": index, "delta": {}, "finish_reason": "stop"} for index in range(2)]}]


def _wire(documents: list[dict[str, Any]], *, escaped: bool = False) -> bytes:
    return b"".join(b"data: " + json.dumps(each, ensure_ascii=escaped).encode() + b"\n\n" for each in documents)


def _read(data: bytes, *, parsed: bool) -> tuple[bytes | str, int]:
    """The body of a stream. `parsed`: each event is, since its chunk is wanted."""
    reader = StreamReader("chat/completions", (lambda _: None) if parsed else None, lambda: 0.0)
    try:
        reader.feed(data)
        reader.end()
    except UnreadableError as error:
        return f"{error.code}: {error}", reader.size
    return (reader.body() if reader.complete else repr((reader.error, reader.incomplete()))), reader.size


@given(st.lists(_EVENTS, max_size=12), st.booleans())
def test_answer_is_that_of_parsed_events(documents: list[dict[str, Any]], escaped: bool) -> None:
    """Whatever the events add, and however texts are spelled, the answer is the same as when each event is parsed."""
    data = _wire([*documents, *_END], escaped=escaped)
    assert _read(data, parsed=False) == _read(data, parsed=True)


@given(st.binary(max_size=8))
def test_bytes_in_place_of_the_text_are_read_as_when_parsed(text: bytes) -> None:
    """Bytes that are no text of JSON, or end it early, are refused or read just as in an event that is parsed."""
    events = _wire([{"id": "c1", "choices": [{"index": 0, "delta": {"content": word}}]} for word in ("one", "two", "TEXT")])
    data = events.replace(b"TEXT", text) + _wire(_END)
    assert _read(data, parsed=False) == _read(data, parsed=True)


@pytest.mark.parametrize(
    "odd", [b'data: {"error": {"message": "m"}}\n\n', b'data: {"id": "c1"}\ndata: {"id": "c2"}\n\n', b"data: 1\n\n", b": p\n\n"]
)
def test_events_of_another_kind_between_texts_count_as_when_parsed(odd: bytes) -> None:
    """An error, several documents in one event, a value that is no chunk, and a comment have the same effect between two texts."""
    texts = _wire([{"id": "c1", "choices": [{"index": 0, "delta": {"content": word}}]} for word in ("one", "two", "three")])
    data = texts + odd + texts + _wire(_END)
    assert _read(data, parsed=False) == _read(data, parsed=True)
