"""One connection: a request out, its reply in, again and again while both sides keep it open.

Message framing is RFC 9112's. httptools (llhttp) reads it; what it leaves to us: where a body ends with the connection, interim
replies, bytes after the end of a reply, and how long a head may be.
"""

from __future__ import annotations

import asyncio
import select
import socket
from collections.abc import Callable
from typing import cast

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from batch.transport.engines.h1.connect import reason_of
from batch.transport.engines.h1.errors import (
    H1Error,
    LostConnectionError,
    NotHTTPError,
    TLSError,
    TruncatedBodyError,
    UnusedConnectionError,
)
from batch.transport.engines.h1.heads import holds_head, mended
from batch.transport.engines.h1.response import BUFFERED_BYTES, Response
from batch.transport.engines.h1.tcp_info import unacknowledged_bytes
from batch.transport.engines.h1.tls import is_tls_refusal, tls_words

WRITTEN_BYTES = 64 * 1024
"""A request goes out in pieces of this size, each when the one before has left: so its body is not copied whole."""

LONGEST_HEAD = 256 * 1024
"""Bytes of a reply without any of its body: a head, the trailers, the extensions of chunks."""

LONGEST_MENDED_HEAD = 32 * 1024

OK, SWITCHING_PROTOCOLS = 200, 101


