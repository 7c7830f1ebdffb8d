"""Connections of every HTTP engine: many at once, used again, closed as they are taken, large bodies both ways, cancelled at any moment."""

from __future__ import annotations

import resource
import socket
import ssl
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest

from batch.policy.verdicts import judge
from batch.records import Request
from batch.settings import RunSettings
from batch.transport import engines
from batch.transport.engines import open_engine
from batch.transport.engines.h1.connection import WRITTEN_BYTES
from batch.transport.engines.h1.engine import H1Engine
from batch.transport.engines.h1.response import BUFFERED_BYTES
from batch.transport.engines.h1.tls import tls_context
from batch.transport.wire import Engine, Target
from tests.support.processes import BlackHole
from tests.support.scripted import HANG, RESET, ScriptedEndpoint, chat_body, chat_reply, http
from tests.support.scripts import Authority, codes, happens, open_client, request
from tests.support.servers import Serve, TcpServer, read_request

MANY = 2000
# httpx takes 20 times as long for each, and the promise for thousands is that of the default engine.
MANY_OF_HTTPX = 300
READ_BYTES = 256 * 1024  # the most that a loop reads from a socket at once

UVLOOP, ASYNCIO = ("asyncio", {"use_uvloop": True}), ("asyncio", {"use_uvloop": False})
pytestmark = pytest.mark.parametrize(
    ("engine", "anyio_backend"),
    [
        pytest.param("asyncio", ASYNCIO, id="asyncio"),
        pytest.param("asyncio", UVLOOP, id="asyncio on uvloop"),
        pytest.param("httpx", UVLOOP, id="httpx on uvloop"),
    ],
)


@pytest.fixture
def many_files() -> Iterator[None]:
    """Files for both ends of the connections."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Authority]:
    """An authority that SSL_CERT_FILE names."""
    authority = Authority(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.ca))
    tls_context.cache_clear()
    yield authority
    tls_context.cache_clear()


def opened(engine: Any) -> Engine:
    """The engine that a run with this setting has."""
    return open_engine(RunSettings(http=engine, connect_timeout_s=60), 64)


def target(url: str) -> Target:
    return Target("POST", f"{url}/chat/completions", (("Host", "test"),))


async def body_of(engine: Engine, to: Target, body: bytes = b"{}") -> bytes:
    response = await engine.send(to, body)
    pieces = []
    while (piece := await response.read()) is not None:
        pieces.append(piece)
    await response.close()
    return b"".join(pieces)


@pytest.mark.timeout(300)
async def test_thousands_reset_at_once(engine: str, many_files: None) -> None:
    """Fault 14: when 2,000 connections are reset in one instant, each request ends as that, and the next is served."""
    healthy, many = threading.Event(), MANY if engine == "asyncio" else MANY_OF_HTTPX
    with ScriptedEndpoint(lambda _: [chat_reply()] if healthy.is_set() else [HANG]) as endpoint:
        async with open_client(endpoint.url, http=engine, first_byte_timeout_s=300, connect_timeout_s=300) as client:
            faults = []

            async def send() -> None:
                faults.append(codes(await client.exchange(request())))

            async with anyio.create_task_group() as group:
                for _ in range(many):
                    group.start_soon(send)
                await happens(lambda: len(endpoint.requests) == many)

                def reset_all() -> None:
                    for protocol in list(endpoint._protocols):
                        protocol._end(RESET)

                endpoint._loop.call_soon_threadsafe(reset_all)
            assert faults == [(None, "reset")] * many
            healthy.set()
            assert codes(await client.exchange(request())) == (200, None)
            assert endpoint.open_connections == 1


async def test_closed_after_it_was_read(engine: str) -> None:
    """Fault 14: a request that the server read on a kept connection before it closed that may have been billed: it is not sent again."""
    requests = []

    def serve(sock: socket.socket) -> None:
        while received := read_request(sock):
            requests.append(received)
            if len(requests) == 2:
                return
            sock.sendall(http(200, chat_body()))

    with TcpServer(serve) as server:
        async with open_client(server.url, http=engine) as client:
            assert codes(await client.exchange(request())) == (200, None)
            exchange = await client.exchange(request())
    verdict = judge(exchange, 0.0)
    assert (codes(exchange), verdict.charged, verdict.may_be_billed_twice, len(requests)) == ((None, "reset"), True, True, 2)


async def test_idle_connections_closed_as_they_are_taken(engine: str) -> None:
    """Faults 14 and 15: where a server closes each idle connection at any moment, no request is received twice by the engine's doing."""
    received: list[bytes] = []

    def serve(sock: socket.socket) -> None:
        received.append(read_request(sock))
        sock.sendall(http(200, chat_body()))
        for _ in range(len(received) % 8 * 500):
            pass  # closes sooner or later after the reply, while the next request is on its way

    with TcpServer(serve) as server:
        async with open_client(server.url, http=engine) as client:
            exchanges = [await client.exchange(request(seed=number)) for number in range(200)]
    bodies = [head.partition(b"\r\n\r\n")[2] for head in received if head]
    assert len(bodies) == len(set(bodies))
    for exchange in exchanges:
        verdict = judge(exchange, 0.0)
        assert codes(exchange) in {(200, None), (None, "reset")}
        assert exchange.status or verdict.may_be_billed_twice


