"""The control plane: calls that manage files and batches of one provider, over httpx. Nothing here is retried.

Bodies go out from a file and large replies come into one, so that memory does not depend on their size.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import urljoin, urlsplit

import anyio
import httpx
import orjson

from batch.clock import Clock
from batch.errors import StorageError
from batch.policy.redaction import Redactor
from batch.providers.replies import read_error
from batch.providers.urls import resource_url, socket_path
from batch.records import ErrorKind, Exchange, Fault, Reply
from batch.settings import ProviderSettings, RunSettings
from batch.storage import open_regular
from batch.transport.attempt import unexpected
from batch.transport.engines.h1.tls import tls_context
from batch.transport.engines.httpx_engine import proxy_of
from batch.transport.faults import fault_of
from batch.transport.proxies import is_bypassed, proxies_of_environment, proxy_passwords
from batch.transport.targets import secrets_of, target_of

_PIECE = 64 * 1024
# Beyond this a reply that should be an object of a few hundred bytes, or an error, is not read.
_LARGEST_OBJECT = 64 * 1024 * 1024
_KEPT_OF_ERROR = 16 * 1024
# Content of files may stand elsewhere (object stores); nothing else is redirected.
_MOST_REDIRECTS = 3


@dataclass(frozen=True, slots=True)
class FileBody:
    """A body of `head`, a file and `tail`. With `commas` the file's line breaks become commas: lines become the items of a JSON list."""

    head: bytes
    path: Path
    tail: bytes
    commas: bool = False

    async def pieces(self) -> AsyncIterator[bytes]:
        """Yield the body. Raises OSError."""
        yield self.head
        async with await anyio.open_file(self.path, "rb") as file:
            while piece := await file.read(_PIECE):
                yield piece.replace(b"\n", b",") if self.commas else piece
        yield self.tail

    def __len__(self) -> int:
        return len(self.head) + self.path.stat().st_size + len(self.tail)


@dataclass(frozen=True, slots=True)
class ControlCall:
    """A call to `path` below the base URL, or to a whole URL; `into` is the file that gets the body of a success."""

    method: str
    path: str
    body: bytes | FileBody | None = None
    content_type: str = "application/json"
    into: Path | None = None


class ControlClient:
    """Calls one provider with one key. The key goes to the provider's base URL and nowhere else, and is taken out of all texts.

    Raises SetupError when the key cannot be sent in a header.
    """

    def __init__(self, provider: ProviderSettings, key: str | None, run: RunSettings, clock: Clock) -> None:
        provider = replace(provider, base_url=resource_url(provider.base_url))
        self._provider = provider
        self._key = key
        self._clock = clock
        self._run = run
        target_of("GET", "", provider, key, stream=False)
        self.redactor = Redactor([*secrets_of(provider, key), *(proxy_passwords() if run.trust_env else [])])

    async def __aenter__(self) -> Self:
        run, url = self._run, self._provider.base_url
        timeout = httpx.Timeout(run.first_byte_timeout_s, connect=run.connect_timeout_s)
        proxy = None
        if run.trust_env and not is_bypassed(urlsplit(url).hostname or ""):
            proxy = proxies_of_environment().get(urlsplit(url).scheme)
        transport = httpx.AsyncHTTPTransport(verify=tls_context("http/1.1"), trust_env=False, proxy=proxy_of(proxy), uds=socket_path(url))
        self._http = httpx.AsyncClient(transport=transport, timeout=timeout, trust_env=False)
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        await self._http.aclose()

    async def call(self, call: ControlCall) -> Exchange:
        """Make one call. Faults of the wire are in the Exchange; its body is empty where a file got it. Raises StorageError."""
        sent_at = self._clock.monotonic()
        status: int | None = None
        headers: Mapping[str, str] = {}
        body, reply, fault = b"", None, None
        try:
            async with await self._send(call) as response:
                status = response.status_code
                headers = {name: self.redactor.text(value) for name, value in response.headers.items()}
                body = await self._read(response, call.into)
                reply, fault = _read_reply(status, body, call)
        except OSError as error:
            # What httpx raises is no OSError: this is the file.
            raise StorageError(f"{call.into or getattr(call.body, 'path', '')}: {error.strerror or error}") from error
        except Exception as error:  # noqa: BLE001 - whatever a server sends ends at most this call
            fault = fault_of(error, in_body=status is not None) or unexpected("a call was made and its reply read", error)
        if fault is not None:
            fault = replace(fault, message=self.redactor.text(fault.message))
        if reply is not None and reply.error is not None:
            reply = replace(reply, error=replace(reply.error, message=self.redactor.text(reply.error.message)))
        return Exchange(status, headers, self.redactor.bytes(body), reply, fault, sent_at, None, self._clock.monotonic())

    async def _send(self, call: ControlCall) -> _Sent:
        path, _, query = call.path.partition("?")
        target = target_of(call.method, path, self._provider, self._key, stream=False)
        url, headers = target.url, dict(target.headers)
        if query:
            # Beside the query parameters of the provider's own (Azure's api-version).
            url += f"{'&' if '?' in url else '?'}{query}"
        if socket_path(self._provider.base_url) is not None:
            url = urljoin("http://localhost", urlsplit(url)._replace(scheme="", netloc="").geturl())
        headers["Content-Type"] = call.content_type
        for _ in range(_MOST_REDIRECTS):
            content = call.body.pieces() if isinstance(call.body, FileBody) else call.body
            if isinstance(call.body, FileBody):
                headers["Content-Length"] = str(len(call.body))
            request = self._http.build_request(call.method, url, content=content, headers=headers)
            response = await self._http.send(request, stream=True)
            location = response.headers.get("location")
            if call.into is None or response.status_code // 100 != 3 or not location:
                break
            await response.aclose()
            url = urljoin(url, location)
            # Another origin gets no key.
            headers = {"Accept-Encoding": "identity"}
        return _Sent(response)

    async def _read(self, response: httpx.Response, into: Path | None) -> bytes:
        if into is None or response.status_code // 100 != 2:
            pieces, size = [], 0
            most = _LARGEST_OBJECT if response.status_code // 100 == 2 else _KEPT_OF_ERROR
            async for piece in response.aiter_bytes():
                pieces.append(piece)
                size += len(piece)
                if size > most:
                    break
            return b"".join(pieces)
        descriptor = open_regular(into, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        try:
            async for piece in response.aiter_bytes():
                rest = memoryview(piece)
                while rest:
                    rest = rest[os.write(descriptor, rest) :]
        finally:
            os.close(descriptor)
        return b""


class _Sent:
    """A response as a context manager that closes it, whatever its body was."""

    def __init__(self, response: httpx.Response) -> None:
        self._response = response

    async def __aenter__(self) -> httpx.Response:
        return self._response

    async def __aexit__(self, *_: object) -> None:
        with suppress(Exception):
            await self._response.aclose()


def _read_reply(status: int, body: bytes, call: ControlCall) -> tuple[Reply | None, Fault | None]:
    if call.into is not None and status // 100 == 2:
        return Reply(), None
    try:
        document = orjson.loads(body) if body.strip() else {}
    except orjson.JSONDecodeError:
        fault = Fault(ErrorKind.PROTOCOL, "not_json", "the reply is not JSON") if status // 100 == 2 else None
        return None, fault
    # A batch has a member "errors" of its own, which is no error of the call.
    is_object = isinstance(document, dict) and status // 100 == 2 and not document.get("error")
    return Reply(error=None if is_object else read_error(document)), None
