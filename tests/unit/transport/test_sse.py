"""The decoder of server-sent events, with the specification's own examples as bytes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch.transport.sse import ServerSentEvent, SSEDecoder


def decoded(data: bytes) -> list[tuple[str, bytes, str]]:
    return [(event.event, event.data, event.id) for event in SSEDecoder().feed(data)]


@pytest.mark.parametrize(
    ("stream", "events"),
    [
        # WHATWG HTML, 9.2.6: the five examples of "Interpreting an event stream".
        (b"data: YHOO\ndata: +2\ndata: 10\n\n", [("message", b"YHOO\n+2\n10", "")]),
        (
            b": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n",
            [("message", b"first event", "1"), ("message", b"second event", "")],
        ),
        (b"data\n\ndata\ndata\n\ndata:", [("message", b"", ""), ("message", b"\n", "")]),
        (b"data:test\n\ndata: test\n\n", [("message", b"test", ""), ("message", b"test", "")]),
        (b"event: add\ndata: 73857293\n\nevent: remove\ndata: 2153\n\n", [("add", b"73857293", ""), ("remove", b"2153", "")]),
        # The rest of its rules.
        (b"\xef\xbb\xbfdata: a\n\n", [("message", b"a", "")]),
        (b"\n\xef\xbb\xbfdata: a\n\n", []),
        (b"data: a\r\rdata: b\r\n\r\ndata: c\n\r\n", [("message", b"a", ""), ("message", b"b", ""), ("message", b"c", "")]),
        (b"event: lost\n\ndata: a\n\n", [("message", b"a", "")]),
        (b"id: 1\0\ndata: a\n\n", [("message", b"a", "")]),
        (b"retry: 10\nunknown: x\n:comment\ndata: a\n\n", [("message", b"a", "")]),
        # Line ends of Unicode and of terminals end no line (fault 25).
        ("data: a\u2028b\u0085c\x0bd\x0ce\x1cf\n\n".encode(), [("message", "a\u2028b\u0085c\x0bd\x0ce\x1cf".encode(), "")]),
    ],
)
def test_the_specification(stream: bytes, events: list[tuple[str, bytes, str]]) -> None:
    """What the specification says of each stream."""
    assert decoded(stream) == events


STREAMS = st.lists(
    st.sampled_from(
        [
            b"\xef\xbb\xbf",
            b"\r",
            b"\n",
            b"\r\n",
            b"\n\n",
            b"\r\n\r\n",
            b"data: {}",
            b"data:",
            b"data",
            b"event: x",
            b"id: 1",
            b": c",
            "é😀".encode(),
            b" ",
        ]
    ),
    max_size=30,
).map(b"".join)


@given(STREAMS, st.data())
def test_cut_anywhere(stream: bytes, data: st.DataObject) -> None:
    """Fault 25: wherever the bytes are cut, in a character, a CRLF or the BOM, the events are the same."""
    whole = SSEDecoder()
    expected = (whole.feed(stream), whole.close())
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    pieces = [stream[start:end] for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    decoder = SSEDecoder()
    assert ([event for piece in pieces for event in decoder.feed(piece)], decoder.close()) == expected
    bytewise = SSEDecoder()
    assert ([event for at in range(len(stream)) for event in bytewise.feed(stream[at : at + 1])], bytewise.close()) == expected


def test_close_gives_what_is_left() -> None:
    """The event without its blank line is given at the end, for the caller to judge."""
    decoder = SSEDecoder()
    assert decoder.feed(b"data: {}\n") == []
    assert decoder.close() == ServerSentEvent("message", b"{}")
    assert decoder.close() is None
