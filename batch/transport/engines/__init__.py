"""The HTTP engines: our own in the event loop (the default, chosen by measurement), and httpx (HTTP/2, SOCKS proxies).

All follow no redirects, keep no cookies, unpack nothing by themselves, check certificates, and use a proxy only where the user asks.
"""

from __future__ import annotations

from functools import partial
from importlib.util import find_spec

from batch.errors import SetupError
from batch.settings import RunSettings
from batch.transport.proxies import Proxied, proxies_of_environment
from batch.transport.wire import Engine

KEEP_ALIVE_S = 4.0
"""How long a connection may idle: less than usual servers allow (uvicorn and Node: 5 s), so that none is closed as it is taken."""


def open_engine(run: RunSettings, connections: int) -> Engine:
    """The engine that `run.http` names, for `connections` at once; the caller closes it. Called in a running event loop.

    Raises:
        SetupError: a proxy of the environment that the engine cannot use.
    """
    engine = partial({"asyncio": _asyncio, "httpx": _httpx}[run.http], run, connections)
    proxies = proxies_of_environment() if run.trust_env else {}
    if not proxies:
        return engine(None)
    return Proxied(engine(None), {scheme: engine(url) for scheme, url in proxies.items()})


def _asyncio(run: RunSettings, connections: int, proxy: str | None) -> Engine:
    from batch.transport.engines.h1.engine import H1Engine

    return H1Engine(connect_timeout_s=run.connect_timeout_s, keep_alive_s=KEEP_ALIVE_S, connections=connections, proxy=proxy)


def _httpx(run: RunSettings, connections: int, proxy: str | None) -> Engine:
    import httpx

    from batch.transport.engines.h1.connect import socket_options
    from batch.transport.engines.h1.tls import tls_context
    from batch.transport.engines.httpx_engine import HttpxEngine, proxy_of

    limits = httpx.Limits(max_connections=None, max_keepalive_connections=connections, keepalive_expiry=KEEP_ALIVE_S)
    http2 = find_spec("h2") is not None
    # httpcore sets the protocols on the context that it gets: each way of using it has a context of its own.
    context = tls_context("http/1.1", "h2") if http2 else tls_context("http/1.1")

    def open_transport(uds: str | None) -> httpx.AsyncHTTPTransport:
        options = socket_options() if uds is None else None
        return httpx.AsyncHTTPTransport(
            verify=context, http2=http2, trust_env=False, limits=limits, proxy=proxy_of(proxy), uds=uds, socket_options=options
        )

    try:
        return HttpxEngine(open_transport, run.connect_timeout_s)
    except ImportError:
        raise SetupError("SOCKS proxies need one package more: pip install 'promptmill[socks]'") from None
