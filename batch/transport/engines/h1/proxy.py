"""HTTP proxies: tunnels by CONNECT for https, whole URLs in requests for http (RFC 9110, sections 7.1 and 9.3.6)."""

from __future__ import annotations

from dataclasses import dataclass, field
from http import HTTPStatus
from urllib.parse import urlsplit

from batch.errors import SetupError
from batch.transport.engines.h1.connection import Connection
from batch.transport.engines.h1.errors import ProxyError, TargetError
from batch.transport.engines.h1.request import Origin, basic_authorization, origin_of


@dataclass(frozen=True, slots=True)
class Proxy:
    """An HTTP proxy. `authorization` is the value of Proxy-Authorization."""

    origin: Origin
    authorization: str | None = field(default=None, repr=False)


def proxy_of(url: str) -> Proxy:
    """The proxy that a URL of the environment names. Raises SetupError when it is not an HTTP proxy."""
    split = urlsplit(url)
    if split.scheme.startswith("socks"):
        raise SetupError(f"this engine has no SOCKS proxies ({split.scheme}://): set run.http = \"httpx\" and install 'promptmill[socks]'")
    try:
        return Proxy(origin_of(url), basic_authorization(split) if split.username is not None else None)
    except TargetError:
        raise SetupError(f"a proxy's URL must begin with http:// or https:// and a host: see {split.scheme.upper()}_PROXY") from None


async def open_tunnel(connection: Connection, proxy: Proxy, origin: Origin) -> None:
    """Let the proxy connect to `origin`; from then on the connection's bytes are those of the origin. Raises ProxyError, H1Error."""
    lines = [f"CONNECT {origin.authority} HTTP/1.1", f"Host: {origin.authority}"]
    if proxy.authorization is not None:
        lines.append(f"Proxy-Authorization: {proxy.authorization}")
    response = await connection.exchange("".join(f"{line}\r\n" for line in [*lines, ""]).encode(), b"")
    if response.status == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED:
        connection.abort()
        given = "refuses the user name and password of its URL" if proxy.authorization else "wants a user name and password in its URL"
        raise ProxyError(f"it {given}")
    if not 200 <= response.status < 300 or response.pieces:
        connection.abort()
        raise ProxyError(f"it answered {response.status} to CONNECT {origin.authority}")
