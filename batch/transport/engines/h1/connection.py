"""One connection: a request out, its reply in, again and again while both sides keep it open."""

from __future__ import annotations

import asyncio
import select
import socket
from collections.abc import Callable
from typing import cast

from batch.transport.engines.h1.connect import reason_of
from batch.transport.engines.h1.errors import H1Error, LostConnectionError, TLSError, TruncatedBodyError, UnusedConnectionError
from batch.transport.engines.h1.parser import ReplyParser
from batch.transport.engines.h1.response import BUFFERED_BYTES, BufferedResponse
from batch.transport.engines.h1.tcp_info import unacknowledged_bytes
from batch.transport.engines.h1.tls import tls_words, wants_certificate

WRITTEN_BYTES = 64 * 1024
"""A request goes out in pieces of this size, each when the one before has left: so its body is not copied whole."""


class Connection(asyncio.Protocol):
    """An open connection over `sock`. `on_idle` gets it after each reply when it can be used again, `on_lost` when it is closed."""

    transport: asyncio.Transport

    def __init__(self, sock: socket.socket, on_idle: Callable[[Connection], None], on_lost: Callable[[Connection], None]) -> None:
        self._socket = sock
        self._on_idle = on_idle
        self._on_lost = on_lost
        self._parser = ReplyParser()
        self._response: BufferedResponse | None = None
        self._requests = 0
        self._request_size = 0
        self._sending = False
        self._paused_writing = False
        self._eof = False
        self._unused = False
        self._poll: select.poll | None = None
        self.closed = False
        self.idle_since = 0.0

    async def exchange(self, head: bytes, body: bytes) -> BufferedResponse:
        """Send a request and give its reply as soon as the head has come. Raises H1Error; then, and when cancelled, it is closed."""
        response = self._response = BufferedResponse(self)
        self._parser.reset()
        self._requests += 1
        self._request_size = len(head) + len(body)
        try:
            if self.closed:
                response.error = UnusedConnectionError("the connection was closed before it was used")
            elif len(body) <= WRITTEN_BYTES:
                self.transport.write(head + body)
            else:
                await self._send(head, body, response)
            while not response.status and response.error is None:
                await response.wait()
        except BaseException:
            self.abort()
            raise
        if not response.status and response.error is not None:
            self.abort()
            raise response.error
        return response

    def is_readable(self) -> bool:
        """Whether something came that was not read yet: on an idle connection the server's close, most likely."""
        if self._poll is None:
            self._poll = select.poll()
            self._poll.register(self._socket, select.POLLIN)
        return bool(self._poll.poll(0))

    def resume(self) -> None:
        """Read again from the socket."""
        if not self.closed:
            self.transport.resume_reading()

    def abort(self) -> None:
        """Close at once; what was not sent is dropped."""
        if not self.closed:
            self.closed = True
            self.transport.abort()

    # What asyncio says.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection stands."""
        self.transport = cast("asyncio.Transport", transport)  # uvloop's are no subclass

    def data_received(self, data: bytes) -> None:
        """Bytes came."""
        response = self._response
        if response is None or response.complete or response.error is not None:
            # Nothing was asked for: what a server says then (408, mostly) is about its closing the connection.
            self.abort()
            return
        parser = self._parser
        piece, error = parser.feed(data)
        if parser.status and not response.status:
            response.status, response.headers = parser.status, parser.headers
        if piece:
            response.pieces.append(piece)
            response.buffered += len(piece)
        if parser.complete:
            # What is wrong after the end is no fault of the reply, but nothing more can be read.
            self._end(response, usable=error is None)
        elif error is not None:
            response.error = error
            self.abort()
        elif response.buffered >= BUFFERED_BYTES:
            self.transport.pause_reading()
        response.wake()

    def eof_received(self) -> None:
        """The server has sent its last byte."""
        self._eof = True
        response = self._response
        if response is not None and not response.complete:
            self._on_end_of_input(response)

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is closed, by whichever side."""
        response = self._response
        if response is not None and not response.complete and response.error is None:
            if exc is None and not self._eof and not self.closed:
                # TLS that ends without its own closing message.
                self._on_end_of_input(response)
            if not response.complete:
                response.error = self._loss(response, exc)
        self.closed = True
        if response is not None:
            response.wake()
        self._on_lost(self)

    def pause_writing(self) -> None:
        """Enough waits to be sent."""
        self._paused_writing = True

    def resume_writing(self) -> None:
        """Most of what waited was sent."""
        self._paused_writing = False
        if self._response is not None:
            self._response.wake()

    # How they come together.

    async def _send(self, head: bytes, body: bytes, response: BufferedResponse) -> None:
        """Send a large body piece by piece. A reply that begins before its end stops it: the server has seen enough."""
        self._sending = True
        self.transport.write(head)
        rest = memoryview(body)
        while rest:
            while self._paused_writing and not response.status and response.error is None:
                await response.wait()
            if response.status or response.error is not None:
                return
            self.transport.write(rest[:WRITTEN_BYTES])
            rest = rest[WRITTEN_BYTES:]
        self._sending = False

    def _end(self, response: BufferedResponse, *, usable: bool) -> None:
        """The reply is whole: the connection is free for the next one, if both sides want that."""
        response.complete = True
        if response.buffered >= BUFFERED_BYTES:
            response.buffered = 0
            self.resume()
        if not usable or self.closed or self._eof or self._sending or not self._parser.keep_alive:
            self.abort()
            return
        self._response = None
        self._on_idle(self)

    def _on_end_of_input(self, response: BufferedResponse) -> None:
        if self._parser.ends_with_connection and response.error is None:
            response.complete = True
            self.abort()
            response.wake()
        elif not self._parser.begun and self._requests > 1:
            unacknowledged = unacknowledged_bytes(self._socket)
            if unacknowledged is not None:
                # The end of the server's bytes acknowledges all that it had received by then: it closed without any of this request.
                # Not so a reset: it can overtake the acknowledgement.
                self._unused = unacknowledged + self.transport.get_write_buffer_size() >= self._request_size

    def _loss(self, response: BufferedResponse, exc: Exception | None) -> H1Error:
        if exc is not None and wants_certificate(exc):
            # TLS 1.3: the server says so only after the handshake.
            return TLSError(tls_words(exc))
        if response.status:
            return TruncatedBodyError("") if exc is None or self._eof else LostConnectionError(reason_of(exc))
        if self._unused:
            return UnusedConnectionError("the server closed the connection as it was used again")
        words = "the server closed the connection" if exc is None else reason_of(exc)
        return LostConnectionError(f"{words} within the head of the reply" if self._parser.begun else words)
