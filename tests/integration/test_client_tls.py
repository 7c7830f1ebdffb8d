"""TLS and proxies for it, over every HTTP engine: who is believed, what is said when not, tunnels by CONNECT."""

from __future__ import annotations

import socket
from base64 import b64encode
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from threading import Thread

import pytest

from batch.policy.verdicts import Action, judge
from batch.transport.engines.h1.tls import tls_context
from tests.support.scripted import CLOSE, ScriptedEndpoint, chat_body
from tests.support.scripts import ENGINES, Authority, codes, open_client, request
from tests.support.servers import TcpServer

LOOPS = [pytest.param(("asyncio", {"use_uvloop": False}), id="asyncio"), pytest.param(("asyncio", {"use_uvloop": True}), id="uvloop")]
pytestmark = [pytest.mark.parametrize("engine", ENGINES), pytest.mark.parametrize("anyio_backend", LOOPS)]


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Authority]:
    """An authority that SSL_CERT_FILE names."""
    authority = Authority(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.ca))
    tls_context.cache_clear()
    yield authority
    tls_context.cache_clear()


async def test_kept_over_tls(engine: str, authority: Authority) -> None:
    """Requests share one connection and its handshake, also where the system hands it tickets in between."""
    with ScriptedEndpoint(tls=authority.server("127.0.0.1")) as endpoint:
        async with open_client(endpoint.url, http=engine) as client:
            for _ in range(5):
                assert codes(await client.exchange(request())) == (200, None)
    assert endpoint.connections == 1


async def test_a_body_to_the_end_over_tls(engine: str, authority: Authority) -> None:
    """RFC 9112, section 6.3, rule 8: a body that ends with the connection is whole when TLS is closed in order."""
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n"
    with ScriptedEndpoint(lambda _: [head + chat_body(), CLOSE], tls=authority.server("127.0.0.1")) as endpoint:
        async with open_client(endpoint.url, http=engine) as client:
            exchange = await client.exchange(request())
    assert (codes(exchange), exchange.body) == ((200, None), chat_body())


@pytest.mark.parametrize(
    ("host", "expired", "words"),
    [("127.0.0.1", True, "its certificate has expired"), ("other.example", False, "its certificate is for another")],
)
async def test_certificates_in_plain_words(engine: str, authority: Authority, host: str, expired: bool, words: str) -> None:
    """Fault 31: the text says what is wrong with a certificate, in words for people; the run stops."""
    with ScriptedEndpoint(tls=authority.server(host, expired=expired)) as endpoint:
        async with open_client(endpoint.url, http=engine) as client:
            exchange = await client.exchange(request())
    assert exchange.fault is not None
    assert (exchange.fault.code, exchange.fault.sent, endpoint.requests) == ("tls", False, [])
    assert words in exchange.fault.message
    assert judge(exchange, 0.0).action is Action.STOP


async def test_https_where_http_is_spoken(engine: str, authority: Authority) -> None:
    """Fault 31: a server that speaks no TLS is told as that."""

    def serve(sock: socket.socket) -> None:
        sock.recv(65536)
        sock.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    with TcpServer(serve) as server:
        async with open_client(server.url.replace("http:", "https:"), http=engine) as client:
            exchange = await client.exchange(request())
    assert exchange.fault is not None
    assert (exchange.fault.code, exchange.fault.sent) == ("tls", False)
    assert "does not speak TLS" in exchange.fault.message


async def test_closed_within_the_handshake(engine: str, authority: Authority) -> None:
    """Fault 13: a connection that ends while TLS begins is a passing fault of the network, and nothing was sent."""

    def serve(sock: socket.socket) -> None:
        sock.recv(65536)

    with TcpServer(serve) as server:
        async with open_client(server.url.replace("http:", "https:"), http=engine) as client:
            exchange = await client.exchange(request())
    assert exchange.fault is not None
    assert (exchange.fault.code, exchange.fault.sent, judge(exchange, 0.0).action) == ("connect", False, Action.RETRY)


