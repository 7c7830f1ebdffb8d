"""Talks to one endpoint with one key: a request sent, its reply read, and whatever happens on the wire told as an Exchange."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from http import HTTPStatus
from typing import get_args

import orjson

from batch.clock import Clock
from batch.errors import endpoint_error
from batch.policy.redaction import Redactor, sample
from batch.policy.verdicts import judge
from batch.records import STREAMED, Api, Chunk, ErrorInfo, ErrorKind, Exchange, Fault, Request
from batch.settings import ProviderSettings, RunSettings
from batch.transport.attempt import Attempt
from batch.transport.deadlines import DeadlineTimer
from batch.transport.faults import fault_of
from batch.transport.proxies import proxy_passwords
from batch.transport.reading import UnreadableError
from batch.transport.targets import secrets_of, target_of
from batch.transport.wire import Engine, Target

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

    def __init__(self, provider: ProviderSettings, key: str | None, run: RunSettings, *, clock: Clock, engine: Engine) -> None:
        self._targets = {path: target_of("POST", path, provider, key, stream=run.stream) for path in get_args(Api)}
        self._models = target_of("GET", "models", provider, key, stream=False)
        self._run = run
        self._clock = clock
        self._engine = engine
        self._timer = DeadlineTimer(min(run.first_byte_timeout_s, run.idle_timeout_s, run.attempt_timeout_s))
        proxies = proxy_passwords() if run.trust_env else []
        self.redactor = Redactor([*secrets_of(provider, key), *proxies])

    async def exchange(self, request: Request, on_chunk: Callable[[Chunk], None] | None = None) -> Exchange:
        """Send `request` once. When the run streams, `on_chunk` is told each chunk as it comes; what it raises is raised on.

        Faults of the wire, time-outs included, are in the Exchange and never raised. Cancelling closes the connection.
        """
        run = self._run
        stream = run.stream and request.api in STREAMED
        attempt = Attempt(request.api, run.max_reply_bytes, self._clock.monotonic, stream=stream, on_chunk=on_chunk)
        return await self._carry_out(self._targets[request.api], request.body, attempt)

    async def models(self) -> list[str] | None:
        """The ids of the models that the endpoint serves, or None when it has no list of them.

        Raises:
            EndpointError: the endpoint cannot be reached, refuses the key, or gives a list that cannot be read.
        """
        attempt = Attempt(None, self._run.max_reply_bytes, self._clock.monotonic, stream=False)
        exchange = await self._carry_out(self._models, b"", attempt)
        if exchange.status in _NO_LIST:
            return None
        error = judge(exchange, self._clock.wall()).error
        if error is not None:
            where = self.redactor.text(self._models.url.partition("?")[0])
            raise endpoint_error(replace(error, message=f"{where}: {error.message}") if error.kind is ErrorKind.NETWORK else error)
        names = _model_names(exchange.body)
        if names is None:
            message = f"the list of models cannot be read: {sample(exchange.body)}"
            raise endpoint_error(ErrorInfo(ErrorKind.PROTOCOL, "not_json", message, exchange.status))
        return names

    async def _carry_out(self, target: Target, body: bytes, attempt: Attempt) -> Exchange:
        run = self._run
        sent_at = self._clock.monotonic()
        deadlines = self._timer.start(run.attempt_timeout_s, "timeout_first_byte", run.first_byte_timeout_s)
        try:
            await attempt.read(await self._engine.send(target, body), deadlines, run.idle_timeout_s)
        except asyncio.CancelledError:
            if not deadlines.stop():
                raise
            code = deadlines.code or "timeout_attempt"
            attempt.fault = Fault(ErrorKind.NETWORK, code, _TIMEOUT_TEXTS[code])
        except UnreadableError as error:
            attempt.fault = Fault(ErrorKind.PROTOCOL, error.code, str(error))
        except Exception as error:
            fault = None if attempt.raised is error else fault_of(error, in_body=attempt.status is not None)
            if fault is None:
                raise
            attempt.fault = fault
        finally:
            deadlines.stop()
        return attempt.exchange(self.redactor, sent_at, self._clock.monotonic())


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
