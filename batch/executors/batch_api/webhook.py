"""Receives a provider's webhooks while a run waits for batches: a message that is truly signed makes the run look at its batches at once.

What a message says is not believed and not even read: the look finds it out. Without any message the looks continue in their own time.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from batch.errors import SetupError
from batch.executors.batch_api.wall import wall_now
from batch.policy.webhooks import is_signed, signing_key

_LARGEST = 1 << 20
_IDLE_S = 10.0
# However many messages come: a look costs the provider a call for each batch.
_LEAST_BETWEEN_S = 1.0


@contextmanager
def receiving(place: str | None, secret_env: str, heard: Callable[[], None], report: Callable[[str], None]) -> Iterator[None]:
    """Receive webhooks at HOST:PORT within the body; None: none. `heard` is called in a thread of its own. Raises SetupError."""
    if place is None:
        yield
        return
    server = _server(place, partial(_Handler, _Receiver(_key(secret_env), heard)))
    host, port = server.server_address[:2]
    report(f"webhooks are received at http://{host!s}:{port}, signed with the secret in {secret_env}")
    thread = threading.Thread(target=partial(server.serve_forever, poll_interval=0.1), name="webhooks", daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _key(secret_env: str) -> bytes:
    try:
        return signing_key(os.environ[secret_env])
    except KeyError:
        raise SetupError(f"batch.webhook: the variable {secret_env} with its secret is not set") from None
    except ValueError as error:
        raise SetupError(f"batch.webhook: the variable {secret_env} holds no webhook secret (whsec_…): {error}") from None


def _server(place: str, handler: Callable[..., BaseHTTPRequestHandler]) -> ThreadingHTTPServer:
    host, _, port = place.rpartition(":")
    try:
        server = ThreadingHTTPServer((host.strip("[]") or "127.0.0.1", int(port)), handler)
    except (OSError, ValueError, OverflowError) as error:
        raise SetupError(f"batch.webhook = {place!r} cannot be listened on: {error}; give a free HOST:PORT") from None
    server.daemon_threads = True
    return server


class _Receiver:
    """Judges messages. Used by several threads."""

    def __init__(self, key: bytes, heard: Callable[[], None]) -> None:
        self._key = key
        self._heard = heard
        self._last = float("-inf")
        self._lock = threading.Lock()

    def take(self, headers: dict[str, str], body: bytes) -> bool:
        """Whether a message is truly signed; then there is news."""
        if not is_signed(self._key, headers, body, wall_now()):
            return False
        with self._lock:
            is_due = time.monotonic() - self._last >= _LEAST_BETWEEN_S
            if is_due:
                self._last = time.monotonic()
        if is_due:
            self._heard()
        return True


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = _IDLE_S

    def __init__(self, receiver: _Receiver, *connection: Any) -> None:
        self._receiver = receiver
        super().__init__(*connection)

    def do_POST(self) -> None:
        """Take a message."""
        self.close_connection = True
        length = self.headers.get("content-length", "")
        if not (length.isascii() and length.isdecimal()) or int(length[:12]) > _LARGEST:
            self._reply(HTTPStatus.REQUEST_ENTITY_TOO_LARGE if length else HTTPStatus.LENGTH_REQUIRED)
            return
        body = self.rfile.read(int(length))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self._reply(HTTPStatus.NO_CONTENT if self._receiver.take(headers, body) else HTTPStatus.UNAUTHORIZED)

    def _reply(self, status: HTTPStatus) -> None:
        self.send_response_only(status)
        self.send_header("Content-Length", "0")
        self.send_header("Connection", "close")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name of the base class
        """Log nothing: strangers may write whatever they like."""