class Tunnels:
    """A proxy that makes tunnels to one port, whatever host is asked for, when `allowed` is what its requests must hold."""

    def __init__(self, port: int, *, allowed: bytes = b"", refusal: bytes = b"") -> None:
        self._port = port
        self._allowed = allowed
        self._refusal = refusal
        self.heads: list[bytes] = []

    def serve(self, sock: socket.socket) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            more = sock.recv(65536)
            if not more:
                return
            head += more
        self.heads.append(head)
        if self._allowed not in head:
            sock.sendall(self._refusal)
            return
        with socket.create_connection(("127.0.0.1", self._port)) as far:
            sock.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            back = Thread(target=_pass_on, args=(far, sock))
            back.start()
            _pass_on(sock, far)
            back.join()


def _pass_on(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    for sock in (source, sink):
        with suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize("user", ["", "me:p%40ss@"])
async def test_a_tunnel(engine: str, authority: Authority, monkeypatch: pytest.MonkeyPatch, user: str) -> None:
    """An HTTP proxy leads to an https endpoint by CONNECT; it sees neither key nor request, and gets its own user name and password."""
    credentials = b64encode(b"me:p@ss")
    with ScriptedEndpoint(tls=authority.server("far.invalid")) as endpoint:
        tunnels = Tunnels(endpoint.port, allowed=b"Basic " + credentials if user else b"")
        with TcpServer(tunnels.serve) as proxy:
            monkeypatch.setenv("https_proxy", f"http://{user}127.0.0.1:{proxy.port}")
            monkeypatch.delenv("no_proxy", raising=False)
            monkeypatch.delenv("NO_PROXY", raising=False)
            async with open_client("https://far.invalid/v1", http=engine, trust_env=True) as client:
                for _ in range(2):
                    assert codes(await client.exchange(request())) == (200, None)
    assert endpoint.connections == len(tunnels.heads) == 1
    assert tunnels.heads[0].startswith(b"CONNECT far.invalid:443 HTTP/1.1\r\n")
    assert b"Bearer" not in tunnels.heads[0]
    assert all("proxy-authorization" not in received.headers for received in endpoint.requests)


@pytest.mark.parametrize("status", [b"407 Proxy Authentication Required", b"403 Forbidden", b"502 Bad Gateway"])
async def test_a_tunnel_that_is_refused(engine: str, authority: Authority, monkeypatch: pytest.MonkeyPatch, status: bytes) -> None:
    """A proxy that makes no tunnel is a fault of its own kind, and nothing was sent."""
    tunnels = Tunnels(0, allowed=b"never", refusal=b"HTTP/1.1 %b\r\ncontent-length: 0\r\n\r\n" % status)
    with TcpServer(tunnels.serve) as proxy:
        monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{proxy.port}")
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        async with open_client("https://far.invalid/v1", http=engine, trust_env=True) as client:
            exchange = await client.exchange(request())
    assert exchange.fault is not None
    assert (exchange.fault.code, exchange.fault.sent) == ("proxy", False)


async def test_a_tunnel_to_another_host(engine: str, authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fault 31, promise 12: a proxy that leads elsewhere does not get the key: the certificate must be for the endpoint's name."""
    with ScriptedEndpoint(tls=authority.server("other.invalid")) as endpoint, TcpServer(Tunnels(endpoint.port).serve) as proxy:
        monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{proxy.port}")
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        async with open_client("https://far.invalid/v1", http=engine, trust_env=True) as client:
            exchange = await client.exchange(request())
    assert exchange.fault is not None
    assert (exchange.fault.code, endpoint.requests) == ("tls", [])


async def test_a_tunnel_within_tls(engine: str, authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy that is reached over TLS itself makes tunnels as well."""
    context = authority.server("127.0.0.1")
    with ScriptedEndpoint(tls=authority.server("far.invalid")) as endpoint:
        tunnels = Tunnels(endpoint.port)

        def serve(sock: socket.socket) -> None:
            with context.wrap_socket(sock, server_side=True) as secure:
                tunnels.serve(secure)

        with TcpServer(serve) as proxy:
            monkeypatch.setenv("https_proxy", f"https://127.0.0.1:{proxy.port}")
            monkeypatch.delenv("no_proxy", raising=False)
            monkeypatch.delenv("NO_PROXY", raising=False)
            async with open_client("https://far.invalid/v1", http=engine, trust_env=True) as client:
                exchange = await client.exchange(request())
    assert codes(exchange) == (200, None)
    assert len(tunnels.heads) == 1
