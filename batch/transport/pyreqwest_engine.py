"""pyreqwest (Rust's reqwest and hyper) under httpx's transport seam.

Its own adapter reads 64 KiB of a body before it gives the reply, so that a stream would come in one piece; this one gives the reply
when its head has come. Exceptions of pyreqwest are raised as they are: faults.py reads their causes.

A request that is cancelled before its head has come lives on in pyreqwest (0.15), and so does its connection, until the client's own
read time-out: give the client one.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import AbstractAsyncContextManager
from typing import Any, TypeVar

import anyio.lowlevel
import httpx
from pyreqwest.client import Client
from pyreqwest.response import Response

T = TypeVar("T")


class PyreqwestTransport(httpx.AsyncBaseTransport):
    """Sends requests whose body is there whole; the client is closed with it."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send `request` and give its reply as soon as the head is there. Raises PyreqwestError."""
        builder = self._client.request(request.method, str(request.url)).headers(request.headers.multi_items())
        exchange = builder.body_bytes(request.content).streamed_read_buffer_limit(0).build_streamed()
        reply = await _cancellable(exchange.__aenter__())
        return httpx.Response(reply.status, headers=list(reply.headers.items()), stream=_Body(reply, exchange))

    async def aclose(self) -> None:
        """Close all connections."""
        await self._client.close()


class _Body(httpx.AsyncByteStream):
    def __init__(self, reply: Response, exchange: AbstractAsyncContextManager[Any]) -> None:
        self._read = reply.body_reader.read_chunk
        self._exchange = exchange

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while (piece := await _cancellable(self._read())) is not None:
            yield bytes(piece)

    async def aclose(self) -> None:
        await self._exchange.__aexit__(None, None, None)


async def _cancellable(awaitable: Awaitable[T]) -> T:
    try:
        return await awaitable
    except asyncio.CancelledError:
        # pyreqwest raises one of its own making, which anyio would not know as its scope's: let the scope cancel again.
        await anyio.lowlevel.checkpoint_if_cancelled()
        raise
