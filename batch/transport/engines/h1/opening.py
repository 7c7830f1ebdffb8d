"""Opens connections to one origin: straight, or by an HTTP proxy; over TLS where the origin wants it."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from typing import Any

from batch.providers.urls import UNIX
from batch.transport.engines.h1.connect import Connector, reason_of
from batch.transport.engines.h1.connection import Connection
from batch.transport.engines.h1.errors import ConnectError, ConnectTimeoutError, H1Error, ProxyError, TLSError
from batch.transport.engines.h1.proxy import Proxy, open_tunnel
from batch.transport.engines.h1.request import Origin
from batch.transport.engines.h1.tls import is_tls_refusal, tls_context, tls_words

Event = Callable[[Connection], None]
ALPN = "http/1.1"


class Opener:
    """Opens connections within `connect_timeout_s`, which counts for name, TCP, proxy and TLS together."""

    def __init__(self, connect_timeout_s: float, proxy: Proxy | None) -> None:
        self._timeout_s = connect_timeout_s
        self._proxy = proxy
        self._connector = Connector()

    async def open(self, origin: Origin, on_idle: Event, on_lost: Event) -> Connection:
        """A new connection to `origin`. Raises H1Error with `sent` False."""
        try:
            # asyncio's own: this engine runs on asyncio only.
            async with asyncio.timeout(self._timeout_s):
                if self._proxy is not None:
                    return await self._open_by_proxy(self._proxy, origin, on_idle, on_lost)
                if origin.scheme == UNIX:
                    sock = await self._connector.open_unix(origin.host)
                else:
                    sock = await self._connector.open(origin.host, origin.port)
                return await start(sock, origin, on_idle, on_lost)
        except TimeoutError:
            by = " by the proxy" if self._proxy is not None else ""
            raise ConnectTimeoutError(f"{origin}{by}") from None

    def close(self) -> None:
        """End the lookups of names that are under way."""
        self._connector.close()

    async def _open_by_proxy(self, proxy: Proxy, origin: Origin, on_idle: Event, on_lost: Event) -> Connection:
        try:
            sock = await self._connector.open(proxy.origin.host, proxy.origin.port)
            if origin.scheme == "http":
                return await start(sock, proxy.origin, on_idle, on_lost)
            tunnel = await start(sock, proxy.origin, _nothing, _nothing)
            await open_tunnel(tunnel, proxy, origin)
        except ConnectTimeoutError:
            raise
        except H1Error as error:
            raise error if isinstance(error, ProxyError) else ProxyError(str(error)) from error
        # From here on the proxy only passes bytes on.
        connection = Connection(sock, on_idle, on_lost)
        loop = asyncio.get_running_loop()
        try:
            transport = await loop.start_tls(tunnel.transport, connection, tls_context(ALPN), server_hostname=origin.host)
        except (OSError, ssl.SSLError) as error:
            tunnel.abort()
            raise _refused(error, origin) from error
        except BaseException:
            tunnel.abort()
            raise
        # What asyncio's start_tls gives when the connection was lost meanwhile.
        if transport is None:
            raise ConnectError(f"{origin.host}: the connection broke while TLS began")
        connection.connection_made(transport)
        return connection


async def start(sock: socket.socket, origin: Origin, on_idle: Event, on_lost: Event) -> Connection:
    """The connection over a socket that is connected, with TLS where the origin's scheme wants it. Raises TLSError, ConnectError."""
    connection = Connection(sock, on_idle, on_lost)
    security: dict[str, Any] = {}
    if origin.scheme == "https":
        security = {"ssl": tls_context(ALPN), "server_hostname": origin.host}
    try:
        await asyncio.get_running_loop().create_connection(lambda: connection, sock=sock, **security)
    except (OSError, ssl.SSLError) as error:
        raise _refused(error, origin) from error
    return connection


def _refused(error: Exception, origin: Origin) -> H1Error:
    if is_tls_refusal(error):
        return TLSError(f"{origin.host}: {tls_words(error)}")
    return ConnectError(f"{origin.host}: the connection broke while TLS began ({reason_of(error)})")


def _nothing(_: Connection) -> None:
    pass
