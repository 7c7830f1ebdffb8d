"""Servers at Unix sockets (`unix:/run/llm.sock`), over every HTTP engine."""

from __future__ import annotations

import socket
import tempfile
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import anyio
import pytest

from batch.policy.verdicts import judge
from batch.providers.urls import normalise_base_url
from tests.support.jobs import JobFolder
from tests.support.scripted import chat_body, http
from tests.support.scripts import ENGINES, codes, happens, open_client, request
from tests.support.servers import TcpServer, read_request

LOOPS = [pytest.param(("asyncio", {"use_uvloop": False}), id="asyncio"), pytest.param(("asyncio", {"use_uvloop": True}), id="uvloop")]
every_loop = pytest.mark.parametrize("anyio_backend", LOOPS)
every_engine = pytest.mark.parametrize("engine", ENGINES)


@pytest.fixture
def path() -> Iterator[Path]:
    """Where a socket can be: its path may not be longer than 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="mill") as folder:
        yield Path(folder) / "a b%é.sock"


def serve(requests: list[bytes], sock: socket.socket) -> None:
    """Answer each request of a connection."""
    while received := read_request(sock):
        requests.append(received)
        sock.sendall(http(200, chat_body()))


@every_loop
@every_engine
async def test_requests_share_a_connection(engine: str, path: Path) -> None:
    """The path of the request is as ever, its host is localhost, and the connection is kept."""
    requests: list[bytes] = []
    with TcpServer(partial(serve, requests), path=path) as server:
        async with open_client(normalise_base_url(f"unix:{path}"), http=engine) as client:
            for _ in range(3):
                assert codes(await client.exchange(request())) == (200, None)
    assert (len(requests), server.accepted) == (3, 1)
    assert requests[0].startswith(b"POST /v1/chat/completions HTTP/1.1\r\n")
    assert b"\r\nHost: localhost\r\n" in requests[0]


@every_loop
async def test_a_full_queue_is_waited_for(path: Path) -> None:
    """More connections at once than fit into the socket's queue are made one after the other; none fails."""
    requests: list[bytes] = []
    with TcpServer(partial(serve, requests), path=path, backlog=1) as server:
        async with open_client(server.url) as client, anyio.create_task_group() as group:
            outcomes = []

            async def send() -> None:
                outcomes.append(codes(await client.exchange(request())))

            for _ in range(100):
                group.start_soon(send)
    assert outcomes == [(200, None)] * 100


@every_loop
@every_engine
async def test_no_server(engine: str, path: Path) -> None:
    """Fault 13: where nothing listens no attempt is charged, and with our own engine the text names the socket."""
    async with open_client(normalise_base_url(f"unix:{path}"), http=engine) as client:
        exchange = await client.exchange(request())
    assert exchange.fault is not None
    assert (exchange.fault.code, exchange.fault.sent, judge(exchange, 0.0).charged) == ("connect", False, False)
    assert "No such file or directory" in exchange.fault.message
    assert engine == "httpx" or str(path) in exchange.fault.message


@every_loop
@every_engine
async def test_cancelling_closes_the_connection(engine: str, path: Path) -> None:
    """A cancelled request leaves no connection behind."""
    begun, ended = threading.Event(), threading.Event()

    def hang(sock: socket.socket) -> None:
        read_request(sock)
        begun.set()
        assert not sock.recv(1)
        ended.set()

    with TcpServer(hang, path=path) as server:
        async with open_client(server.url, http=engine) as client, anyio.create_task_group() as group:
            group.start_soon(client.exchange, request())
            await happens(begun.is_set)
            group.cancel_scope.cancel()
        await happens(ended.is_set)


def test_a_run(tmp_path: Path, path: Path) -> None:
    """A job's base_url may be a socket; proxies of the environment are not asked for it."""
    requests: list[bytes] = []
    with TcpServer(partial(serve, requests), path=path):
        folder = JobFolder(tmp_path, f"unix:{path}", rows=5, preflight=False, trust_env=True)
        ended = folder.call(environ={"HTTP_PROXY": "http://127.0.0.1:9", "ALL_PROXY": "http://127.0.0.1:9"})
    assert ended.returncode == 0, ended.stderr
    assert len(folder.completions()) == len(requests) == 5
