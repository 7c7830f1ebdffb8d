"""The default engine: pyreqwest, Python's hand on Rust's reqwest and hyper.

Exceptions of pyreqwest are raised as they are: faults.py reads their causes.

A request that is cancelled before its head has come lives on in pyreqwest (0.15), and so does its connection, until the client's own
read time-out: give the client one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, TypeVar

import anyio.lowlevel
from pyreqwest.client import Client
from pyreqwest.http import HeaderMap, Url
from pyreqwest.response import Response as Reply

from batch.transport.wire import Engine, Response, Target

T = TypeVar("T")


class PyreqwestEngine(Engine):
    """Sends with a client, which is closed with it."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._heads: dict[Target, tuple[Url, HeaderMap]] = {}

    async def send(self, target: Target, body: bytes) -> Response:
        """Send one request and give its reply as soon as the head is there. Raises PyreqwestError."""
        if target not in self._heads:
            self._heads[target] = Url(target.url), HeaderMap(target.headers)
        url, headers = self._heads[target]
        # No part of the body is read ahead: a stream would come in one piece.
        exchange = self._client.request(target.method, url).headers(headers).body_bytes(body).streamed_read_buffer_limit(0).build_streamed()
        return _Response(await _cancellable(exchange.__aenter__()), exchange)

    async def close(self) -> None:
        """Close all connections."""
        await self._client.close()


class _Response:
    def __init__(self, reply: Reply, exchange: AbstractAsyncContextManager[Any]) -> None:
        self.status = reply.status
        self.headers: Mapping[str, str] = dict(reply.headers.items())
        self._read = reply.body_reader.read_chunk
        self._exchange = exchange

    async def read(self) -> bytes | None:
        piece = await _cancellable(self._read())
        return None if piece is None else bytes(piece)

    async def close(self) -> None:
        await self._exchange.__aexit__(None, None, None)


async def _cancellable(awaitable: Awaitable[T]) -> T:
    try:
        return await awaitable
    except asyncio.CancelledError:
        # pyreqwest raises one of its own making, which anyio would not know as its scope's: let the scope cancel again.
        await anyio.lowlevel.checkpoint_if_cancelled()
        raise
