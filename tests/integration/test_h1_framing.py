"""Message framing of RFC 9112 as bytes on a socket, and what the in-loop engine makes of it."""

from __future__ import annotations

import pytest

from batch.transport.engines.h1.parser import LONGEST_HEAD
from tests.support.scripted import CLOSE, chat_body
from tests.support.scripted import Action as Act
from tests.support.scripts import ENGINES, attempt, codes
from tests.support.servers import OK, Seen, seen

CHUNKED = OK + b"transfer-encoding: chunked\r\n\r\n"


def brief(outcome: Seen) -> tuple[int, bytes, str | None, bool]:
    return outcome.status, outcome.body, outcome.error, outcome.kept


@pytest.mark.parametrize(
    ("reply", "body", "kept"),
    [
        (OK + b"content-length: 2\r\n\r\nok", b"ok", True),
        (OK + b"content-length: 0\r\n\r\n", b"", True),
        (b"HTTP/1.1 200\r\ncontent-length: 2\r\n\r\nok", b"ok", True),
        (b"HTTP/1.1 200 d\xe9j\xe0 vu\r\ncontent-length: 2\r\n\r\nok", b"ok", True),
        (OK + b"connection: close\r\ncontent-length: 2\r\n\r\nok", b"ok", False),
        (OK + b"connection: keep-alive, Close\r\ncontent-length: 2\r\n\r\nok", b"ok", False),
        (b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok", b"ok", False),
        (b"HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 2\r\n\r\nok", b"ok", True),
        (OK + b"\r\nto the end", b"to the end", False),
        (OK + b"transfer-encoding: identity\r\n\r\nto the end", b"to the end", False),
        (CHUNKED + b"2\r\nok\r\n0\r\n\r\n", b"ok", True),
        (CHUNKED + b"1\r\no\r\n01\r\nk\r\n000\r\n\r\n", b"ok", True),
        (CHUNKED + b"A\r\n0123456789\r\n0\r\n\r\n", b"0123456789", True),
        (CHUNKED + b'2;name=value;other="a;\\"b"\r\nok\r\n0;last\r\n\r\n', b"ok", True),
        (CHUNKED + b"2 \r\nok\r\n0\r\n\r\n", b"ok", True),
        (CHUNKED + b"2\r\nok\r\n0\r\nx-checksum: 1\r\ncontent-type: x\r\n\r\n", b"ok", True),
        (OK + b"Transfer-Encoding: Chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", b"ok", True),
    ],
)
async def test_bodies(reply: bytes, body: bytes, kept: bool) -> None:
    """RFC 9112, sections 6 and 7: a body is sized, chunked or ends with the connection, which is kept where both sides can."""
    assert brief(await seen(reply)) == (200, body, None, kept)


@pytest.mark.parametrize("status", [204, 304])
async def test_replies_without_a_body(status: int) -> None:
    """RFC 9112, section 6.3, rule 1: whatever the head says of a length, these have no body."""
    assert brief(await seen(b"HTTP/1.1 %d X\r\ncontent-length: 2\r\n\r\n" % status, ends=False)) == (status, b"", None, True)


@pytest.mark.parametrize(
    "head",
    [
        b"content-length: 2\r\ntransfer-encoding: chunked\r\n",
        b"transfer-encoding: chunked\r\ncontent-length: 2\r\n",
        b"content-length: 2\r\ncontent-length: 3\r\n",
        b"content-length: 2, 3\r\n",
        b"content-length: +2\r\n",
        b"content-length: -2\r\n",
        b"content-length: 0x2\r\n",
        b"content-length: two\r\n",
        b"content-length: \r\n",
        b"content-length: 99999999999999999999999\r\n",
        b"transfer-encoding: gzip, chunked\r\n",
        b"transfer-encoding: chunked, identity\r\n",
        b"na me: value\r\n",
        b"name : value\r\n",
        b"no colon\r\n",
        b": no name\r\n",
    ],
)
async def test_ambiguous_framing_is_a_fault(head: bytes) -> None:
    """RFC 9112, sections 5.1 and 6.3: a head that can be read in two ways is refused, and its connection is closed."""
    assert brief(await seen(OK + head + b"\r\n2\r\nok\r\n0\r\n\r\n", ends=False)) == (0, b"", "NotHTTPError", False)


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"zz\r\nok\r\n0\r\n\r\n", "NotHTTPError"),
        (b"-2\r\nok\r\n0\r\n\r\n", "NotHTTPError"),
        (b"0x2\r\nok\r\n0\r\n\r\n", "NotHTTPError"),
        (b"\r\nok\r\n0\r\n\r\n", "NotHTTPError"),
        (b"fffffffffffffffff\r\nok\r\n0\r\n\r\n", "NotHTTPError"),
        (b"2\r\nok0\r\n\r\n", "NotHTTPError"),
        (b"2\r\nokay\r\n0\r\n\r\n", "NotHTTPError"),
        (b"2\r\nok\r\n", "TruncatedBodyError"),
        (b"2\r\nok\r\n0\r\n", "TruncatedBodyError"),
        (b"9\r\nok", "TruncatedBodyError"),
    ],
)
async def test_bad_chunks(body: bytes, error: str) -> None:
    """RFC 9112, section 7.1: sizes that are none, data beyond its size, and no last chunk make the reply a fault."""
    outcome = await seen(CHUNKED + body)
    assert (outcome.status, outcome.error, outcome.kept) == (200, error, False)
    assert b"okay".startswith(outcome.body)