async def test_what_a_server_says_unasked(engine: str) -> None:
    """Fault 15: a 408 on an idle connection answers nothing: the next request has a connection of its own."""
    timeout = http(408, b"", {"connection": "close"})
    said = threading.Semaphore(0)

    def serve(sock: socket.socket) -> None:
        read_request(sock)
        try:
            sock.sendall(http(200, chat_body()) + (timeout if engine == "asyncio" else b""))
            if engine == "httpx":  # it looks at an idle connection when it takes it
                sock.sendall(timeout)
            sock.shutdown(socket.SHUT_WR)
        finally:
            # Where the client has closed already, the server's next call fails; the test would wait for ever.
            said.release()
        sock.recv(1)

    with TcpServer(serve) as server:
        async with open_client(server.url, http=engine) as client:
            for number in range(1, 4):
                assert codes(await client.exchange(request())) == (200, None)
                assert server.accepted == number
                await anyio.to_thread.run_sync(said.acquire)


async def test_an_idle_connection_grows_old(engine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fault 15: a connection that was idle longer than the limit is not used again; the engine of our own closes it by a timer."""
    monkeypatch.setattr(engines, "KEEP_ALIVE_S", 0.02)
    with ScriptedEndpoint() as endpoint:
        async with open_client(endpoint.url, http=engine) as client:
            for number in range(1, 4):
                assert codes(await client.exchange(request())) == (200, None)
                assert endpoint.connections == number
                if engine == "asyncio":
                    await happens(lambda: not endpoint.open_connections)
                else:
                    await anyio.sleep(0.05)  # longer than the limit: only the next request shows it


async def test_no_more_idle_connections_than_in_flight(engine: str) -> None:
    """Of connections that have become idle, no more are kept than requests may be in flight."""
    with ScriptedEndpoint() as endpoint:
        async with open_engine(RunSettings(http=engine), 3) as opened, anyio.create_task_group() as group:  # type: ignore[arg-type]
            for _ in range(10):
                group.start_soon(body_of, opened, target(endpoint.url), b'{"prompt":"hi"}')
            await happens(lambda: len(endpoint.requests) == 10)
            await happens(lambda: endpoint.open_connections <= 3)
    assert endpoint.connections > 3


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


def within_tls(context: ssl.SSLContext, serve: Serve, sock: socket.socket) -> None:
    """Serve a connection over TLS."""
    with context.wrap_socket(sock, server_side=True) as secure:
        serve(secure)


@pytest.mark.parametrize("secure", [False, True])
async def test_a_large_body_out(engine: str, authority: Authority, secure: bool) -> None:
    """Fault 52, promise 8: 50 MB go out without being copied, over TLS too."""
    sizes: list[int] = []
    body = b'{"messages":"' + b"x" * 50_000_000 + b'"}'
    serve: Serve = partial(discarding, sizes)
    with TcpServer(partial(within_tls, authority.server("127.0.0.1"), serve) if secure else serve) as server:
        async with open_client(server.url.replace("http:", "https:" if secure else "http:"), http=engine) as client:
            tracemalloc.start()
            try:
                exchange = await client.exchange(Request("chat/completions", body, bytes(16)))
                peak = tracemalloc.get_traced_memory()[1]
            finally:
                tracemalloc.stop()
    assert (codes(exchange), sizes) == ((200, None), [len(body)])
    assert peak < 16 * WRITTEN_BYTES + 6_000_000


async def test_a_refusal_of_a_large_body(engine: str) -> None:
    """A reply that comes before the body is sent counts; our own engine sends no more of the body then."""
    refusal = http(413, b'{"error":{"message":"too large"}}')
    received: list[int] = []

    def serve(sock: socket.socket) -> None:
        received.append(len(sock.recv(65536)))
        sock.sendall(refusal)
        # All that the client still sends is read, so that no reset overtakes the reply.
        while data := sock.recv(65536):
            received.append(len(data))

    with TcpServer(serve) as server:
        async with open_client(server.url, http=engine) as client:
            exchange = await client.exchange(Request("chat/completions", b"x" * 50_000_000, bytes(16)))
            assert codes(exchange) == (413, None)
    assert engine == "httpx" or sum(received) < 50_000_000


async def test_a_fast_stream_in(engine: str) -> None:
    """Promise 8: a server that sends faster than its reply is read is slowed down, not buffered."""
    total, piece = 50_000_000, bytes(500_000)

    def serve(sock: socket.socket) -> None:
        read_request(sock)
        sock.sendall(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        for _ in range(total // len(piece)):
            sock.sendall(b"%x\r\n%b\r\n" % (len(piece), piece))
        sock.sendall(b"0\r\n\r\n")

    with TcpServer(serve) as server:
        async with opened(engine) as ours:
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


async def test_a_reader_that_stops_stops_the_server(engine: str) -> None:
    """Promise 8: while nothing of a reply is read, the server can send no more than fits into sockets and buffer."""
    sent = []

    def serve(sock: socket.socket) -> None:
        read_request(sock)
        sock.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            sent.append(sock.send(bytes(100_000)))

    with TcpServer(serve) as server:
        async with opened(engine) as ours:
            response = await ours.send(target(server.url), b"{}")
            await happens(lambda: sum(sent) > 2 * BUFFERED_BYTES)
            for _ in range(1000):
                await anyio.lowlevel.checkpoint()
            piece = await response.read()
            assert piece is not None
            assert len(piece) <= BUFFERED_BYTES + READ_BYTES
            await response.close()


@pytest.mark.parametrize("moment", ["connecting", "sending", "waiting", "reading"])
async def test_cancelling_closes_at_once(engine: str, moment: str) -> None:
    """A request that is cancelled leaves no connection behind, at whichever moment."""
    begun = threading.Event()
    ended = threading.Event()

    def serve(sock: socket.socket) -> None:
        begun.set()
        if moment == "reading":
            # What comes before the request is no reply to it.
            sock.recv(1)
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
        async with opened(engine) as ours:
            async with anyio.create_task_group() as group:
                body = b"x" * 50_000_000 if moment == "sending" else b"{}"
                group.start_soon(body_of, ours, target(url), body)
                if moment == "connecting":
                    await anyio.wait_all_tasks_blocked()
                else:
                    await happens(begun.is_set)
                    await anyio.wait_all_tasks_blocked()
                group.cancel_scope.cancel()
            if moment != "connecting":
                await happens(ended.is_set)
            assert not isinstance(ours, H1Engine) or not any(pool.open for pool in ours._pools.values())


async def test_options_of_sockets(engine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is held back to fill a packet (Nagle), and a peer that vanished is noticed: keep-alive probes are on."""
    seen: set[tuple[int, int]] = set()
    real: Callable[..., None] = socket.socket.setsockopt

    def watched(sock: socket.socket, level: int, option: int, *value: Any) -> None:
        seen.add((level, option))
        real(sock, level, option, *value)

    monkeypatch.setattr(socket.socket, "setsockopt", watched)
    with ScriptedEndpoint() as endpoint:
        async with open_client(endpoint.url, http=engine) as client:
            assert codes(await client.exchange(request())) == (200, None)
    assert {(socket.IPPROTO_TCP, socket.TCP_NODELAY), (socket.SOL_SOCKET, socket.SO_KEEPALIVE)} <= seen
    idle = getattr(socket, "TCP_KEEPIDLE", None)
    assert idle is None or (socket.IPPROTO_TCP, idle) in seen


async def test_the_name_in_the_handshake(engine: str, authority: Authority) -> None:
    """RFC 6066: the handshake names the host, so that a server of many picks its certificate (SNI)."""
    context = authority.server("localhost")
    names: list[str | None] = []
    context.sni_callback = lambda _sock, name, _context: names.append(name)
    with ScriptedEndpoint(tls=context) as endpoint:
        async with open_client(endpoint.url.replace("127.0.0.1", "localhost"), http=engine) as client:
            assert codes(await client.exchange(request())) == (200, None)
    assert names == ["localhost"]


def _has_ipv6() -> bool:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


needs_ipv6 = pytest.mark.skipif(not _has_ipv6(), reason="this machine has no IPv6 loopback")


@needs_ipv6
async def test_ipv6(engine: str) -> None:
    """An endpoint at an IPv6 address is reached, and named in brackets."""
    requests = []

    def serve(sock: socket.socket) -> None:
        requests.append(read_request(sock))
        sock.sendall(http(200, chat_body()))

    with TcpServer(serve, host="::1") as server:
        async with open_client(server.url, http=engine) as client:
            assert codes(await client.exchange(request())) == (200, None)
    assert f"Host: [::1]:{server.port}\r\n".encode() in requests[0]


@needs_ipv6
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_a_name_of_both_families(engine: str, host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """RFC 8305: where a name has addresses of both families and only one of them answers, that one is used."""

    async def addresses(_: str, port: int) -> list[Any]:
        return [(socket.AF_INET6, ("::1", port, 0, 0)), (socket.AF_INET, ("127.0.0.1", port))]

    async def infos(name: str, port: int, **_: Any) -> list[Any]:
        return [(family, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", where[:2]) for family, where in await addresses(name, port)]

    def serve(sock: socket.socket) -> None:
        read_request(sock)
        sock.sendall(http(200, chat_body()))

    # No name of this machine has both for sure: this is what a resolver gives our engine, and httpx by anyio.
    monkeypatch.setattr("batch.transport.engines.h1.connect.resolve", addresses)
    monkeypatch.setattr("anyio._core._sockets.getaddrinfo", infos)
    with TcpServer(serve, host=host) as server:
        async with open_client(f"http://two.invalid:{server.port}/v1", http=engine) as client:
            assert codes(await client.exchange(request())) == (200, None)
