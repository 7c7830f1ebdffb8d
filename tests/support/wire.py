"""A client for tests, over a real HTTP engine."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import orjson

from batch.clock import SystemClock
from batch.records import Api, Exchange, Request
from batch.settings import ProviderSettings, RunSettings
from batch.transport.client import Client
from batch.transport.engines import open_engine
from tests.support.scripted import PATIENCE_S, Action, ScriptedEndpoint

KEY = "sk-canary-0123456789"
TLS = Path(__file__).parent / "tls"
TEST_CA = TLS / "ca.pem"
ENGINES = ["asyncio", "httpx"]


def request(api: Api = "chat/completions", **body: Any) -> Request:
    """A request with this body."""
    content = {"messages": [{"role": "user", "content": "hi"}]} if api == "chat/completions" else {"prompt": "hi", "input": "hi"}
    return Request(api, orjson.dumps({"model": "test-model", **content, **body}), bytes(16))


@asynccontextmanager
async def open_client(base_url: str, *, key: str | None = KEY, provider: dict[str, Any] | None = None, **run: Any) -> AsyncIterator[Client]:
    """A client with these run settings, its engine closed at the end."""
    settings = RunSettings(**run)
    async with open_engine(settings, 64) as engine:
        endpoint = ProviderSettings(name="test", base_url=base_url, **(provider or {}))
        yield Client(endpoint, key, settings, clock=SystemClock(), engine=engine)


async def attempt(engine: str, *script: Action, **run: Any) -> Exchange:
    """One exchange with an endpoint that does this."""
    with ScriptedEndpoint(lambda _: script) as endpoint:
        async with open_client(endpoint.url, http=engine, **run) as client:
            return await client.exchange(request())


def codes(exchange: Exchange) -> tuple[int | None, str | None]:
    """The status of an exchange, and the code of its fault."""
    return exchange.status, exchange.fault and exchange.fault.code


def tls_server() -> ssl.SSLContext:
    """TLS for a scripted endpoint, with a certificate for 127.0.0.1 and localhost that only TEST_CA vouches for."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(TLS / "server.pem")
    return context


async def until(happened: Callable[[], object]) -> None:
    """Wait until `happened` is true, which must be."""
    with anyio.fail_after(PATIENCE_S):
        while not happened():  # noqa: ASYNC110 - it happens in another thread
            await anyio.sleep(0.005)
