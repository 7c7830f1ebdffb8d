"""A server on loopback, or at a Unix socket, that a test drives socket by socket, in threads of its own."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Self
from urllib.parse import quote

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
