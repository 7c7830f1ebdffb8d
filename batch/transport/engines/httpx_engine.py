"""httpx's transport as an engine: HTTP/2 and SOCKS proxies, where their packages are installed."""

from __future__ import annotations

from typing import Any, cast

import httpx

from batch.transport.wire import Engine, Response, Target


class HttpxEngine(Engine):
    """Sends with an httpx transport, which is closed with it. `connect_timeout_s` is passed with each request."""

    def __init__(self, transport: httpx.AsyncBaseTransport, connect_timeout_s: float) -> None:
        self._transport = transport
        self._extensions = {"timeout": {"connect": connect_timeout_s}}
        self._heads: dict[Target, tuple[httpx.URL, httpx.Headers]] = {}

    async def send(self, target: Target, body: bytes) -> Response:
        """Send one request and give its reply as soon as the head is there. Raises httpx.HTTPError."""
        if target not in self._heads:
            self._heads[target] = httpx.URL(target.url), httpx.Headers(target.headers, encoding="utf-8")
        url, headers = self._heads[target]
        request = httpx.Request(target.method, url, headers=headers, content=body or None, extensions=dict(self._extensions))
        return _Response(await self._transport.handle_async_request(request))

    async def close(self) -> None:
        """Close all connections."""
        await self._transport.aclose()


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
