"""Reads replies off the bytes of a connection. Message framing is RFC 9112's.

httptools (llhttp) does the reading. What it leaves to us: interim replies, bytes after the end of a reply, several equal lengths, how long
a head may be, and what its leniencies let pass that can be read in two ways.
"""

from __future__ import annotations

import re

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from batch.transport.engines.h1.errors import H1Error, NotHTTPError
from batch.transport.engines.h1.heads import holds_head, mended

LONGEST_HEAD = 256 * 1024
"""Bytes of a reply without any of its body: a head, the trailers, the extensions of chunks."""

LONGEST_MENDED_HEAD = 32 * 1024

LONGEST_START = 4096
"""Bytes of a first line up to which its beginning is looked at again as more of it comes."""

OK, SWITCHING_PROTOCOLS = 200, 101

# llhttp also takes RTSP and ICE, and a header that begins with a space (RFC 9112, section 2.2) after the first line.
_START = re.compile(rb"[\r\n]*HTTP/[^\n]*\n[^ \t]")
_START_SO_FAR = re.compile(rb"[\r\n]*(?:H|HT|HTT|HTTP|HTTP/[^\n]*\n?)?")


class ReplyParser:
    """What is known of the reply that comes. `status` is 0 until its head has come; `body` the pieces since the last `take_body`."""

    def __init__(self) -> None:
        self._body: list[bytes] = []
        self.on_body = self._body.append  # httptools calls this: no Python in between
        self._parser = self._new_parser()
        self.reset()

    def reset(self) -> None:
        """Another reply is to come."""
        self.status = 0
        self.headers: dict[str, str] = {}
        self.begun = False
        self.complete = False
        self.keep_alive = False
        self._interim = False
        self._bare_bytes = 0
        self._head = b""
        self._start: bytes | None = b""
        self._refusal: HttpParserError | None = None

    def feed(self, data: bytes) -> tuple[bytes, H1Error | None]:
        """What `data` holds of the body, and what is wrong with it. Nothing can be fed after an error."""
        self.begun = True
        error = self._feed(data)
        body = self._body
        if body:
            piece = body[0] if len(body) == 1 else b"".join(body)
            body.clear()
            self._bare_bytes = 0
            return piece, error
        self._bare_bytes += len(data)
        if error is None and self._bare_bytes > LONGEST_HEAD and not self.complete:
            error = NotHTTPError(f"{self._bare_bytes:,} bytes without a body")
        return b"", error

    @property
    def ends_with_connection(self) -> bool:
        """Whether nothing but the end of the connection ends the body (RFC 9112, section 6.3, rule 8)."""
        coding = self.headers.get("transfer-encoding", "identity").lower()
        return bool(self.status) and coding == "identity" and "content-length" not in self.headers

    # What httptools says.

    def on_message_begin(self) -> None:
        """A reply begins, interim ones too."""
        if self.complete:
            raise NotHTTPError("bytes after the end of the reply")

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header, or a trailer."""
        if self.status:  # trailers are passed over
            return
        key, text = name.decode("latin-1").lower(), value.decode("latin-1").strip(" \t")
        if key[-1] == " ":
            # RFC 9112, section 5.1: llhttp reads the header, others do not.
            raise NotHTTPError(f"a space after the name of the header {key[:40]!r}")
        if "\0" in text:
            text = text.replace("\0", " ")  # RFC 9110, section 5.5
        if key == "transfer-encoding" and key in self.headers:
            text = f"{self.headers[key]}, {text}"
        self.headers[key] = text

    def on_headers_complete(self) -> None:
        """The head is whole: what llhttp lets pass and cannot be used is refused."""
        status = self._parser.get_status_code()
        self._interim = status < OK
        if self._interim:
            if status < 100 or status == SWITCHING_PROTOCOLS:
                raise NotHTTPError(f"status {status}, which was not asked for")
            self.headers = {}
            return
        version = self._parser.get_http_version()
        if version not in {"1.1", "1.0"}:
            raise NotHTTPError(f"HTTP version {version}")
        coding = self.headers.get("transfer-encoding")
        if coding is not None and coding.lower() not in {"chunked", "identity"}:
            raise NotHTTPError(f"Transfer-Encoding {coding[:40]!r}, which was not asked for")
        self.status = status

    def on_message_complete(self) -> None:
        """The reply is whole, unless it was an interim one."""
        self.complete = not self._interim
        self.keep_alive = self._parser.should_keep_alive()

    def _new_parser(self) -> HttpResponseParser:
        parser = HttpResponseParser(self)
        # What the official SDK reads over h11, too: folded lines, control bytes in values, lines that end in LF, spaces after the size of
        # a chunk.
        parser.set_dangerous_leniencies(
            lenient_headers=True,
            lenient_optional_cr_before_lf=True,
            lenient_spaces_after_chunk_size=True,
        )
        return parser

    def _starts_well(self, data: bytes) -> bool:
        """Whether the reply begins as HTTP does, as far as it has come."""
        if self._start is None:
            return True
        start = self._start + data
        if _START.match(start):
            self._start = None
            return True
        self._start = start if len(start) <= LONGEST_START else None
        return _START_SO_FAR.fullmatch(start) is not None

    def _feed(self, data: bytes) -> H1Error | None:
        if not self._starts_well(data):
            return NotHTTPError("it does not begin with HTTP and a version, or its first header with a name")
        try:
            if self._refusal is not None:
                return self._on_refusal(self._refusal, data)
            self._parser.feed_data(data)
        except HttpParserUpgrade:
            return NotHTTPError("it changes the protocol, which was not asked for")
        except HttpParserError as error:
            return self._on_refusal(error, data)
        if not self.status and len(self._head) <= LONGEST_MENDED_HEAD:
            self._head += data
        return None

    def _on_refusal(self, error: HttpParserError, data: bytes) -> H1Error | None:
        """The error that ends this reply; None when its head can be mended, or perhaps when all of it has come."""
        cause = error.__context__
        if isinstance(cause, H1Error):
            return cause
        if self.status or "Content-Length" not in str(error):
            return NotHTTPError(str(error))
        head = self._head + data
        if len(head) <= LONGEST_MENDED_HEAD and not holds_head(head):
            self._refusal, self._head = error, head
            return None
        better = mended(head)
        if better is None:
            return NotHTTPError(str(error))
        self.reset()
        self._parser = self._new_parser()
        return self._feed(better)
