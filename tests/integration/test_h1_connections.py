"""Connections of the in-loop engine: many at once, used again, closed as they are used again, large bodies both ways, addresses."""

from __future__ import annotations

import resource
import socket
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from functools import partial

import anyio
import pytest

from batch.policy.verdicts import judge
from batch.records import Request
from batch.transport.engines.h1.connect import first_connected
from batch.transport.engines.h1.connection import WRITTEN_BYTES, Connection
from batch.transport.engines.h1.engine import H1Engine
from batch.transport.engines.h1.errors import ConnectError
from batch.transport.engines.h1.response import BUFFERED_BYTES
from batch.transport.wire import Target
from tests.support.ports import BlackHole, unused_port
from tests.support.scripted import HANG, RESET, ScriptedEndpoint, chat_body, chat_reply, http
from tests.support.tcp_servers import TcpServer, read_request
from tests.support.wire import codes, open_client, request, until

MANY = 2000
READ_BYTES = 256 * 1024  # the most that a loop reads from a socket at once

LOOPS = [pytest.param(("asyncio", {"use_uvloop": False}), id="asyncio"), pytest.param(("asyncio", {"use_uvloop": True}), id="uvloop")]
pytestmark = pytest.mark.parametrize("anyio_backend", LOOPS)


@pytest.fixture
def many_files() -> Iterator[None]:
    """Files for both ends of the connections."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def engine() -> H1Engine:
    return H1Engine(connect_timeout_s=60, keep_alive_s=4, connections=64)


def target(url: str) -> Target:
    return Target("POST", f"{url}/chat/completions", (("Host", "test"),))


async def body_of(engine: H1Engine, to: Target, body: bytes = b"{}") -> bytes:
    response = await engine.send(to, body)
    pieces = []
    while (piece := await response.read()) is not None:
        pieces.append(piece)
    await response.close()
    return b"".join(pieces)


async def test_thousands_reset_at_once(many_files: None) -> None:
    """Fault 14: when 2,000 connections are reset in one instant, each request ends as that, and the next is served."""
    healthy = threading.Event()
    with ScriptedEndpoint(lambda _: [chat_reply()] if healthy.is_set() else [HANG]) as endpoint:
        async with open_client(endpoint.url, first_byte_timeout_s=300, connect_timeout_s=300) as client:
            faults = []

            async def send() -> None:
                faults.append(codes(await client.exchange(request())))

            async with anyio.create_task_group() as group:
                for _ in range(MANY):
                    group.start_soon(send)
                await until(lambda: len(endpoint.requests) == MANY)

                def reset_all() -> None:
                    for protocol in list(endpoint._protocols):
                        protocol._end(RESET)

                endpoint._loop.call_soon_threadsafe(reset_all)
            assert faults == [(None, "reset")] * MANY
            healthy.set()
            assert codes(await client.exchange(request())) == (200, None)
            assert endpoint.open_connections == 1


async def test_closed_in_the_instant_of_its_use(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fault 15: a request over a connection that the server closes in the same instant is sent again, on a new one, and is not doubled."""
    open_ones: list[socket.socket] = []

    def close_unseen(connection: Connection) -> bool:
        # The look before the use has just found nothing; the close comes between it and the write.
        open_ones.pop().shutdown(socket.SHUT_RDWR)
        return False

    monkeypatch.setattr(Connection, "is_readable", close_unseen)
    requests = []

    def serve(sock: socket.socket) -> None:
        if received := read_request(sock):
            requests.append(received)
            open_ones.append(sock)
            sock.sendall(http(200, chat_body()))
            while received := read_request(sock):
                requests.append(received)

    with TcpServer(serve) as server:
        async with open_client(server.url) as client:
            for number in range(1, 21):
                exchange = await client.exchange(request())
                assert codes(exchange) == (200, None)
                assert (len(requests), server.accepted) == (number, number)


async def test_closed_after_it_was_read() -> None:
    """Fault 14: a request that the server read on a kept connection before it closed that may have been billed: it is not sent again."""
    requests = []

    def serve(sock: socket.socket) -> None:
        while received := read_request(sock):
            requests.append(received)
            if len(requests) == 2:
                return
            sock.sendall(http(200, chat_body()))

    with TcpServer(serve) as server:
        async with open_client(server.url) as client:
            assert codes(await client.exchange(request())) == (200, None)
            exchange = await client.exchange(request())
    verdict = judge(exchange, 0.0)
    assert (codes(exchange), verdict.charged, verdict.may_be_billed_twice, len(requests)) == ((None, "reset"), True, True, 2)


