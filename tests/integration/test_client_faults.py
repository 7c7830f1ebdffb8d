"""Faults of the wire, provoked for real, look the same over every HTTP engine."""

from __future__ import annotations

import gzip
import time
import zlib
from collections.abc import Iterable
from typing import Any

import anyio
import pytest

from batch.policy.verdicts import Action, judge
from batch.records import ErrorKind
from tests.support.processes import BlackHole, unused_port
from tests.support.scripted import CLOSE, HANG, RESET, Handler, Received, ScriptedEndpoint, Sleep, chat_body, chat_reply, http
from tests.support.scripted import Action as Act
from tests.support.scripts import ENGINES, attempt, codes, happens, open_client, request
from tests.support.streams import event, stream_head

pytestmark = pytest.mark.parametrize("engine", ENGINES)


async def test_refused(engine: str) -> None:
    """Fault 13: nobody listens: no attempt is charged."""
    async with open_client(f"http://127.0.0.1:{unused_port()}/v1", http=engine) as client:
        exchange = await client.exchange(request())
    assert codes(exchange) == (None, "connect")
    assert judge(exchange, 0.0).charged is False


async def test_unresolved(engine: str) -> None:
    """Fault 33: a host name that cannot be resolved."""
    async with open_client("http://no-such-host.invalid/v1", http=engine) as client:
        exchange = await client.exchange(request())
    assert codes(exchange) == (None, "resolve")
    assert judge(exchange, 0.0).charged is False


async def test_black_hole(engine: str) -> None:
    """Fault 16: a SYN that nobody answers ends at the connect deadline."""
    with BlackHole() as hole:
        async with open_client(hole.url, http=engine, connect_timeout_s=0.2) as client:
            exchange = await client.exchange(request())
    assert codes(exchange) == (None, "timeout_connect")
    assert judge(exchange, 0.0).charged is False


@pytest.mark.parametrize("ending", [RESET, CLOSE])
async def test_broken_before_headers(engine: str, ending: Act) -> None:
    """Fault 14: a connection that breaks before the reply may have been answered: retried, and counted as a possible double."""
    exchange = await attempt(engine, ending)
    assert codes(exchange) == (None, "reset")
    verdict = judge(exchange, 0.0)
    assert (verdict.action, verdict.charged, verdict.may_be_billed_twice) == (Action.RETRY, True, True)


async def test_idle_connection_closed_by_the_server(engine: str) -> None:
    """Fault 15: a connection that the server closed while it was idle is replaced, unseen."""
    with ScriptedEndpoint(lambda _: [chat_reply(), CLOSE]) as endpoint:
        async with open_client(endpoint.url, http=engine) as client:
            for _ in range(3):
                assert codes(await client.exchange(request())) == (200, None)
                await happens(lambda: not endpoint.open_connections)
                await anyio.sleep(0.05)  # the server has closed; now the client may see it
    assert (endpoint.connections, len(endpoint.requests)) == (3, 3)


@pytest.mark.parametrize(
    ("script", "code"),
    [
        ((http(200, b'{"choices"', {"content-length": "1000"}), CLOSE), "truncated_body"),
        ((stream_head({"content-type": "application/json"}) + event("x"), CLOSE), "truncated_body"),
        ((http(200, b'{"choices"', {"content-length": "1000"}), Sleep(0.05), RESET), "reset"),
    ],
)
async def test_cut_within_the_body(engine: str, script: tuple[Act, ...], code: str) -> None:
    """Fault 19: a body shorter than it says is retried, and what came is kept as a sample."""
    exchange = await attempt(engine, *script)
    assert codes(exchange) == (200, code)
    assert (exchange.reply, judge(exchange, 0.0).action) == (None, Action.RETRY)