class Connection(asyncio.Protocol):
    """An open connection over `sock`. `on_idle` gets it after each reply when it can be used again, `on_lost` when it is closed."""

    transport: asyncio.Transport

    def __init__(self, sock: socket.socket, on_idle: Callable[[Connection], None], on_lost: Callable[[Connection], None]) -> None:
        self._socket = sock
        self._on_idle = on_idle
        self._on_lost = on_lost
        self._response: Response | None = None
        self._body: list[bytes] = []
        self.on_body = self._body.append
        self._headers: dict[str, str] = {}
        self._parser = self._new_parser()
        self._begin_reply()
        self._requests = 0
        self._request_size = 0
        self._sending = False
        self._eof = False
        self._unused = False
        self._paused_writing = False
        self._poll: select.poll | None = None
        self.closed = False
        self.idle_since = 0.0

    # What the engine asks for.

    async def exchange(self, head: bytes, body: bytes) -> Response:
        """Send a request and give its reply as soon as the head has come. Raises H1Error; then, and when cancelled, it is closed."""
        response = self._response = Response(self)
        self._begin_reply()
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
        if response is None or response.complete:
            # Nothing was asked for: what a server says then (408, mostly) is about its closing the connection.
            self.abort()
            return
        self._take(data, response)
        if self._body:
            piece = self._body[0] if len(self._body) == 1 else b"".join(self._body)
            self._body.clear()
            response.pieces.append(piece)
            response.buffered += len(piece)
            self._bare = 0
            if response.buffered >= BUFFERED_BYTES and not self._complete:
                self.transport.pause_reading()
        elif not self._complete:
            self._bare += len(data)
            if self._bare > LONGEST_HEAD:
                self._fail(response, NotHTTPError(f"{LONGEST_HEAD:,} bytes without a body"))
        if self._complete:
            self._end(response)
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

    # What httptools says.

    def on_message_begin(self) -> None:
        """A reply begins, interim ones too."""
        if self._complete:
            raise NotHTTPError("bytes after the end of the reply")

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header, or a trailer."""
        if not self._in_body:  # trailers are passed over
            self._headers[name.decode("latin-1").lower()] = value.decode("latin-1").strip(" \t")

    def on_headers_complete(self) -> None:
        """The head is whole: what llhttp lets pass and cannot be used is refused."""
        status = self._parser.get_status_code()
        self._interim = status < OK
        if self._interim:
            if status < 100 or status == SWITCHING_PROTOCOLS:
                raise NotHTTPError(f"status {status}, which was not asked for")
            self._headers = {}
            return
        version = self._parser.get_http_version()
        if version not in {"1.1", "1.0"}:
            raise NotHTTPError(f"HTTP version {version}")
        coding = self._headers.get("transfer-encoding")
        if coding is not None and coding.lower() not in {"chunked", "identity"}:
            raise NotHTTPError(f"Transfer-Encoding {coding[:40]!r}, which was not asked for")
        self._status = status
        self._in_body = True

    def on_message_complete(self) -> None:
        """The reply is whole, unless it was an interim one."""
        self._complete = not self._interim
        self._keep_alive = self._parser.should_keep_alive()

    # How they come together.

    def _new_parser(self) -> HttpResponseParser:
        parser = HttpResponseParser(self)
        # What the official SDK reads over h11, too: folded lines, control bytes in values, lines that end in LF, spaces after the size of
        # a chunk. Bytes after a close are seen by `on_message_begin`.
        parser.set_dangerous_leniencies(
            lenient_headers=True,
            lenient_optional_cr_before_lf=True,
            lenient_spaces_after_chunk_size=True,
            lenient_data_after_close=True,
        )
        return parser

    def _begin_reply(self) -> None:
        self._headers = {}
        self._status = 0
        self._in_body = False
        self._interim = False
        self._complete = False
        self._keep_alive = False
        self._received = False
        self._bare = 0
        self._head = b""
        self._refusal: HttpParserError | None = None

    def _on_end_of_input(self, response: Response) -> None:
        coding = response.headers.get("transfer-encoding", "identity").lower()
        if response.status and response.error is None and coding == "identity" and "content-length" not in response.headers:
            # RFC 9112, section 6.3, rule 8: such a body ends with the connection.
            response.complete = True
            self.abort()
            response.wake()
        elif not self._received and self._requests > 1:
            unacknowledged = unacknowledged_bytes(self._socket)
            if unacknowledged is not None:
                # The end of the server's bytes acknowledges all that it had received by then: it closed without any of this request.
                # Not so a reset: it can overtake the acknowledgement.
                self._unused = unacknowledged + self.transport.get_write_buffer_size() >= self._request_size

    async def _send(self, head: bytes, body: bytes, response: Response) -> None:
        """Send a large body piece by piece. A reply that begins before its end stops it: the server has seen enough."""
        self._sending = True
        self.transport.write(head)
        rest = memoryview(body)
        while rest:
            while self._paused_writing:
                await response.wait()
                if response.status or response.error is not None:
                    return
            if response.status or response.error is not None:
                return
            self.transport.write(rest[:WRITTEN_BYTES])
            rest = rest[WRITTEN_BYTES:]
        self._sending = False

    def _take(self, data: bytes, response: Response) -> None:
        """Parse what came. Whatever it is, this raises nothing."""
        self._received = True
        try:
            if self._refusal is not None:
                raise self._refusal
            self._parser.feed_data(data)
            if not self._in_body and len(self._head) <= LONGEST_MENDED_HEAD:
                self._head += data
        except HttpParserUpgrade:
            self._refuse(NotHTTPError("it changes the protocol, which was not asked for"), response)
        except HttpParserError as error:
            self._on_refusal(error, data, response)
        if self._in_body and not response.status:
            response.headers = self._headers
            response.status = self._status

    def _on_refusal(self, error: HttpParserError, data: bytes, response: Response) -> None:
        if self._in_body or isinstance(error.__context__, H1Error):
            self._refuse(error.__context__ if isinstance(error.__context__, H1Error) else NotHTTPError(str(error)), response)
            return
        whole = self._head + data
        if "Content-Length" in str(error) and len(whole) <= LONGEST_MENDED_HEAD and not holds_head(whole):
            self._refusal, self._head = error, whole
            return
        better = mended(whole)
        if better is None:
            self._refuse(NotHTTPError(str(error)), response)
            return
        self._begin_reply()
        self._parser = self._new_parser()
        self._take(better, response)

    def _refuse(self, error: Exception, response: Response) -> None:
        """The parser can go no further: the reply is not HTTP, or what comes after its end is not."""
        if self._complete:
            self.abort()
        else:
            self._fail(response, error)

    def _fail(self, response: Response, error: Exception) -> None:
        response.error = response.error or error
        self.abort()

    def _end(self, response: Response) -> None:
        """The reply is whole: the connection is free for the next one, if both sides want that."""
        response.complete = True
        if response.buffered >= BUFFERED_BYTES:
            response.buffered = 0
            self.resume()
        if self.closed or self._eof or self._sending or not self._keep_alive:
            self.abort()
            return
        self._response = None
        self._on_idle(self)

    def _loss(self, response: Response, exc: Exception | None) -> H1Error:
        if exc is not None and is_tls_refusal(exc):
            return TLSError(tls_words(exc))
        reset = exc is not None and not self._eof
        if response.status:
            return LostConnectionError(reason_of(exc)) if exc is not None and reset else TruncatedBodyError("")
        if self._unused and not self._received:
            return UnusedConnectionError("the server closed the connection as it was used again")
        words = "the server closed the connection" if exc is None else reason_of(exc)
        return LostConnectionError(f"{words} within the head of the reply" if self._received else words)
