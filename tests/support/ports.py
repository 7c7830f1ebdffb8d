"""Ports of 127.0.0.1 on which nothing listens."""

from __future__ import annotations

import random
import socket
from typing import Self

# Bound and not listening, to the end of this process: no other test's server can come to such a port.
_kept: list[socket.socket] = []


def unused_port() -> int:
    """A port on which nothing listens, nor ever will."""
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    _kept.append(sock)
    return int(sock.getsockname()[1])


def free_port() -> int:
    """A port for a server that must be told one."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def server_port() -> int:
    """A port for a server that takes minutes to start: on a busy machine one that the system gave out may be another's by then.

    It is below the ports that systems give to connections (from 32768 on Linux, 49152 on others).
    """
    while True:
        port = random.randrange(20000, 32000)
        with socket.socket() as sock:
            if sock.connect_ex(("127.0.0.1", port)) != 0:
                return port


class BlackHole:
    """A port that never answers a SYN: its queue of connections is full. A context manager; `.url` is its base URL."""

    def __enter__(self) -> Self:
        self._listener = socket.socket()
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen(0)
        self.port = int(self._listener.getsockname()[1])
        self._fillers = [socket.socket() for _ in range(4)]
        for filler in self._fillers:
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", self.port))
        return self

    def __exit__(self, *_: object) -> None:
        for sock in [*self._fillers, self._listener]:
            sock.close()

    @property
    def url(self) -> str:
        """The base URL, with /v1."""
        return f"http://127.0.0.1:{self.port}/v1"
