"""Replies as bytes over a socket pair to a connection of the in-loop engine: split as a test wants, and what became of them."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from dataclasses import dataclass

import anyio

from batch.transport.engines.h1.connection import Connection
from batch.transport.engines.h1.errors import H1Error
from batch.transport.engines.h1.opening import start
from batch.transport.engines.h1.request import Origin
from batch.transport.engines.h1.response import BufferedResponse
from tests.support.scripted import PATIENCE_S

REQUEST = b"POST / HTTP/1.1\r\ncontent-length: 2\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\n"


@dataclass(frozen=True)
class Seen:
    """What the engine made of a reply: `error` is the class of the error that ended it, `kept` whether the connection can be used again."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes
    error: str | None
    kept: bool


async def seen(*pieces: bytes, ends: bool = True) -> Seen:
    """What becomes of a reply that comes in these pieces, each read by itself. `ends`: the server closes after the last one."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    idle: list[Connection] = []
    connection = await start(ours, Origin("http", "test", 80), idle.append, lambda _: None)
    outcome: list[Seen] = []
    try:
        with theirs, anyio.fail_after(PATIENCE_S):
            async with anyio.create_task_group() as group:
                group.start_soon(_exchange, connection, idle, outcome)
                await anyio.lowlevel.checkpoint()
                await _send(theirs, connection, pieces)
                if ends:
                    theirs.shutdown(socket.SHUT_WR)
    finally:
        connection.abort()
        await anyio.lowlevel.checkpoint()
    return outcome[0]


async def _send(theirs: socket.socket, connection: Connection, pieces: Sequence[bytes]) -> None:
    theirs.setblocking(False)
    for piece in pieces:
        rest = memoryview(piece)
        while rest and not connection.closed:
            try:
                rest = rest[theirs.send(rest) :]
            except BlockingIOError:
                await anyio.lowlevel.checkpoint()
            except OSError:
                return  # refused already
        while not connection.closed and connection.is_readable():
            await anyio.lowlevel.checkpoint()


async def _exchange(connection: Connection, idle: list[Connection], outcome: list[Seen]) -> None:
    response: BufferedResponse | None = None
    body = []
    error = None
    try:
        response = await connection.exchange(REQUEST, b"{}")
        while (piece := await response.read()) is not None:
            body.append(piece)
    except H1Error as raised:
        error = type(raised).__name__
    status, headers = (response.status, response.headers) if response is not None else (0, {})
    outcome.append(Seen(status, tuple(headers.items()), b"".join(body), error, bool(idle)))
