"""Any bytes as a reply, over loopback and every HTTP engine: an exchange or a fault by name, the same however the network cuts them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from batch.policy.verdicts import judge
from batch.records import Exchange
from tests.integration.test_h1_fuzz import REPLIES, mutated, split
from tests.support.scripted import chat_body
from tests.support.scripts import ENGINES, open_client, request
from tests.support.servers import ReplyServer

every_engine = pytest.mark.parametrize("engine", ENGINES)
ANYTHING = st.one_of(st.binary(max_size=200), st.binary(max_size=100).map(lambda rest: b"HTTP/1.1 200 OK\r\n" + rest), REPLIES, mutated())


@pytest.fixture(scope="module")
def server() -> Iterator[ReplyServer]:
    """One server for all replies."""
    with ReplyServer() as server:
        yield server


async def exchange_of(server: ReplyServer, engine: str, *pieces: bytes, stream: bool = False) -> Exchange:
    """The exchange of a client that gets these pieces as its reply."""
    server.pieces = pieces
    async with open_client(server.url, http=engine, stream=stream) as client:
        return await client.exchange(request())


@every_engine
@settings(max_examples=100)
@given(data=ANYTHING, stream=st.booleans())
async def test_any_bytes_end_by_name(server: ReplyServer, engine: str, data: bytes, stream: bool) -> None:
    """Faults 9 and 61: whatever a server sends ends as an exchange with a status or a fault that is expected, and is judged."""
    exchange = await exchange_of(server, engine, data, stream=stream)
    assert exchange.status or exchange.fault
    assert exchange.fault is None or exchange.fault.bug is None
    judge(exchange, 0.0)


@every_engine
@settings(max_examples=60)
@given(reply=st.one_of(REPLIES, mutated()), places=st.lists(st.integers(0, 500), max_size=6))
async def test_any_split_gives_the_same(server: ReplyServer, engine: str, reply: bytes, places: list[int]) -> None:
    """Fault 25: however the network cuts a reply, whole or damaged, the same comes of it over each engine."""
    whole = await server.outcome(engine, reply)
    parts = await server.outcome(engine, *split(reply, places))
    assert (parts[0], parts[2]) == (whole[0], whole[2])
    # A reply that ends in a fault may have shown more or less of its body by then.
    assert whole[2] is not None or parts[1] == whole[1]


@settings(max_examples=60)
@given(reply=REPLIES)
async def test_both_engines_agree(server: ReplyServer, reply: bytes) -> None:
    """RFC 9112: a well-formed reply is the same over both engines, to its last byte."""
    # A version that does not exist is refused by one engine alone, as a reset or by its name.
    assume(reply.startswith((b"HTTP/1.0 ", b"HTTP/1.1 ")))
    first, second = [await server.outcome(engine, reply) for engine in ENGINES]
    # The one of our own puts a space for a NUL.
    assert first == second or first[2] == "not_json" or second[2] == "not_json"


@every_engine
@settings(max_examples=25)
@given(places=st.lists(st.integers(0, 2000), max_size=12))
async def test_an_answer_cut_anywhere(server: ReplyServer, engine: str, places: list[int]) -> None:
    """Fault 25: an answer that comes in any pieces is the answer."""
    body = chat_body("Paris, naïve 日本")
    reply = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)
    exchange = await exchange_of(server, engine, *split(reply, places))
    assert (exchange.fault, exchange.body) == (None, body)
