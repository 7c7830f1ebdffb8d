"""Connections of the in-loop engine: which is used again, closed in the instant of its use, addresses and names."""

from __future__ import annotations

import socket
from collections.abc import Callable

import anyio
import pytest

from batch.transport.engines.h1.connect import first_connected
from batch.transport.engines.h1.connection import Connection
from batch.transport.engines.h1.engine import H1Engine
from batch.transport.engines.h1.errors import ConnectError
from batch.transport.wire import Target
from tests.support.processes import BlackHole, unused_port
from tests.support.scripted import ScriptedEndpoint, chat_body, http
from tests.support.scripts import codes, open_client, request
from tests.support.servers import TcpServer, read_request

LOOPS = [pytest.param(("asyncio", {"use_uvloop": False}), id="asyncio"), pytest.param(("asyncio", {"use_uvloop": True}), id="uvloop")]
pytestmark = pytest.mark.parametrize("anyio_backend", LOOPS)


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
