"""The engine: a pool of connections for each origin, and requests sent over them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from batch.transport.engines.h1.connection import Connection
from batch.transport.engines.h1.errors import UnusedConnectionError
from batch.transport.engines.h1.opening import Opener
from batch.transport.engines.h1.pool import Pool
from batch.transport.engines.h1.proxy import proxy_of
from batch.transport.engines.h1.request import Origin, RequestHead, head_of
from batch.transport.wire import Engine, Response, Target

CLOSING_TURNS = 20
"""Turns of the loop that closing connections may take: their sockets are closed in the turn after."""


@dataclass(slots=True)
class _Route:
    head: RequestHead
    pool: Pool


class H1Engine(Engine):
    """Sends over HTTP/1.1. `proxy` is the URL of an HTTP proxy for all requests, `connections` the most that idle for one origin."""

    def __init__(self, *, connect_timeout_s: float, keep_alive_s: float, connections: int, proxy: str | None = None) -> None:
        self._proxy = None if proxy is None else proxy_of(proxy)
        self._opener = Opener(connect_timeout_s, self._proxy)
        self._keep_alive_s = keep_alive_s
        self._connections = connections
        self._pools: dict[Origin, Pool] = {}
        self._routes: dict[Target, _Route] = {}

    async def send(self, target: Target, body: bytes) -> Response:
        """Send one request and give its reply as soon as the head is there. Raises H1Error."""
        # By target, whose head of the request is encoded once: only the length of the body changes.
        route = self._routes.get(target) or self._add_route(target)
        head = route.head.for_body(len(body), target.method)
        kept = await route.pool.take()
        if kept is not None:
            try:
                return await kept.exchange(head, body)
            except UnusedConnectionError:
                pass  # RFC 9112, section 9.3.1: it can be sent again, since no byte of it was received
        connection = await self._open(route)
        return await connection.exchange(head, body)

    async def close(self) -> None:
        """Close all connections."""
        self._opener.close()
        for pool in self._pools.values():
            pool.close()
        for _ in range(CLOSING_TURNS):
            if not any(pool.open for pool in self._pools.values()):
                break
            await asyncio.sleep(0)

    def _add_route(self, target: Target) -> _Route:
        authorization = self._proxy.authorization if self._proxy is not None else None
        by_proxy = self._proxy is not None and target.url.startswith("http:")
        head = head_of(target, proxied=by_proxy, proxy_authorization=authorization)
        pool = self._pools.setdefault(head.origin, Pool(self._keep_alive_s, self._connections))
        route = self._routes[target] = _Route(head, pool)
        return route

    async def _open(self, route: _Route) -> Connection:
        connection = await self._opener.open(route.head.origin, route.pool.put, route.pool.discard)
        if not connection.closed:
            route.pool.open.add(connection)
        return connection