async def test_not_http(engine: str) -> None:
    """Fault 9: what is not even HTTP is a protocol fault."""
    exchange = await attempt(engine, b"hello, this is no web server\r\n\r\n", CLOSE)
    assert codes(exchange) == (None, "not_json")
    assert exchange.fault is not None
    assert exchange.fault.kind is ErrorKind.PROTOCOL


@pytest.mark.parametrize(
    ("body", "code", "says"),
    [
        (b"<html>busy</html>", "not_json", "an HTML page: busy"),
        (b"", "not_json", ""),
        (b'{"choices":null}', "no_choices", '{"choices":null}'),
        (b"[]", "no_choices", "[]"),
    ],
)
async def test_garbage_inside_a_200(engine: str, body: bytes, code: str, says: str) -> None:
    """Fault 9: HTML, nothing or no choices is no answer; a sample is kept."""
    exchange = await attempt(engine, http(200, body))
    assert codes(exchange) == (200, code)
    assert exchange.body == body
    assert exchange.fault is not None
    assert says in exchange.fault.message


async def test_error_inside_a_200(engine: str) -> None:
    """Fault 8: an error in a 200 counts by its inner code."""
    exchange = await attempt(engine, http(200, b'{"error":{"code":429,"message":"slow down"}}', {"retry-after": "7"}))
    verdict = judge(exchange, 0.0)
    assert (verdict.action, verdict.wait, verdict.error and verdict.error.code) == (Action.RETRY, 7.0, "rate_limit")


DRIP = (http(200, b"", {"content-length": "100"}), *[b" ", Sleep(0.02)] * 99)

DEADLINES: list[tuple[str, dict[str, float], tuple[Act, ...]]] = [
    ("timeout_first_byte", {"first_byte_timeout_s": 0.1, "idle_timeout_s": 1}, (HANG,)),
    ("timeout_idle", {"idle_timeout_s": 0.1}, (http(200, b"{", {"content-length": "100"}), HANG)),
    ("timeout_attempt", {"attempt_timeout_s": 1.5, "idle_timeout_s": 1.0}, DRIP),
    ("timeout_attempt", {"attempt_timeout_s": 0.1}, (HANG,)),
]


@pytest.mark.parametrize(("code", "run", "script"), DEADLINES)
async def test_deadlines(engine: str, code: str, run: dict[str, float], script: tuple[Act, ...]) -> None:
    """Faults 17 and 18: silence before, silence within, and one byte at a time end at their own deadlines; the connection is closed."""
    with ScriptedEndpoint(lambda _: script) as endpoint:
        async with open_client(endpoint.url, http=engine, **run) as client:
            exchange = await client.exchange(request())
            assert exchange.fault is not None
            assert exchange.fault.code == code
            await happens(lambda: not endpoint.open_connections)


async def test_a_held_loop_is_no_timeout(engine: str) -> None:
    """Fault 34: an answer that came while the process was held is read, although its deadline has passed."""
    with ScriptedEndpoint(lambda _: [Sleep(0.02), chat_reply()]) as endpoint:
        async with open_client(endpoint.url, http=engine, first_byte_timeout_s=0.3) as client, anyio.create_task_group() as group:

            async def hold() -> None:
                await happens(lambda: endpoint.requests)
                end = time.monotonic() + 0.6
                while time.monotonic() < end or endpoint.concurrent:  # and the answer is there
                    time.sleep(0.01)  # noqa: ASYNC251 - this is what the test is about

            group.start_soon(hold)
            assert codes(await client.exchange(request())) == (200, None)


async def test_cancelling_closes_the_connection(engine: str) -> None:
    """A cancelled exchange leaves no connection behind, before the reply and within it."""
    scripts: list[tuple[Act, ...]] = [(HANG,), (http(200, b"{", {"content-length": "100"}), HANG)]
    for script in scripts:
        with ScriptedEndpoint(lambda _, script=script: script) as endpoint:  # type: ignore[misc]
            async with open_client(endpoint.url, http=engine) as client, anyio.create_task_group() as group:
                group.start_soon(client.exchange, request())
                await happens(lambda: endpoint.requests)
                await anyio.sleep(0.05)
                group.cancel_scope.cancel()
            await happens(lambda: not endpoint.open_connections)


