"""Any bytes as a reply over loopback, for every HTTP engine: what an engine makes of them."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from typing import Self

import anyio

from batch.settings import RunSettings
from batch.transport.engines import open_engine
from batch.transport.faults import fault_of
from batch.transport.wire import Target
from tests.support.tcp_servers import TcpServer, read_request

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
