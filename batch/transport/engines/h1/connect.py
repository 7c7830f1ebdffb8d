"""Opens connections: names resolved once for many, addresses of both families tried as RFC 8305 (happy eyeballs) says; Unix sockets."""

from __future__ import annotations

import asyncio
import ipaddress
import os
import socket
import ssl
from collections.abc import Sequence
from contextlib import suppress
from itertools import chain, zip_longest
from typing import Any

from batch.transport.engines.h1.errors import ConnectError, ConnectTimeoutError, ResolveError
from batch.transport.engines.h1.tls import tls_words

NEXT_ADDRESS_S = 0.25
"""After this time the next address is tried beside the one before (RFC 8305, section 5)."""

RESOLVED_S = 5.0
"""How long an answer of the resolver is used: a burst of connections is one lookup, and a name that moves is followed."""

PROBE_AFTER_S, PROBE_EVERY_S, PROBES = 60, 15, 4
"""TCP keep-alive: a peer that vanished under a silent connection is noticed after two minutes."""

FULL_QUEUE_S = 0.01
"""How long to wait before a Unix socket whose queue of connections is full is tried again: the kernel does not say when it has room."""

Address = tuple[int, Any]
"""A family and a socket address."""


class Connector:
    """Opens sockets. Concurrent requests for one name share a lookup."""

    def __init__(self) -> None:
        self._lookups: dict[tuple[str, int], asyncio.Task[list[Address]]] = {}

    async def open(self, host: str, port: int) -> socket.socket:
        """A connected, non-blocking socket. Raises ResolveError, ConnectError, ConnectTimeoutError."""
        addresses = literal_address(host, port) or await self._resolved(host, port)
        try:
            return await (connected(addresses[0]) if len(addresses) == 1 else first_connected(addresses))
        except OSError as error:
            self._lookups.pop((host, port), None)  # the name may have moved
            kind = ConnectTimeoutError if isinstance(error, TimeoutError) else ConnectError
            raise kind(f"{host} port {port}: {reason_of(error)}") from error

    async def open_unix(self, path: str) -> socket.socket:
        """A connected, non-blocking Unix socket. Raises ConnectError."""
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.setblocking(False)
            while True:
                # Not sock_connect: it takes a full queue (EAGAIN) for a connection under way.
                with suppress(BlockingIOError):
                    sock.connect(path)
                    return sock
                await asyncio.sleep(FULL_QUEUE_S)
        except BaseException as error:
            sock.close()
            if isinstance(error, OSError):
                raise ConnectError(f"{path}: {reason_of(error)}") from error
            raise

    def close(self) -> None:
        """End the lookups that are under way."""
        for lookup in self._lookups.values():
            lookup.cancel()
        self._lookups.clear()

    async def _resolved(self, host: str, port: int) -> list[Address]:
        key = (host, port)
        lookup = self._lookups.get(key)
        if lookup is None:
            lookup = self._lookups[key] = asyncio.create_task(resolve(host, port))
            lookup.add_done_callback(lambda done: self._forget(key, done))
        try:
            # Shielded: a waiter that gives up must not cancel the lookup for the others.
            return await asyncio.shield(lookup)
        except (OSError, UnicodeError) as error:
            raise ResolveError(f"{host}: {reason_of(error)}") from error

    def _forget(self, key: tuple[str, int], done: asyncio.Task[list[Address]]) -> None:
        def drop() -> None:
            if self._lookups.get(key) is done:
                del self._lookups[key]

        if done.cancelled() or done.exception() is not None:
            drop()
        else:
            asyncio.get_running_loop().call_later(RESOLVED_S, drop)


def literal_address(host: str, port: int) -> list[Address]:
    """The address that `host` is, without a lookup; none when it is a name."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return []
    if address.version == 4:
        return [(socket.AF_INET, (host, port))]
    # The system reads the scope of fe80::1%eth0.
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    return [(family, where) for family, _, _, _, where in found]


async def resolve(host: str, port: int) -> list[Address]:
    """The addresses of a name, the families in turn. Raises OSError."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = list(dict.fromkeys((int(family), where) for family, _, _, _, where in found))
    if not addresses:
        raise socket.gaierror(socket.EAI_NONAME, "the name has no address")
    return in_turn(addresses)


def in_turn(addresses: Sequence[Address]) -> list[Address]:
    """The addresses in their order, but the families in turn (RFC 8305, section 4)."""
    first = [address for address in addresses if address[0] == addresses[0][0]]
    others = [address for address in addresses if address[0] != addresses[0][0]]
    return [address for address in chain.from_iterable(zip_longest(first, others)) if address is not None]


async def connected(address: Address) -> socket.socket:
    """A socket that is connected to this address. Raises OSError."""
    family, where = address
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        set_options(sock)
        await asyncio.get_running_loop().sock_connect(sock, where)
    except BaseException:
        sock.close()
        raise
    return sock


async def first_connected(addresses: Sequence[Address]) -> socket.socket:
    """The socket of the first address that takes a connection. Raises OSError: what the first one said that refused."""
    waiting = list(addresses)
    pending: set[asyncio.Task[socket.socket]] = set()
    failures: list[BaseException] = []
    try:
        while waiting or pending:
            if waiting:
                pending.add(asyncio.create_task(connected(waiting.pop(0))))
            done, pending = await asyncio.wait(pending, timeout=NEXT_ADDRESS_S if waiting else None, return_when=asyncio.FIRST_COMPLETED)
            good = [task for task in done if task.exception() is None]
            if good:
                pending.update(good[1:])
                return good[0].result()
            failures += [error for task in done if (error := task.exception()) is not None]
        raise failures[0]
    finally:
        for task in pending:
            task.add_done_callback(_close_late)
            task.cancel()


def _close_late(task: asyncio.Task[socket.socket]) -> None:
    if not task.cancelled() and task.exception() is None:
        task.result().close()


def set_options(sock: socket.socket) -> None:
    """Set `socket_options`."""
    for level, option, value in socket_options():
        sock.setsockopt(level, option, value)


def socket_options() -> list[tuple[int, int, int]]:
    """Return the options of TCP sockets as (level, option, value): no Nagle, and keep-alive probes."""
    # macOS has no TCP_KEEPIDLE before Python 3.13; its name is TCP_KEEPALIVE.
    probes = {"TCP_KEEPIDLE": PROBE_AFTER_S, "TCP_KEEPINTVL": PROBE_EVERY_S, "TCP_KEEPCNT": PROBES}
    return [
        (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
        (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
        *[(socket.IPPROTO_TCP, getattr(socket, name), value) for name, value in probes.items() if hasattr(socket, name)],
    ]


def reason_of(error: BaseException) -> str:
    """What the system says, without its numbers: `Connection refused`."""
    if isinstance(error, ssl.SSLError):
        return tls_words(error)
    number = getattr(error, "errno", None)
    if isinstance(error, OSError) and not isinstance(error, socket.gaierror) and number:
        return os.strerror(number)
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