def endless(_: Received) -> Iterable[Act]:
    yield stream_head({"content-type": "application/json"})
    while True:
        yield b"10000\r\n" + bytes(65536) + b"\r\n"
        yield Sleep(0)


BIG: list[Handler] = [
    lambda _: [http(200, b" ", {"content-length": str(5 * 2**30)}), HANG],
    endless,
    lambda _: [http(200, gzip.compress(bytes(50_000_000)), {"content-encoding": "gzip"})],
]


@pytest.mark.parametrize("handler", BIG)
async def test_too_big(engine: str, handler: Handler) -> None:
    """Fault 28: a 5 GB body, an endless one and a gzip bomb are aborted at the cap."""
    with ScriptedEndpoint(handler) as endpoint:
        async with open_client(endpoint.url, http=engine, max_reply_bytes=1_000_000) as client:
            exchange = await client.exchange(request())
    assert codes(exchange) == (200, "too_big")
    assert len(exchange.body) <= 2000


LONG_ERRORS: list[tuple[bytes, dict[str, str]]] = [
    (b'{"error": {"code": "bad_value", "message": "bad \\u00e9' + b"x" * 3_000_000 + b'"}}', {}),
    (gzip.compress(b'{"error": {"code": "bad_value", "message": "bad \\u00e9' + b"x" * 3_000_000 + b'"}}'), {"content-encoding": "gzip"}),
]


@pytest.mark.parametrize(("body", "headers"), LONG_ERRORS, ids=["plain", "packed"])
async def test_a_refusal_of_any_length_says_why(engine: str, body: bytes, headers: dict[str, str]) -> None:
    """Of an error text of megabytes the first 2,000 characters are kept, and its code (D29)."""
    exchange = await attempt(engine, http(400, body, headers))
    assert exchange.reply is not None
    assert exchange.reply.error is not None
    assert exchange.reply.error.message == ("bad é" + "x" * 2000)[:2000]
    assert exchange.reply.error.code == "bad_value"
    assert exchange.fault is None


async def test_a_long_page_in_place_of_a_refusal_is_shown(engine: str) -> None:
    """A gateway's page of megabytes: its beginning is what is known (D29)."""
    exchange = await attempt(engine, http(502, b"<html>Bad gateway" + b" " * 3_000_000 + b"</html>"))
    assert exchange.body.startswith(b"<html>Bad gateway")
    assert len(exchange.body) <= 2000
    assert exchange.fault is None


@pytest.mark.parametrize(
    ("encoding", "pack"),
    [("gzip", gzip.compress), ("deflate", zlib.compress), ("deflate", lambda data: zlib.compress(data, wbits=-15)), ("identity", bytes)],
)
async def test_compressed_although_not_asked(engine: str, encoding: str, pack: Any) -> None:
    """Fault 28: a compressed reply is unpacked all the same."""
    exchange = await attempt(engine, http(200, pack(chat_body("Paris")), {"content-encoding": encoding}))
    assert exchange.body == chat_body("Paris")


# Named, since gzip's header holds the time: workers that collect in two different seconds would have two different tests.
@pytest.mark.parametrize(
    ("encoding", "body"), [("br", b"x"), ("gzip", b"not gzip"), ("gzip", gzip.compress(chat_body())[:-9])], ids=["unknown", "none", "cut"]
)
async def test_compressed_and_unreadable(engine: str, encoding: str, body: bytes) -> None:
    """Fault 28: what cannot be unpacked is a protocol fault."""
    exchange = await attempt(engine, http(200, body, {"content-encoding": encoding}))
    assert exchange.fault is not None
    assert exchange.fault.kind is ErrorKind.PROTOCOL
