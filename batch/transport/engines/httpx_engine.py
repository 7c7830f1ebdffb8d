"""httpx's transport as an engine: HTTP/2 and SOCKS proxies, where their packages are installed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any, cast

import httpx

from batch.providers.urls import socket_path
from batch.transport.engines.h1.tls import tls_context
from batch.transport.wire import Engine, Response, Target

WRITTEN_BYTES = 64 * 1024
"""A larger body goes out in pieces of this size, each when the one before has left: so it is not copied whole."""

OpenTransport = Callable[[str | None], httpx.AsyncBaseTransport]
"""Makes the transport to the Unix socket at this path, or with None to all hosts."""


class HttpxEngine(Engine):
    """Sends with httpx transports, which are closed with it. `connect_timeout_s` is passed with each request."""

    def __init__(self, open_transport: OpenTransport, connect_timeout_s: float) -> None:
        self._open = open_transport
        # What cannot be opened is found here, before anything is sent.
        self._transports: dict[str | None, httpx.AsyncBaseTransport] = {None: open_transport(None)}
        self._extensions = {"timeout": {"connect": connect_timeout_s}}
        self._heads: dict[Target, tuple[httpx.AsyncBaseTransport, httpx.URL, httpx.Headers]] = {}

    async def send(self, target: Target, body: bytes) -> Response:
        """Send one request and give its reply as soon as the head is there. Raises httpx.HTTPError."""
        if target not in self._heads:
            self._heads[target] = self._head(target)
        transport, url, headers = self._heads[target]
        content: Any = body or None
        if len(body) > WRITTEN_BYTES:
            # A length that is set keeps httpx from sending chunks.
            content, headers = _pieces(body), httpx.Headers([*headers.raw, (b"Content-Length", b"%d" % len(body))])
        request = httpx.Request(target.method, url, headers=headers, content=content, extensions=dict(self._extensions))
        response = await transport.handle_async_request(request)
        if "content-length" in response.headers and "transfer-encoding" in response.headers:
            # RFC 9112, section 6.3, rule 3: h11 believes the second alone.
            await response.aclose()
            raise httpx.RemoteProtocolError("the reply has a Content-Length and a Transfer-Encoding")
        return _Response(response)

    async def close(self) -> None:
        """Close all connections."""
        for transport in self._transports.values():
            await transport.aclose()

    def _head(self, target: Target) -> tuple[httpx.AsyncBaseTransport, httpx.URL, httpx.Headers]:
        url = httpx.URL(target.url)
        path = socket_path(target.url)
        if path is not None:
            url = url.copy_with(scheme="http", host="localhost")
        if path not in self._transports:
            self._transports[path] = self._open(path)
        return self._transports[path], url, httpx.Headers(target.headers, encoding="utf-8")


def proxy_of(url: str | None) -> httpx.Proxy | None:
    """Return httpx's proxy for a URL; one that is reached over TLS is trusted as endpoints are."""
    if url is None:
        return None
    return httpx.Proxy(url, ssl_context=tls_context("http/1.1") if url.startswith("https:") else None)


async def _pieces(body: bytes) -> AsyncIterator[bytes]:
    view = memoryview(body)
    for start in range(0, len(view), WRITTEN_BYTES):
        yield bytes(view[start : start + WRITTEN_BYTES])


class _Response:
    def __init__(self, response: httpx.Response) -> None:
        self.status = response.status_code
        self.headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in response.headers.raw}
        self._stream = cast("httpx.AsyncByteStream", response.stream)
        self._pieces = aiter(self._stream)

    async def read(self) -> bytes | None:
        return await anext(self._pieces, None)

    async def close(self) -> None:
        close: Any = getattr(self._pieces, "aclose", None)
        if close is not None:
            await close()
        await self._stream.aclose()
