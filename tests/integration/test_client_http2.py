"""HTTP/2 and SOCKS with the engine httpx, where their packages are installed."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from batch.errors import SetupError
from batch.settings import RunSettings
from batch.transport.engines import open_engine
from batch.transport.engines.h1.tls import tls_context
from tests.support.scripted import ScriptedEndpoint, chat_body, http
from tests.support.scripts import Authority, codes, open_client, request
from tests.support.servers import TcpServer, read_request

h2_connection = pytest.importorskip("h2.connection")
h2_config = pytest.importorskip("h2.config")
h2_events = pytest.importorskip("h2.events")


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Authority]:
    """An authority that SSL_CERT_FILE names."""
    authority = Authority(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.ca))
    tls_context.cache_clear()
    yield authority
    tls_context.cache_clear()


def serve_http2(context: ssl.SSLContext, protocols: list[str | None], sock: socket.socket) -> None:
    """Answer each request of a connection by HTTP/2, if that is what was agreed on."""
    with context.wrap_socket(sock, server_side=True) as secure:
        protocols.append(secure.selected_alpn_protocol())
        if protocols[-1] != "h2":
            return
        connection = h2_connection.H2Connection(h2_config.H2Configuration(client_side=False))
        connection.initiate_connection()
        secure.sendall(connection.data_to_send())
        while data := secure.recv(65536):
            for event in connection.receive_data(data):
                if isinstance(event, h2_events.StreamEnded):
                    connection.send_headers(event.stream_id, [(":status", "200"), ("content-type", "application/json")])
                    connection.send_data(event.stream_id, chat_body(), end_stream=True)
            secure.sendall(connection.data_to_send())


async def test_http2_where_the_server_offers_it(authority: Authority) -> None:
    """With httpx and the package h2, an endpoint that offers HTTP/2 over TLS gets it: all requests in one connection."""
    context = authority.server("127.0.0.1")
    context.set_alpn_protocols(["h2", "http/1.1"])
    protocols: list[str | None] = []
    with TcpServer(lambda sock: serve_http2(context, protocols, sock)) as server:
        async with open_client(server.url.replace("http:", "https:"), http="httpx") as client:
            for _ in range(3):
                exchange = await client.exchange(request())
                assert (codes(exchange), exchange.body) == ((200, None), chat_body())
    assert protocols == ["h2"]


@pytest.mark.parametrize("engine", ["asyncio", "httpx"])
async def test_http1_where_the_server_has_no_other(engine: str, authority: Authority) -> None:
    """An endpoint that offers HTTP/1.1 alone gets that, from both engines."""
    context = authority.server("127.0.0.1")
    context.set_alpn_protocols(["http/1.1"])
    with ScriptedEndpoint(tls=context) as endpoint:
        async with open_client(endpoint.url, http=engine) as client:
            assert codes(await client.exchange(request())) == (200, None)


def serve_socks(asked: list[bytes], sock: socket.socket) -> None:
    """A SOCKS5 proxy (RFC 1928) that answers in the place of whatever it is asked for."""
    sock.recv(512)
    sock.sendall(b"\x05\x00")
    asked.append(sock.recv(512))
    sock.sendall(b"\x05\x00\x00\x01\x7f\x00\x00\x01\x00\x50")
    read_request(sock)
    sock.sendall(http(200, chat_body()))


async def test_socks(monkeypatch: pytest.MonkeyPatch) -> None:
    """With httpx and the package socksio, a SOCKS proxy is asked for the endpoint by its name."""
    pytest.importorskip("socksio")
    asked: list[bytes] = []
    with TcpServer(lambda sock: serve_socks(asked, sock)) as server:
        monkeypatch.setenv("http_proxy", f"socks5://127.0.0.1:{server.port}")
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        async with open_client("http://far.invalid/v1", http="httpx", trust_env=True) as client:
            assert codes(await client.exchange(request())) == (200, None)
    assert b"far.invalid" in asked[0]


async def test_socks_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine of our own has no SOCKS: the error names the one that has, before anything is sent."""
    monkeypatch.setenv("http_proxy", "socks5://127.0.0.1:9")
    with pytest.raises(SetupError, match="httpx"):
        open_engine(RunSettings(trust_env=True), 1)
