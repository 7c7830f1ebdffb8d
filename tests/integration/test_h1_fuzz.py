"""Any bytes in any pieces give the in-loop engine an exchange or a named fault: never another exception, never a hang."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.servers import seen

TOKENS = st.text("abcXYZ-09", min_size=1, max_size=8).map(str.encode)
VALUES = st.binary(max_size=12).map(lambda value: value.replace(b"\r", b"").replace(b"\n", b""))
HEADERS = st.lists(st.tuples(TOKENS, VALUES).map(lambda pair: b"x-%b: %b\r\n" % pair), max_size=5).map(b"".join)
STATUS = st.sampled_from([b"200 OK", b"200", b"404 Not Found", b"500 \xe9", b"204 X", b"304 X", b"100 Continue", b"101 X", b"99 X"])
BODY = st.binary(max_size=40)


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


CHUNKED = st.lists(st.binary(min_size=1, max_size=12).map(chunk), max_size=4).map(
    lambda chunks: b"transfer-encoding: chunked\r\n\r\n%b0\r\n\r\n" % b"".join(chunks)
)
SIZED = BODY.map(lambda body: b"content-length: %d\r\n\r\n%b" % (len(body), body))
SIZED_TWICE = BODY.map(lambda body: b"content-length: %d\r\nContent-Length: %d\r\n\r\n%b" % (len(body), len(body), body))
TO_THE_END = BODY.map(lambda body: b"\r\n" + body)
CLOSING = st.sampled_from([b"", b"connection: close\r\n"])
REPLY = st.builds(
    lambda version, status, headers, closing, body: b"HTTP/%b %b\r\n%b%b%b" % (version, status, headers, closing, body),
    st.sampled_from([b"1.1", b"1.1", b"1.0", b"2.0"]),
    STATUS,
    HEADERS,
    CLOSING,
    st.one_of(CHUNKED, SIZED, SIZED_TWICE, TO_THE_END),
)
REPLIES = st.lists(REPLY, min_size=1, max_size=3).map(b"".join)


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A reply with some of its bytes replaced, dropped or added."""
    reply = bytearray(draw(REPLIES))
    for _ in range(draw(st.integers(0, 4))):
        place = draw(st.integers(0, len(reply)))
        reply[place : place + draw(st.integers(0, 3))] = draw(
            st.sampled_from([b"", b"\r", b"\n", b"\r\n", b"\x00", b":", b"0", b"\xff", b"5"])
        )
    return bytes(reply)


def split(data: bytes, places: list[int]) -> list[bytes]:
    """`data` cut at these places."""
    cuts = sorted({place % (len(data) + 1) for place in places} | {0, len(data)})
    return [data[start:end] for start, end in pairwise(cuts)]


@settings(max_examples=400)
@given(reply=st.one_of(mutated(), REPLIES), places=st.lists(st.integers(0, 500), max_size=12))
async def test_any_split_gives_the_same(reply: bytes, places: list[int]) -> None:
    """Fault 25: however the network cuts a reply, whole or damaged, the same comes of it."""
    whole = await seen(reply)
    parts = await seen(*split(reply, places))
    assert (parts.status, parts.headers, parts.body, parts.error) == (whole.status, whole.headers, whole.body, whole.error)


@settings(max_examples=60)
@given(reply=st.one_of(mutated(), REPLIES))
async def test_byte_by_byte_gives_the_same(reply: bytes) -> None:
    """Fault 25: a reply that comes byte by byte is the reply that comes at once."""
    whole = await seen(reply)
    parts = await seen(*split(reply, list(range(len(reply)))))
    assert (parts.status, parts.headers, parts.body, parts.error) == (whole.status, whole.headers, whole.body, whole.error)


@settings(max_examples=300)
@given(data=st.one_of(st.binary(max_size=200), st.binary(max_size=100).map(lambda rest: b"HTTP/1.1 200 OK\r\n" + rest)))
async def test_any_bytes_end_by_name(data: bytes) -> None:
    """Faults 9 and 61: whatever a server sends ends the exchange, with a status or with an error of the engine's own."""
    outcome = await seen(data)
    assert outcome.status or outcome.error
