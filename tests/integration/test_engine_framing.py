"""Replies as bytes over loopback, and what every HTTP engine makes of them: RFC 9112's framing, and heads that differ from it.

The cases are those that the test suites of llhttp, h11 and aiohttp look at, in our own words. Each engine reads them by a parser that is
not ours (llhttp, h11). Where the two differ, the engine of our own is the stricter one, or the one that loses no answer.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.scripts import ENGINES
from tests.support.servers import Outcome, ReplyServer

OK = b"HTTP/1.1 200 OK\r\n"
SIZED = b"content-length: 2\r\n\r\nok"
CHUNKS = b"2\r\nok\r\n0\r\n\r\n"
CHUNKED = OK + b"transfer-encoding: chunked\r\n\r\n"

ODD_SIZES = [
    b"1 2",
    b"1_0",
    b"\xb2",
    "٢".encode(),
    b"2.0",
    b"2e0",
    b"1\r\n 2",
    b"2\x00",
    b"2\x0b",
    b"2,",
    b"2,3",
    b"+2",
    b"-2",
    b"0x2",
    b"",
]
ODD_VERSIONS = [b"HTP/1.1", b"HTTPER/1.1", b"RTSP/1.1", b"ICE/1.1", b"HTTP/01.1", b"HTTP/11.1", b"HTTP/1.01", b"http/1.1", b" HTTP/1.1"]

READ: dict[str, tuple[bytes, bytes]] = {
    "a body with a size": (OK + SIZED, b"ok"),
    "a size between tabs": (OK + b"content-length:\t2\t\r\n\r\nok", b"ok"),
    "a size with zeros before it": (OK + b"content-length: 0002\r\n\r\nok", b"ok"),
    "a size on a folded line": (OK + b"content-length:\r\n 2\r\n\r\nok", b"ok"),
    "one size in a list": (OK + b"content-length: 2, 2\r\n\r\nok", b"ok"),
    "a header whose name begins as the size's": (OK + b"content-length-x: 0\r\ntransfer-encoding: chunked\r\n\r\n" + CHUNKS, b"ok"),
    "no size at all": (OK + b"\r\nHTTP/1.1 200 OK", b"HTTP/1.1 200 OK"),
    "no size in HTTP/1.0 that is to be kept": (b"HTTP/1.0 200 OK\r\nconnection: keep-alive\r\n\r\nHTTP/1.0 200 OK", b"HTTP/1.0 200 OK"),
    "chunks": (CHUNKED + CHUNKS, b"ok"),
    "chunks in HTTP/1.0": (b"HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + CHUNKS, b"ok"),
    "chunks on a folded line": (OK + b"transfer-encoding:\r\n chunked\r\n\r\n" + CHUNKS, b"ok"),
    "no chunk but the last": (CHUNKED + b"0\r\n\r\n", b""),
    "extensions of chunks": (CHUNKED + b'2;a;b=c;d="e"\r\nok\r\n0;f\r\n\r\n', b"ok"),
    "a tab after a chunk's size": (CHUNKED + b"2\t\r\nok\r\n0\r\n\r\n", b"ok"),
    "folded trailers": (CHUNKED + b"2\r\nok\r\n0\r\nx: a\r\n b\r\n\r\n", b"ok"),
    "no reason": (b"HTTP/1.1 200\r\n" + SIZED, b"ok"),
    "an empty reason": (b"HTTP/1.1 200 \r\n" + SIZED, b"ok"),
    "a reason after two spaces": (b"HTTP/1.1 200  OK\r\n" + SIZED, b"ok"),
    "a control byte in the reason": (b"HTTP/1.1 200 O\x01K\r\n" + SIZED, b"ok"),
    "lines that end in LF": ((OK + SIZED).replace(b"\r", b""), b"ok"),
    "odd names": (OK + b"a_b: 1\r\nx-$a: 1\r\n.c: 1\r\n" + SIZED, b"ok"),
    "odd values": (OK + b"a:\r\nb: \x01\x7f\r\nc:d:e\r\n" + SIZED, b"ok"),
    "the early hints": (b"HTTP/1.1 103 E\r\nlink: </a>\r\n\r\n" + OK + SIZED, b"ok"),
    "an interim reply that nobody knows": (b"HTTP/1.1 199 X\r\n\r\n" + OK + SIZED, b"ok"),
    "chunks of an interim reply": (b"HTTP/1.1 100 C\r\ntransfer-encoding: chunked\r\n\r\n" + OK + SIZED, b"ok"),
    "bytes after the end": (OK + b"content-length: 2\r\n\r\nok" + OK + SIZED, b"ok"),
    "bytes after the end of a connection to close": (OK + b"connection: close\r\ncontent-length: 2\r\n\r\nokay", b"ok"),
    "another protocol on offer": (OK + b"connection: upgrade\r\nupgrade: h2c\r\n" + SIZED, b"ok"),
    "another protocol on offer, and no size": (OK + b"connection: upgrade\r\nupgrade: h2c\r\n\r\nok", b"ok"),
    "several words about the connection": (OK + b"connection: a, close, b\r\n" + SIZED, b"ok"),
}

BOTH_WAYS = [
    OK + b"content-length: 2\r\ntransfer-encoding: chunked\r\n\r\n" + CHUNKS,
    OK + b"transfer-encoding: chunked\r\ncontent-length: 2\r\n\r\n" + CHUNKS,
    *[
        OK + b"content-length: " + size + b"\r\n\r\nok"
        for size in [
            b"1 2",
            b"1_0",
            b"\xb2",
            "٢".encode(),
            b"2.0",
            b"2e0",
            b"1\r\n 2",
            b"2\x00",
            b"2\x0b",
            b"2,",
            b"2,3",
            b"+2",
            b"-2",
            b"0x2",
            b"",
        ]
    ],
    OK + b"content-length: 2\r\ncontent-length: 3\r\n\r\nok",
    *[
        OK + b"transfer-encoding: " + coding + b"\r\n\r\n" + CHUNKS
        for coding in [
            b"chunked, deflate",
            b"gzip, chunked",
            b"chunked, chunked",
            b"chunkedchunked",
            b"xchunked",
            b"chunked\r\n  abc",
            b"\x0bchunked",
            b"chunked\x00",
            b"chunked;q=1",
            b",chunked",
        ]
    ],
    *[
        OK + b"transfer-encoding: %b\r\ntransfer-encoding: %b\r\n\r\n" % codings + CHUNKS
        for codings in [(b"chunked", b"identity"), (b"identity", b"chunked"), (b"chunked", b"chunked")]
    ],
    OK + b"transfer-encoding:\r\n" + SIZED,
    *[OK + name + b": 2\r\n" + SIZED for name in [b"a b", b"a\x00", "é".encode(), b'a"', b"a@b", b"a(b)", b"", b"a\t", b"a "]],
    *[OK + name + b" : 2\r\n\r\nok" for name in [b"content-length", b"transfer-encoding", b"connection"]],
    *[OK + line + b"\r\n" + SIZED for line in [b" a: 1", b"\ta: 1", b" ", b"a: 1\rb: 2", b"a: 1\rcontent-length: 9", b"no colon"]],
    *[
        version + b" 200 OK\r\n" + SIZED
        for version in [
            b"HTP/1.1",
            b"HTTPER/1.1",
            b"RTSP/1.1",
            b"ICE/1.1",
            b"HTTP/01.1",
            b"HTTP/11.1",
            b"HTTP/1.01",
            b"http/1.1",
            b" HTTP/1.1",
        ]
    ],
    *[b"HTTP/1.1" + status + b" OK\r\n" + SIZED for status in [b"\t200", b"  200", b" 2", b" 2000", b" -20", b" 2OO", b" ", b""]],
    b"HTTP/1.1 101 X\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\nproto",
    b"\x15\x03\x01\x00\x02\x02\x0a" + b"\r\n\r\n",
    b"\xef\xbb\xbf" + OK + SIZED,
    b"SSH-2.0-OpenSSH_9\r\n\r\n",
]

ENDINGS: dict[str, tuple[bytes, Outcome]] = {
    "nothing": (b"", (None, b"", "reset")),
    "half a first line": (b"HTTP/1.1 200 O", (None, b"", "reset")),
    "an interim reply alone": (b"HTTP/1.1 100 C\r\n\r\n", (None, b"", "reset")),
    "less than its size": (OK + b"content-length: 9\r\n\r\nok", (200, b"ok", "truncated_body")),
    "less than a chunk": (CHUNKED + b"9\r\nok", (200, b"ok", "truncated_body")),
    "less than the largest chunk": (CHUNKED + b"ffffffffffffffff\r\nok", (200, b"ok", "truncated_body")),
    "no last chunk": (CHUNKED + b"2\r\nok\r\n", (200, b"ok", "truncated_body")),
    "no end of the trailers": (CHUNKED + b"2\r\nok\r\n0\r\n", (200, b"ok", "truncated_body")),
    "no chunk at all": (CHUNKED, (200, b"", "truncated_body")),
    **{
        f"the size of a chunk {size!r}": (CHUNKED + size + b"\r\nok\r\n0\r\n\r\n", (200, b"", "not_json"))
        for size in [b" 2", b"+2", b"-2", b"0_2", b"0x2", b"2h", b"2 a", b"zz", b""]
    },
    "a size of a chunk that ends in CR": (CHUNKED + b"2\rok\r\n0\r\n\r\n", (200, b"", "not_json")),
    "a chunk beyond its size": (CHUNKED + b"2\r\nokay\r\n0\r\n\r\n", (200, b"ok", "not_json")),
    "trailers without a colon": (CHUNKED + b"2\r\nok\r\n0\r\nno colon\r\n\r\n", (200, b"ok", "not_json")),
}

# What the engine of our own makes of it, and what httpx does.
APART: dict[str, tuple[bytes, Outcome, Outcome]] = {
    # RFC 9110, section 2.5, would have us read 1.2 as 1.1; llhttp takes no version that does not exist.
    **{
        f"HTTP/{version}": (f"HTTP/{version} 200 OK\r\n".encode() + SIZED, (None, b"", "not_json"), (200, b"ok", None))
        for version in ["0.9", "1.2", "5.6"]
    },
    "empty lines before the reply": (b"\r\n" + OK + SIZED, (200, b"ok", None), (None, b"", "not_json")),
    "a NUL in a value": (OK + b"a: b\x00c\r\n" + SIZED, (200, b"ok", None), (None, b"", "not_json")),
    "an extension without a name": (CHUNKED + b"2;\r\nok\r\n0\r\n\r\n", (200, b"", "not_json"), (200, b"ok", None)),
    "a quote that does not end": (CHUNKED + b'2;a="b\r\nok\r\n0\r\n\r\n', (200, b"", "not_json"), (200, b"ok", None)),
    "a bare CR in an extension": (CHUNKED + b"2;a\rb\r\nok\r\n0\r\n\r\n", (200, b"", "not_json"), (200, b"ok", None)),
    "a size of a chunk that ends in LF": (CHUNKED + b"2;a\nok\r\n0\r\n\r\n", (200, b"ok", None), (200, b"", "not_json")),
    "a long size of a chunk": (CHUNKED + b"0" * 21 + b"2\r\nok\r\n0\r\n\r\n", (200, b"ok", None), (200, b"", "not_json")),
    "framing in the trailers": (
        CHUNKED + b"2\r\nok\r\n0\r\ntransfer-encoding: x\r\ncontent-length: 5\r\n\r\n",
        (200, b"ok", "not_json"),
        (200, b"ok", "truncated_body"),
    ),
    # h11 waits for the end of a head before it looks at its first line.
    "a page without a head": (b"<html>busy</html>", (None, b"", "not_json"), (None, b"", "reset")),
}


@pytest.fixture(scope="module")
def server() -> Iterator[ReplyServer]:
    """One server for all replies."""
    with ReplyServer() as server:
        yield server


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("kind", READ)
async def test_what_is_read(server: ReplyServer, engine: str, kind: str) -> None:
    """RFC 9112: a reply is read whole, however its length is given, and what is odd in its head costs nothing."""
    reply, body = READ[kind]
    assert await server.outcome(engine, reply) == (200, body, None)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("status", [204, 304])
async def test_statuses_without_a_body(server: ReplyServer, engine: str, status: int) -> None:
    """RFC 9112, section 6.3, rule 1: whatever follows the head of these is no body."""
    reply = b"HTTP/1.1 %d X\r\ncontent-length: 2\r\n\r\n" % status + OK
    assert await server.outcome(engine, reply) == (status, b"", None)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("reply", BOTH_WAYS)
async def test_what_can_be_read_in_two_ways(server: ReplyServer, engine: str, reply: bytes) -> None:
    """Fault 61, RFC 9112 section 6.3: a head that two readers would read in two ways is a fault of the protocol for each engine."""
    assert await server.outcome(engine, reply) == (None, b"", "not_json")


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("kind", ENDINGS)
async def test_what_ends_too_early_or_badly(server: ReplyServer, engine: str, kind: str) -> None:
    """Faults 14 and 19, RFC 9112 sections 7.1 and 8: what is cut off, or no chunk, ends under the same name over each engine."""
    reply, outcome = ENDINGS[kind]
    assert await server.outcome(engine, reply) == outcome


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("kind", APART)
async def test_where_the_engines_differ(server: ReplyServer, engine: str, kind: str) -> None:
    """What the two parsers take for different things: each ends with an answer or with a fault of its own name, and is listed here."""
    reply, *outcomes = APART[kind]
    assert await server.outcome(engine, reply) == outcomes[ENGINES.index(engine)]
