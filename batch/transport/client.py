"""Talks to one endpoint with one key: a request sent, its reply read, and whatever happens on the wire told as an Exchange."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from http import HTTPStatus
from typing import get_args

import anyio
import httpx
import orjson

from batch import __version__
from batch.clock import Clock
from batch.errors import SetupError, endpoint_error
from batch.policy.redaction import Redactor, sample
from batch.policy.verdicts import judge
from batch.records import STREAMED, Api, Chunk, ErrorInfo, ErrorKind, Exchange, Fault, Request
from batch.settings import ProviderSettings, RunSettings
from batch.transport.attempt import Attempt
from batch.transport.deadlines import Deadlines
from batch.transport.faults import fault_of
from batch.transport.proxies import proxy_passwords
from batch.transport.reading import UnreadableError

_SECRET_NAME = re.compile(r"key|token|secret|password|auth|credential|signature|^sig$", re.IGNORECASE)
_HEADER_VALUE = re.compile(r"[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?")

_TIMEOUT_TEXTS = {
    "timeout_first_byte": "no answer began within first_byte_timeout_s",
    "timeout_idle": "nothing came for idle_timeout_s",
    "timeout_attempt": "the answer took longer than attempt_timeout_s",
}
_NO_LIST = {HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED, HTTPStatus.NOT_IMPLEMENTED}


class Client:
    """What talks to one endpoint with one key, over an engine that it does not own.

    `key` is the key's value: it goes to the provider's base URL and nowhere else, and is taken out of all texts and bodies that are
    given back. Raises SetupError when the key cannot be sent in a header.
    """

    def __init__(
        self, provider: ProviderSettings, key: str | None, run: RunSettings, *, clock: Clock, engine: httpx.AsyncBaseTransport
    ) -> None:
        base = httpx.URL(provider.base_url)
        query = dict(base.params) | dict(provider.query)
        root = base.copy_with(query=None, fragment=None, userinfo=b"")
        self._urls = {path: _join(root, path, query) for path in (*get_args(Api), "models")}
        self._headers = httpx.Headers(_headers(provider, key, base, stream=run.stream))
        self._run = run
        self._clock = clock
        self._engine = engine
        self._soonest = min(run.first_byte_timeout_s, run.idle_timeout_s, run.attempt_timeout_s)
        proxies = proxy_passwords() if run.trust_env else []
        self.redactor = Redactor([*_secrets(provider.headers, key, base, query), *proxies])

    async def exchange(self, request: Request, on_chunk: Callable[[Chunk], None] | None = None) -> Exchange:
        """Send `request` once. When the run streams, `on_chunk` is told each chunk as it comes; what it raises is raised on.

        Faults of the wire, time-outs included, are in the Exchange and never raised. Cancelling closes the connection.
        """
        run = self._run
        outgoing = httpx.Request("POST", self._urls[request.api], headers=self._headers, stream=httpx.ByteStream(request.body))
        # Else each request's headers are searched for an encoding that fits.
        outgoing.headers.encoding = "utf-8"
        # Read now, the body is there whole for engines that would otherwise stream it.
        outgoing.read()
        stream = run.stream and request.api in STREAMED
        attempt = Attempt(request.api, run.max_reply_bytes, self._clock.monotonic, stream=stream, on_chunk=on_chunk)
        return await self._carry_out(outgoing, attempt)

    async def models(self) -> list[str] | None:
        """The ids of the models that the endpoint serves, or None when it has no list of them.

        Raises:
            EndpointError: the endpoint cannot be reached, refuses the key, or gives a list that cannot be read.
        """
        outgoing = httpx.Request("GET", self._urls["models"], headers=self._headers)
        attempt = Attempt(None, self._run.max_reply_bytes, self._clock.monotonic, stream=False)
        exchange = await self._carry_out(outgoing, attempt)
        if exchange.status in _NO_LIST:
            return None
        error = judge(exchange, self._clock.wall()).error
        if error is not None:
            where = self.redactor.text(str(self._urls["models"].copy_with(query=None)))
            raise endpoint_error(replace(error, message=f"{where}: {error.message}") if error.kind is ErrorKind.NETWORK else error)
        names = _model_names(exchange.body)
        if names is None:
            message = f"the list of models cannot be read: {sample(exchange.body)}"
            raise endpoint_error(ErrorInfo(ErrorKind.PROTOCOL, "not_json", message, exchange.status))
        return names

    async def _carry_out(self, outgoing: httpx.Request, attempt: Attempt) -> Exchange:
        run = self._run
        sent_at = self._clock.monotonic()
        with anyio.CancelScope() as scope:
            deadlines = Deadlines(scope, run.attempt_timeout_s)
            deadlines.start("timeout_first_byte", run.first_byte_timeout_s, self._soonest)
            try:
                await attempt.read(await self._engine.handle_async_request(outgoing), deadlines, run.idle_timeout_s)
            except UnreadableError as error:
                attempt.fault = Fault(ErrorKind.PROTOCOL, error.code, str(error))
            except Exception as error:
                fault = None if attempt.raised is error else fault_of(error, in_body=attempt.status is not None)
                if fault is None:
                    raise
                attempt.fault = fault
            finally:
                deadlines.stop()
        if scope.cancelled_caught:
            code = deadlines.code or "timeout_attempt"
            attempt.fault = Fault(ErrorKind.NETWORK, code, _TIMEOUT_TEXTS[code])
        return attempt.exchange(self.redactor, sent_at, self._clock.monotonic())


def _join(root: httpx.URL, path: str, query: Mapping[str, str]) -> httpx.URL:
    url = root.copy_with(path=f"{root.path.rstrip('/')}/{path}")
    return url.copy_merge_params(dict(query)) if query else url


def _headers(provider: ProviderSettings, key: str | None, base: httpx.URL, *, stream: bool) -> httpx.Headers:
    headers = {
        "Host": base.netloc.decode("ascii"),
        "Accept": "text/event-stream, application/json" if stream else "application/json",
        "Accept-Encoding": "identity",
        "Content-Type": "application/json",
        "User-Agent": f"promptmill/{__version__}",
    }
    if base.userinfo:
        headers["Authorization"] = "Basic " + base64.b64encode(f"{base.username}:{base.password}".encode()).decode("ascii")
    if key is not None and provider.auth != "none":
        if not _HEADER_VALUE.fullmatch(key):
            name = provider.api_key_env or "the key"
            raise SetupError(f"{name} holds characters that no header may carry (a line break, perhaps): set it anew")
        headers["Authorization" if provider.auth == "bearer" else "api-key"] = f"Bearer {key}" if provider.auth == "bearer" else key
    named = {name.lower(): name for name in headers}
    for name, value in provider.headers.items():
        headers[named.get(name.lower(), name)] = value
    return httpx.Headers(headers, encoding="utf-8")


def _secrets(headers: Mapping[str, str], key: str | None, base: httpx.URL, query: Mapping[str, str]) -> list[str]:
    """The key, and what stands in the URL or in headers under a name that sounds like a key's."""
    named = [value for members in (headers, query) for name, value in members.items() if _SECRET_NAME.search(name)]
    return [secret for secret in (key, base.password, *named) if secret]


def _model_names(body: bytes) -> list[str] | None:
    """The ids in OpenAI's list, a bare list (Together), or {"models": […]} (Ollama, Gemini)."""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    items = document.get("data", document.get("models")) if isinstance(document, dict) else document
    if not isinstance(items, list):
        return None
    names = [item.get("id") or item.get("name") if isinstance(item, dict) else item for item in items]
    return [name for name in names if isinstance(name, str)]
