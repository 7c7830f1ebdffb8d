"""Serves the live page on loopback, to those who have its address alone: read only, a token in the path, no other origin.

The standard library's server is enough for one reader. Other programs and users of this machine do not know the token; pages of other
origins in the same browser are refused by Host (rebinding of names), Origin and Sec-Fetch-Site, and may not frame or read this one.
"""

from __future__ import annotations

import secrets
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from batch.app.viewing.pages import Page, Viewer
from batch.errors import SetupError

LOOPBACK = "127.0.0.1"
_HOSTS = frozenset({LOOPBACK, "localhost"})
_IDLE_S = 30.0
_LONGEST_PATH = 4096
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class ViewServer:
    """The server. `address` is the page's, with the token; `serve` blocks until `close` is called from another thread."""

    def __init__(self, viewer: Viewer, port: int = 0) -> None:
        token = secrets.token_urlsafe(24)
        try:
            self._server = ThreadingHTTPServer((LOOPBACK, port), partial(_Handler, viewer, token))
        except OSError as error:
            raise SetupError(f"the page cannot be served at {LOOPBACK}:{port}: {error.strerror}; give another --port, or none") from error
        self._server.daemon_threads = True
        self.address = f"http://{LOOPBACK}:{self._server.server_address[1]}/{token}/"

    def serve(self) -> None:
        """Serve until `close`, or an interrupt."""
        try:
            self._server.serve_forever(poll_interval=0.2)
        finally:
            self._server.server_close()

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = _IDLE_S

    def __init__(self, viewer: Viewer, token: str, *connection: Any) -> None:
        self._viewer = viewer
        self._token = token
        super().__init__(*connection)

    def do_GET(self) -> None:
        """Reply to a request."""
        try:
            page = self._page()
        except Exception as error:  # noqa: BLE001 - one page that fails ends neither the server nor a run
            page = Page("text/plain", f"this is a bug in promptmill: {type(error).__name__}: {error}".encode(), 500)
        self.send_response_only(page.status)
        for name, value in _HEADERS.items():
            self.send_header(name, value)
        self.send_header("Content-Type", f"{page.content_type}; charset=utf-8")
        self.send_header("Content-Length", str(len(page.body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(page.body)

    do_HEAD = do_GET  # noqa: N815 - as above

    def _page(self) -> Page:
        if not self._is_own():
            return _refusal(HTTPStatus.FORBIDDEN, "this page is for its own origin on this machine")
        url = urlsplit(self.path[:_LONGEST_PATH])
        _, token, path = (*url.path.split("/", 2), "", "")[:3]
        if not secrets.compare_digest(token.encode(), self._token.encode()):
            return _refusal(HTTPStatus.FORBIDDEN, "open the address that promptmill view has printed: it has a token")
        found = self._viewer.page(path, dict(parse_qsl(url.query)))
        return found or _refusal(HTTPStatus.NOT_FOUND, "there is nothing at this address")

    def _is_own(self) -> bool:
        """Whether the request names this machine, and comes from no page of another origin."""
        host = self.headers.get("Host", "")
        if host.rpartition(":")[0] not in _HOSTS:
            return False
        if self.headers.get("Origin", f"http://{host}") != f"http://{host}":
            return False
        return self.headers.get("Sec-Fetch-Site", "none") in {"none", "same-origin"}

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the library's name
        """Log nothing: addresses have the token."""


def _refusal(status: HTTPStatus, text: str) -> Page:
    return Page("text/plain", f"{text}\n".encode(), status)
