"""The HTTP engines: pyreqwest (the default, chosen by measurement), aiohttp, and httpx's own.

All follow no redirects, keep no cookies, unpack nothing by themselves, check certificates, and use a proxy only where the user asks.
"""

from __future__ import annotations

from datetime import timedelta
from functools import cache, partial
from typing import TYPE_CHECKING

from batch.errors import SetupError
from batch.settings import RunSettings
from batch.transport.proxies import Proxied, proxies_of_environment
from batch.transport.wire import Engine

if TYPE_CHECKING:
    import ssl

KEEP_ALIVE_S = 4.0
"""How long a connection may idle: less than usual servers allow (uvicorn and Node: 5 s), so that none is closed as it is taken."""

LATER_S = 1.0
"""How much later than our own deadlines pyreqwest closes a silent connection: ours have names, so they come first.

Where its own comes first all the same, the process stood still. It looks at its clock before it looks at the wire, so an answer that came
meanwhile is lost (code held, fault 34).
"""

LONGEST_HEADER = 65536


def open_engine(run: RunSettings, connections: int) -> Engine:
    """The engine that `run.http` names, for `connections` at once; the caller closes it.

    Raises:
        SetupError: the engine's package is not installed.
    """
    build = {"pyreqwest": _pyreqwest, "aiohttp": _aiohttp, "httpx": _httpx}[run.http]
    engine = partial(build, run, connections)
    proxies = proxies_of_environment() if run.trust_env else {}
    if not proxies:
        return engine(None)
    return Proxied(engine(None), {scheme: engine(url) for scheme, url in proxies.items()})


def _pyreqwest(run: RunSettings, connections: int, proxy: str | None) -> Engine:
    from pyreqwest.client import ClientBuilder
    from pyreqwest.proxy import ProxyBuilder

    from batch.transport.engines.pyreqwest_engine import PyreqwestEngine

    builder = (
        ClientBuilder()
        .http1_only()
        .follow_redirects(enable=False)
        .referer(enable=False)
        .gzip(enable=False)
        .brotli(enable=False)
        .zstd(enable=False)
        .deflate(enable=False)
        .connect_timeout(timedelta(seconds=run.connect_timeout_s))
        .read_timeout(timedelta(seconds=_longest_silence(run) + LATER_S))
        .timeout(timedelta(seconds=run.attempt_timeout_s + LATER_S))
        .pool_idle_timeout(timedelta(seconds=KEEP_ALIVE_S))
        .pool_max_idle_per_host(connections)
        .tcp_keepalive(timedelta(seconds=60))
    )
    # no_proxy() first: without it reqwest reads the environment.
    builder = builder.no_proxy()
    if proxy is not None:
        builder = builder.proxy(ProxyBuilder.all(proxy))
    return PyreqwestEngine(builder.build())


def _aiohttp(run: RunSettings, connections: int, proxy: str | None) -> Engine:
    del connections
    try:
        import aiohttp
        import httpx
        from httpx_aiohttp import AiohttpTransport

        from batch.transport.engines.httpx_engine import HttpxEngine
    except ImportError:
        raise _missing("aiohttp") from None

    def session() -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEP_ALIVE_S, ssl=_tls_context())
        return aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
            max_line_size=LONGEST_HEADER,
            max_field_size=LONGEST_HEADER,
        )

    return HttpxEngine(AiohttpTransport(client=session, proxy=httpx.Proxy(proxy) if proxy else None), run.connect_timeout_s)


def _httpx(run: RunSettings, connections: int, proxy: str | None) -> Engine:
    try:
        import httpx

        from batch.transport.engines.httpx_engine import HttpxEngine
    except ImportError:
        raise _missing("httpx") from None
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=connections, keepalive_expiry=KEEP_ALIVE_S)
    engine = httpx.AsyncHTTPTransport(verify=_tls_context(), trust_env=False, limits=limits, proxy=proxy)
    return HttpxEngine(engine, run.connect_timeout_s)


def _missing(name: str) -> SetupError:
    return SetupError(f"the HTTP engine {name} is not installed: pip install 'promptmill[{name}]'")


def _longest_silence(run: RunSettings) -> float:
    return min(max(run.first_byte_timeout_s, run.idle_timeout_s), run.attempt_timeout_s)


@cache
def _tls_context() -> ssl.SSLContext:
    """The one TLS context of the process: making one reads hundreds of certificates. SSL_CERT_FILE and SSL_CERT_DIR count."""
    import httpx

    return httpx.create_ssl_context(trust_env=True)