@pytest.mark.parametrize("surplus", [b"more", b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", b"HTTP/1.1 2", b"\x00"])
async def test_bytes_after_the_end(surplus: bytes) -> None:
    """RFC 9112, section 9.2: what comes after the end of a reply answers nothing: the reply counts, its connection is closed."""
    reply = OK + b"content-length: 2\r\n\r\nok"
    assert brief(await seen(reply + surplus)) == (200, b"ok", None, False)


@pytest.mark.parametrize(
    "interim",
    [
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\ncontent-length: 7\r\n\r\n",
    ],
)
async def test_interim_replies_are_passed_over(interim: bytes) -> None:
    """RFC 9110, section 15.2: any number of 1xx replies may come before the one that counts."""
    outcome = await seen(interim + OK + b"content-length: 2\r\n\r\nok")
    assert (brief(outcome), outcome.headers) == ((200, b"ok", None, True), (("content-length", "2"),))


@pytest.mark.parametrize(
    "reply", [b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n", b"HTTP/1.1 099 X\r\n\r\n"]
)
async def test_protocols_that_were_not_asked_for(reply: bytes) -> None:
    """RFC 9110, section 15.2.2: a change of protocol, or a status that is none, is a fault."""
    assert brief(await seen(reply, ends=False)) == (0, b"", "NotHTTPError", False)


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (b"", "LostConnectionError"),
        (b"HTTP/1.1 200 OK\r\ncontent-le", "LostConnectionError"),
        (OK + b"content-length: 9\r\n\r\nok", "TruncatedBodyError"),
        (b"hello, this is no web server\r\n\r\n", "NotHTTPError"),
        (b"\x16\x03\x01\x02\x00\x01\x00", "NotHTTPError"),
        (b"HTTP/2.0 200 OK\r\n\r\n", "NotHTTPError"),
    ],
)
async def test_broken_replies(reply: bytes, error: str) -> None:
    """Faults 9, 14 and 19: a reply that ends too early, or is no HTTP/1.1, ends the exchange under its own name."""
    assert (await seen(reply)).error == error


@pytest.mark.parametrize(
    "reply",
    [
        OK + b"x: " + b"a" * (LONGEST_HEAD + 1),
        OK + b"".join(b"x-%d: a\r\n" % number for number in range(40_000)),
        b"HTTP/1.1 100 Continue\r\n\r\n" * 20_000,
        CHUNKED + b"2\r\nok\r\n0\r\n" + b"x: a\r\n" * 60_000,
        CHUNKED + b"2;" + b"a" * (2 * LONGEST_HEAD),
    ],
)
async def test_endless_heads(reply: bytes) -> None:
    """Fault 28: a head, interim replies, trailers or the extensions of a chunk that do not end are cut off, not kept."""
    pieces = [reply[start : start + 65536] for start in range(0, len(reply), 65536)]
    assert (await seen(*pieces, ends=False)).error == "NotHTTPError"


LENGTH = b"content-length: %d\r\n" % len(chat_body())


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    "head",
    [
        OK + LENGTH,
        OK + LENGTH + b"x-model: r\xe9sum\xe9 \xff\r\n",
        OK + b"".join(b"x-%d: a\r\n" % number for number in range(150)) + LENGTH,
        OK + b"x-long: a\r\n b\r\n\tc\r\n" + LENGTH,
        OK + b"x-trace: a\x01b\r\n" + LENGTH,
        OK + b"x-empty:\r\n" + LENGTH,
        OK + LENGTH + LENGTH,
        OK + LENGTH + b"x: y\r\n" + LENGTH.upper(),
        OK.replace(b"\r", b"") + LENGTH.replace(b"\r", b""),
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n" + OK + LENGTH,
    ],
)
async def test_odd_heads_are_read(engine: str, head: bytes) -> None:
    """Fault 61: what official SDKs read of odd heads is read here: bytes beyond ASCII, many headers, folded lines, equal lengths twice."""
    script: tuple[Act, ...] = (head + b"\r\n" + chat_body(), CLOSE)
    exchange = await attempt(engine, *script)
    assert (codes(exchange), exchange.body) == ((200, None), chat_body())


async def test_values_are_latin_1() -> None:
    """Fault 61, RFC 9110 section 5.5: bytes beyond ASCII in a value are taken as Latin-1, folded lines as one value without its edges."""
    reply = OK + b"x-model: \t r\xe9sum\xe9 \xff \r\nX-Folded: a\r\n b\r\ncontent-length: 0\r\n\r\n"
    assert dict((await seen(reply)).headers) == {"x-model": "résumé ÿ", "x-folded": "a b", "content-length": "0"}