async def test_what_a_server_says_unasked() -> None:
    """Fault 15: a 408 on an idle connection answers nothing: the next request has a connection of its own."""
    timeout = http(408, b"", {"connection": "close"})
    with ScriptedEndpoint(lambda _: [chat_reply(), timeout]) as endpoint:
        async with open_client(endpoint.url) as client:
            for number in range(1, 4):
                assert codes(await client.exchange(request())) == (200, None)
                await until(lambda number=number: endpoint.open_connections == 0 and endpoint.connections == number)


async def test_the_last_used_is_used_first() -> None:
    """Of idle connections the one used last is taken, so that those that are too many grow old and are closed."""
    with ScriptedEndpoint() as endpoint:
        async with open_client(endpoint.url) as client:
            async with anyio.create_task_group() as group:
                for _ in range(4):
                    group.start_soon(client.exchange, request())
            for _ in range(6):
                await client.exchange(request())
    assert endpoint.connections == 4
    assert len({received.connection for received in endpoint.requests[4:]}) == 1


def discarding(sizes: list[int], sock: socket.socket) -> None:
    """Read a request of any size without keeping it, and answer."""
    head = b""
    while b"\r\n\r\n" not in head:
        head += sock.recv(4096)
    length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
    left = length - len(head.partition(b"\r\n\r\n")[2])
    buffer = bytearray(65536)
    while left:
        left -= sock.recv_into(buffer)
    sizes.append(length)
    sock.sendall(http(200, chat_body()))


async def test_a_large_body_out() -> None:
    """Fault 52, promise 8: 50 MB go out without being copied."""
    sizes: list[int] = []
    body = b'{"messages":"' + b"x" * 50_000_000 + b'"}'
    with TcpServer(partial(discarding, sizes)) as server:
        async with open_client(server.url) as client:
            tracemalloc.start()
            try:
                exchange = await client.exchange(Request("chat/completions", body, bytes(16)))
                peak = tracemalloc.get_traced_memory()[1]
            finally:
                tracemalloc.stop()
    assert (codes(exchange), sizes) == ((200, None), [len(body)])
    assert peak < 16 * WRITTEN_BYTES + 4_000_000


async def test_a_refusal_of_a_large_body() -> None:
    """A reply that comes before the body is sent counts; the rest of the body is not sent, and the connection is closed."""
    refusal = http(413, b'{"error":{"message":"too large"}}')
    received: list[int] = []

    def serve(sock: socket.socket) -> None:
        received.append(len(sock.recv(65536)))
        sock.sendall(refusal)
        # All that the client still sends is read, so that no reset overtakes the reply.
        while data := sock.recv(65536):
            received.append(len(data))

    with TcpServer(serve) as server:
        async with open_client(server.url) as client:
            exchange = await client.exchange(Request("chat/completions", b"x" * 50_000_000, bytes(16)))
            assert codes(exchange) == (413, None)
    assert sum(received) < 50_000_000


