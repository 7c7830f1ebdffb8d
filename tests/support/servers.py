"""Servers that a test drives socket by socket, and any bytes as a reply to an HTTP engine."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self
from urllib.parse import quote

import anyio

from batch.settings import RunSettings
from batch.transport.engines import open_engine
from batch.transport.engines.h1.connection import Connection
from batch.transport.engines.h1.errors import H1Error
from batch.transport.engines.h1.opening import start
from batch.transport.engines.h1.request import Origin
from batch.transport.engines.h1.response import BufferedResponse
from batch.transport.faults import fault_of
from batch.transport.wire import Target
from tests.support.scripted import PATIENCE_S

Serve = Callable[[socket.socket], None]


class TcpServer:
    """Each connection is given to `serve`, which ends it by returning. `accepted` counts them. A context manager.

    With `path` it listens at that Unix socket, whose queue has room for `backlog` connections.
    """

    def __init__(self, serve: Serve, *, host: str = "127.0.0.1", path: Path | None = None, backlog: int = 4096) -> None:
        self._serve = serve
        self._path = path
        if path is None:
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            self._listener = socket.create_server((host, 0), family=family, backlog=backlog)
            self.host, self.port = self._listener.getsockname()[:2]
        else:
            self._listener = socket.socket(socket.AF_UNIX)
            self._listener.bind(str(path))
            self._listener.listen(backlog)
        self.accepted = 0
        self.errors: list[Exception] = []
        self._threads = [threading.Thread(target=self._accept)]
        self._sockets: list[socket.socket] = []

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for sock in list(self._sockets):
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(PATIENCE_S)
        if self.errors:
            raise self.errors[0]

    @property
    def url(self) -> str:
        """The base URL, with /v1."""
        if self._path is not None:
            return f"http+unix://{quote(str(self._path), safe='')}/v1"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}/v1"

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self.accepted += 1
            self._sockets.append(sock)
            thread = threading.Thread(target=self._run, args=(sock,))
            self._threads.append(thread)
            thread.start()

    def _run(self, sock: socket.socket) -> None:
        try:
            with sock:
                self._serve(sock)
        except OSError:
            pass  # the client has gone
        except Exception as error:  # noqa: BLE001 - shown when the server ends
            self.errors.append(error)


def read_request(sock: socket.socket) -> bytes:
    """One request, head and body; empty when the client has closed."""
    data = b""
    while b"\r\n\r\n" not in data:
        more = sock.recv(65536)
        if not more:
            return b""
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0] or 0)
    while len(body) < length:
        body += sock.recv(65536)
    return head + b"\r\n\r\n" + body


Outcome = tuple[int | None, bytes, str | None]
"""The status, the body as far as it came, and the code of the fault that ended the reply."""


class ReplyServer:
    """Sends `pieces` to each request, one by one, and then ends the connection. A context manager."""

    def __init__(self) -> None:
        self.pieces: Sequence[bytes] = ()
        self._server = TcpServer(self._serve)

    def __enter__(self) -> Self:
        self._server.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.__exit__()

    @property
    def url(self) -> str:
        """The base URL, with /v1."""
        return self._server.url

    async def outcome(self, engine: str, *pieces: bytes) -> Outcome:
        """What an engine makes of a reply in these pieces. Raises what no fault stands for."""
        self.pieces = pieces
        status, body = None, b""
        with anyio.fail_after(60):
            async with open_engine(RunSettings(http=engine), 4) as opened:  # type: ignore[arg-type]
                try:
                    response = await opened.send(Target("POST", f"{self.url}/chat/completions", (("Host", "test"),)), b"{}")
                    status = response.status
                    while (piece := await response.read()) is not None:
                        body += piece
                except Exception as error:
                    fault = fault_of(error, in_body=status is not None)
                    if fault is None:
                        raise
                    return status, body, fault.code
                await response.close()
        return status, body, None

    def _serve(self, sock: socket.socket) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if not read_request(sock):
            return
        for piece in self.pieces:
            sock.sendall(piece)
        sock.shutdown(socket.SHUT_WR)
        # What the client still sends is read, so that no reset overtakes the reply.
        while sock.recv(65536):
            pass


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
