"""Sends requests to one endpoint with one key, and returns whatever happens on the wire as an Exchange."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from http import HTTPStatus
from typing import get_args

from batch.clock import Clock
from batch.errors import endpoint_error
from batch.policy.plausible import doubted
from batch.policy.redaction import Redactor, sample
from batch.policy.verdicts import judge
from batch.records import STREAMED, Api, Chunk, ErrorInfo, ErrorKind, Exchange, Fault, Request
from batch.settings import ProviderSettings, RunSettings
from batch.transport.attempt import Attempt, unexpected
from batch.transport.deadlines import DeadlineTimer
from batch.transport.decoding import UnreadableError
from batch.transport.faults import fault_of
from batch.transport.model_list import ModelList, read_model_list
from batch.transport.proxies import proxy_passwords
from batch.transport.reply_budget import ReplyBudget
from batch.transport.targets import secrets_of, target_of
from batch.transport.wire import Engine, Target

_TIMEOUT_TEXTS = {
    "timeout_first_byte": "no answer began within first_byte_timeout_s",
    "timeout_idle": "nothing came for idle_timeout_s",
    "timeout_attempt": "the answer took longer than attempt_timeout_s",
}
_NO_LIST = {HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED, HTTPStatus.NOT_IMPLEMENTED}


class Client:
    """Talks to one endpoint with one key, over an engine that it does not own.

    `key` is the key's value: it goes to the provider's base URL and nowhere else, and is taken out of all texts and bodies that are
    returned. Clients of one run share a `budget` for large replies. Raises SetupError when the key cannot be sent in a header.
    """

    def __init__(
        self,
        provider: ProviderSettings,
        key: str | None,
        run: RunSettings,
        *,
        clock: Clock,
        engine: Engine,
        budget: ReplyBudget | None = None,
    ) -> None:
        self._targets = {path: target_of("POST", path, provider, key, stream=run.stream) for path in get_args(Api)}
        self._models = target_of("GET", "models", provider, key, stream=False)
        self._run = run
        self._clock = clock
        self._engine = engine
        self._budget = budget or ReplyBudget()
        # The timer looks at the deadlines at least as often as the shortest of them.
        self._timer = DeadlineTimer(min(run.first_byte_timeout_s, run.idle_timeout_s, run.attempt_timeout_s))
        proxies = proxy_passwords() if run.trust_env else []
        self.redactor = Redactor([*secrets_of(provider, key), *proxies])

    async def exchange(self, request: Request, on_chunk: Callable[[Chunk], None] | None = None) -> Exchange:
        """Send `request` once. When the run streams, `on_chunk` gets each chunk as it comes; what it raises is raised again.

        Faults of the wire, time-outs included, are in the Exchange and never raised, and so is any other exception while the request is
        sent and its reply read. Usage that the request cannot have is omitted from the reply. Cancelling closes the connection.
        """
        run = self._run
        stream = run.stream and request.api in STREAMED
        attempt = Attempt(request.api, run.max_reply_bytes, self._clock.monotonic, stream=stream, on_chunk=on_chunk, budget=self._budget)
        exchange = await self._carry_out(self._targets[request.api], request.body, attempt)
        reply = exchange.reply
        if reply is not None and reply.usage is not None and (doubt := doubted(reply.usage, request, reply.text)) is not None:
            exchange = replace(exchange, reply=replace(reply, usage=doubt[0], doubted=doubt[1]))
        return exchange

    async def models(self) -> list[str] | None:
        """Return the ids of the models that the endpoint serves, or None when it has no list of them. Raises as `model_list`."""
        served = await self.model_list()
        return None if served is None else served.ids

    async def model_list(self) -> ModelList | None:
        """Return the endpoint's list of models, or None when it has none.

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
        served = read_model_list(exchange.body)
        if served is None:
            message = f"the list of models cannot be read: {sample(exchange.body)}"
            raise endpoint_error(ErrorInfo(ErrorKind.PROTOCOL, "not_json", message, exchange.status))
        return served

    async def refuses_key(self, api: Api) -> bool:
        """Whether the endpoint refuses the key for requests of `api` too: the list of models may want another key (Anthropic's does).

        Sends a request without a body, which no endpoint answers and bills.
        """
        attempt = Attempt(None, self._run.max_reply_bytes, self._clock.monotonic, stream=False)
        exchange = await self._carry_out(self._targets[api], b"", attempt)
        return exchange.status == HTTPStatus.UNAUTHORIZED

    async def _carry_out(self, target: Target, body: bytes, attempt: Attempt) -> Exchange:
        try:
            sent_at = self._clock.monotonic()
            await self._read(target, body, attempt)
            return attempt.exchange(self.redactor, sent_at, self._clock.monotonic())
        finally:
            self._budget.release(attempt)

    async def _read(self, target: Target, body: bytes, attempt: Attempt) -> None:
        """Send the request and read its reply into `attempt`, faults included."""
        run = self._run
        deadlines = self._timer.start(run.attempt_timeout_s, "timeout_first_byte", run.first_byte_timeout_s)
        try:
            await attempt.read(await self._engine.send(target, body), deadlines, run.idle_timeout_s)
        except asyncio.CancelledError:
            if not deadlines.stop():
                raise
            code = deadlines.code or "timeout_attempt"
            attempt.fault = Fault(ErrorKind.NETWORK, code, _TIMEOUT_TEXTS[code])
        except UnreadableError as error:
            attempt.fault = Fault(ErrorKind.PROTOCOL, error.code, str(error), answered=error.answered)
        except Exception as error:
            if attempt.raised is error:
                raise
            fault = fault_of(error, in_body=attempt.status is not None)
            attempt.fault = fault or unexpected("the request was sent and its reply read", error)
        finally:
            deadlines.stop()