async def test_a_fast_stream_in() -> None:
    """Promise 8: a server that sends faster than its reply is read is slowed down, not buffered."""
    total, piece = 100_000_000, bytes(500_000)
    sent = []

    def serve(sock: socket.socket) -> None:
        read_request(sock)
        sock.sendall(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        for _ in range(total // len(piece)):
            sock.sendall(b"%x\r\n%b\r\n" % (len(piece), piece))
            sent.append(len(piece))
        sock.sendall(b"0\r\n\r\n")

    with TcpServer(serve) as server:
        async with engine() as ours:
            response = await ours.send(target(server.url), b"{}")
            taken = 0
            longest = 0
            while (data := await response.read()) is not None:
                taken += len(data)
                longest = max(longest, len(data))
                for _ in range(20):
                    await anyio.lowlevel.checkpoint()
    assert taken == total
    assert longest <= BUFFERED_BYTES + READ_BYTES


async def test_a_reader_that_stops_stops_the_server() -> None:
    """Promise 8: while nothing of a reply is read, the server can send no more than fits into sockets and buffer."""
    sent = []

    def serve(sock: socket.socket) -> None:
        read_request(sock)
        sock.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            sent.append(sock.send(bytes(100_000)))

    with TcpServer(serve) as server:
        async with engine() as ours:
            response = await ours.send(target(server.url), b"{}")
            await until(lambda: sum(sent) > 2 * BUFFERED_BYTES)
            for _ in range(1000):
                await anyio.lowlevel.checkpoint()
            piece = await response.read()
            assert piece is not None
            assert len(piece) <= BUFFERED_BYTES + READ_BYTES


@pytest.mark.parametrize("moment", ["connecting", "sending", "waiting", "reading"])
async def test_cancelling_closes_at_once(moment: str) -> None:
    """A request that is cancelled leaves no connection behind, at whichever moment."""
    begun = threading.Event()
    ended = threading.Event()

    def serve(sock: socket.socket) -> None:
        begun.set()
        if moment == "reading":
            sock.sendall(b"HTTP/1.1 200 OK\r\n\r\n{")
        if moment != "sending":
            while sock.recv(65536):
                pass
        else:
            peek = sock.recv(1)
            while peek:
                peek = sock.recv(65536)
        ended.set()

    with BlackHole() as hole, TcpServer(serve) as server:
        url = hole.url if moment == "connecting" else server.url
        async with engine() as ours:
            async with anyio.create_task_group() as group:
                body = b"x" * 50_000_000 if moment == "sending" else b"{}"
                group.start_soon(body_of, ours, target(url), body)
                if moment == "connecting":
                    await anyio.wait_all_tasks_blocked()
                else:
                    await until(begun.is_set)
                    await anyio.wait_all_tasks_blocked()
                group.cancel_scope.cancel()
            if moment != "connecting":
                await until(ended.is_set)
            assert not any(pool.open for pool in ours._pools.values())


async def test_the_first_address_that_answers() -> None:
    """RFC 8305: an address that does not answer holds up the next one for a quarter of a second, one that refuses not at all."""

    def serve(sock: socket.socket) -> None:
        sock.recv(1)

    with BlackHole() as hole, TcpServer(serve) as server:
        dead, good = (socket.AF_INET, ("127.0.0.1", hole.port)), (socket.AF_INET, ("127.0.0.1", server.port))
        refusing = (socket.AF_INET, ("127.0.0.1", unused_port()))
        for addresses in ([dead, good], [refusing, good], [refusing, dead, good]):
            with await first_connected(addresses) as sock:
                assert sock.getpeername()[1] == server.port
        with pytest.raises(ConnectionRefusedError):
            await first_connected([refusing, refusing])


def _has_ipv6() -> bool:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


@pytest.mark.skipif(not _has_ipv6(), reason="this machine has no IPv6 loopback")
async def test_ipv6() -> None:
    """An endpoint at an IPv6 address is reached, and named in brackets."""
    requests = []

    def serve(sock: socket.socket) -> None:
        requests.append(read_request(sock))
        sock.sendall(http(200, chat_body()))

    with TcpServer(serve, host="::1") as server:
        async with open_client(server.url) as client:
            assert codes(await client.exchange(request())) == (200, None)
    assert f"Host: [::1]:{server.port}\r\n".encode() in requests[0]


async def test_names_are_resolved_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fault 33: a burst of connections to one name is one lookup."""
    lookups = []
    real: Callable[..., object] = socket.getaddrinfo

    def counted(*words: object, **more: object) -> object:
        lookups.append(words)
        return real(*words, **more)

    monkeypatch.setattr(socket, "getaddrinfo", counted)
    with ScriptedEndpoint() as endpoint:
        async with engine() as ours, anyio.create_task_group() as group:
            to = target(f"http://localhost:{endpoint.port}/v1")
            for _ in range(20):
                group.start_soon(body_of, ours, to, b'{"prompt":"hi"}')
        assert endpoint.connections > 1
    assert len(lookups) <= 1  # uvloop asks the system itself


async def test_refused_in_plain_words() -> None:
    """Fault 13: the text of a refused connection names the host and what the system said."""
    port = unused_port()
    async with engine() as ours:
        with pytest.raises(ConnectError, match=f"127.0.0.1 port {port}: Connection refused"):
            await ours.send(target(f"http://127.0.0.1:{port}"), b"{}")
