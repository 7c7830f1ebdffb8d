"""Defines `batch.Endpoint`: an OpenAI-compatible endpoint from Python, one prompt at a time, plain or streamed, async or sync."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping, Sequence
from contextlib import ExitStack, aclosing, contextmanager
from dataclasses import replace
from functools import partial
from types import TracebackType
from typing import Any, Self, cast

import anyio
import orjson
from anyio.from_thread import BlockingPortal, start_blocking_portal

from batch.app.resolve import resolve
from batch.clock import SystemClock
from batch.errors import endpoint_error
from batch.policy.verdicts import Action, Verdict, judge
from batch.policy.waits import MAX_WAIT_S, backoff
from batch.providers.messages_requests import message_request
from batch.records import STREAMED, Api, Chunk, Completion, Exchange, Reply, Request
from batch.settings import HttpEngine, RunSettings
from batch.settings.tiers import FLEX, FLEX_TIMEOUTS, TIER_KEY
from batch.transport.client import Client
from batch.transport.engines import open_engine

Prompt = str | Sequence[Mapping[str, Any]]

_CONTENT_KEY: dict[Api, str] = {"chat/completions": "messages", "completions": "prompt", "messages": "messages"}  # the others: "input"


class Endpoint:
    """One model at one endpoint.

    Examples:
        ```python
        async with Endpoint("openai/gpt-5-mini", max_tokens=300) as model:
            answer = await model.complete("What is the capital of France?")
            print(answer.text, answer.usage)
            async for chunk in model.stream([{"role": "user", "content": "Tell me a story."}]):
                print(chunk.text, end="")

        with Endpoint("my/model", base_url="http://127.0.0.1:8000") as model:
            print(model.complete_sync("Hello!").text)
        ```

    Args:
        model: "PROVIDER/MODEL" with the name of a preset; with `base_url`, the model's own name, slashes and all.
        base_url: with or without /v1.
        api_key: the key's value; by default it is read from the variable that the preset names, and none is sent without a preset.
        api: "chat/completions" (the default), "completions", "embeddings", "responses", "moderations" or "messages" (Anthropic's);
            embeddings and moderations are not streamed.
        attempts: the most attempts of a call; waiting for a server that is loading costs none.
        timeout_s: how long one attempt may take, in seconds; by default 600, and 900 with service_tier="flex".
        outage_timeout_s: how long an endpoint that cannot be reached, or is loading, is waited for, in seconds.
        http: the HTTP engine.
        trust_env: whether proxies of the environment are used.
        parameters: request parameters for every call, sent as they are; a call's own replace them.

    Raises:
        SetupError: an unknown provider, or a key or URL that is not set.
    """

    def __init__(
        self,
        model: str,
        *,
        base_url: str | None = None,
        api_key: str | None = None,
        api: Api = "chat/completions",
        attempts: int = 3,
        timeout_s: float | None = None,
        outage_timeout_s: float = 60.0,
        http: HttpEngine = "asyncio",
        trust_env: bool = False,
        **parameters: Any,
    ) -> None:
        self._provider, self._model, self._key = resolve(model, base_url, api_key, os.environ)
        self._api = api
        self._attempts = attempts
        self._outage_timeout_s = outage_timeout_s
        self._parameters = parameters
        if timeout_s is None:
            timeout_s = FLEX_TIMEOUTS["attempt_timeout_s"] if parameters.get(TIER_KEY) == FLEX else 600.0
        self._run = RunSettings(http=http, trust_env=trust_env, first_byte_timeout_s=timeout_s, attempt_timeout_s=timeout_s)
        self._clock = SystemClock()
        self._clients: dict[bool, Client] = {}
        self._stack = ExitStack()
        self._portal: BlockingPortal | None = None

    async def __aenter__(self) -> Self:
        self._engine = open_engine(self._run, self._run.most_in_flight)
        for stream in (False, True):
            run = replace(self._run, stream=stream)
            self._clients[stream] = Client(self._provider, self._key, run, clock=self._clock, engine=self._engine)
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self._clients.clear()
        await self._engine.close()

    def __enter__(self) -> Self:
        self._portal = self._stack.enter_context(start_blocking_portal("asyncio"))
        self._stack.enter_context(self._portal.wrap_async_context_manager(self))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self._portal = None
        self._stack.close()

    async def complete(self, prompt: Prompt, **parameters: Any) -> Completion:
        """Return the answer to a prompt: a text, or a list of messages.

        Raises:
            EndpointError: NetworkError, APIError or ProtocolError, when no attempt gave an answer.
        """
        request = self._request(prompt, parameters, stream=False)
        retries = _Retries(self._attempts, self._outage_timeout_s, self._clock)
        while True:
            exchange = await self._client(stream=False).exchange(request)
            verdict = judge(exchange, self._clock.wall())
            if verdict.action is Action.DONE:
                return _completion(exchange, retries.tries + 1)
            await retries.wait(verdict)

    async def stream(self, prompt: Prompt, **parameters: Any) -> AsyncGenerator[Chunk, None]:
        """Yield the answer as it comes. A call is retried only while no part of the answer has been yielded.

        Raises:
            EndpointError: as for `complete`, also in mid-answer.
        """
        request = self._request(prompt, parameters, stream=True)
        retries = _Retries(self._attempts, self._outage_timeout_s, self._clock)
        while True:
            attempt = _Streaming(self._client(stream=True), request)
            given = False
            async with aclosing(attempt.chunks()) as chunks:
                async for chunk in chunks:
                    given = given or bool(chunk.text or chunk.reasoning or chunk.tool_calls)
                    yield chunk
            exchange = attempt.exchange
            verdict = judge(exchange, self._clock.wall())
            if verdict.action is Action.DONE:
                if not attempt.streamed and exchange.reply is not None:
                    yield _whole(exchange.reply)
                return
            if given and verdict.error is not None:
                raise endpoint_error(verdict.error)
            await retries.wait(verdict)

    def complete_sync(self, prompt: Prompt, **parameters: Any) -> Completion:
        """Do the same as `complete`, for code that is not async. Inside `with Endpoint(…)` connections are kept between calls."""
        with self._running() as portal:
            return portal.call(partial(self.complete, prompt, **parameters))

    def stream_sync(self, prompt: Prompt, **parameters: Any) -> Iterator[Chunk]:
        """Do the same as `stream`, for code that is not async."""
        with self._running() as portal:
            chunks = self.stream(prompt, **parameters)
            try:
                while (chunk := portal.call(_next, chunks)) is not None:
                    yield chunk
            finally:
                portal.call(chunks.aclose)

    async def models(self) -> list[str] | None:
        """Return the ids of the models that the endpoint serves; None when it has no list. Raises EndpointError."""
        return await self._client(stream=False).models()

    def _client(self, *, stream: bool) -> Client:
        if not self._clients:
            raise RuntimeError("an Endpoint is used inside `async with Endpoint(…) as model:`")
        return self._clients[stream]

    @contextmanager
    def _running(self) -> Iterator[BlockingPortal]:
        if self._portal is not None:
            yield self._portal
            return
        with self as opened:
            yield cast("BlockingPortal", opened._portal)

    def _request(self, prompt: Prompt, parameters: Mapping[str, Any], *, stream: bool) -> Request:
        content: Any = prompt
        content_key = _CONTENT_KEY.get(self._api, "input")
        if content_key == "messages" and isinstance(prompt, str):
            content = [{"role": "user", "content": prompt}]
        renames = self._provider.renames
        merged = {**self._parameters, **parameters}
        document = {"model": self._model, content_key: content} | {renames.get(name, name): merged[name] for name in merged}
        if self._api == "messages":
            document = message_request(document)
        if stream and self._api not in STREAMED:
            raise ValueError(f"{self._api} cannot be streamed")
        if stream:
            document["stream"] = True
            if self._provider.stream_usage and self._api not in ("messages", "responses"):
                document.setdefault("stream_options", {"include_usage": True})
        return Request(self._api, orjson.dumps(document), b"")


class _Retries:
    """Counts the attempts of one call and waits between them."""

    def __init__(self, attempts: int, outage_timeout_s: float, clock: SystemClock) -> None:
        self._attempts = attempts
        self._outage_timeout_s = outage_timeout_s
        self._clock = clock
        self._began = clock.monotonic()
        self._charged = 0
        self._unusable = 0
        self.tries = 0

    async def wait(self, verdict: Verdict) -> None:
        """Wait until the next attempt. Raises EndpointError when none is left, or the server asks for a wait beyond MAX_WAIT_S."""
        assert verdict.error is not None  # noqa: S101 - only DONE has none
        self.tries += 1
        self._charged += verdict.charged
        self._unusable += verdict.unusable
        pause = max(verdict.wait or 0.0, backoff(self.tries, random.random()))  # noqa: S311 - jitter is no secret
        late = not verdict.charged and self._clock.monotonic() + pause - self._began > self._outage_timeout_s
        spent = self._charged >= self._attempts or self._unusable > 1
        if verdict.action is not Action.RETRY or spent or late or pause > MAX_WAIT_S:
            raise endpoint_error(verdict.error)
        await anyio.sleep(pause)


class _Streaming:
    """Runs one streamed attempt in a task of its own, so that no cancel scope is open while the caller has a chunk."""

    def __init__(self, client: Client, request: Request) -> None:
        self._queue: asyncio.Queue[Chunk | None] = asyncio.Queue()
        self._task = asyncio.create_task(client.exchange(request, self._queue.put_nowait))
        self._task.add_done_callback(lambda _: self._queue.put_nowait(None))
        self.streamed = False

    async def chunks(self) -> AsyncGenerator[Chunk, None]:
        try:
            while (chunk := await self._queue.get()) is not None:
                self.streamed = True
                yield chunk
        finally:
            self._task.cancel()
            await asyncio.wait([self._task])

    @property
    def exchange(self) -> Exchange:
        return self._task.result()


def _completion(exchange: Exchange, attempts: int) -> Completion:
    reply = exchange.reply or Reply()
    first = exchange.first_token_at
    return Completion(
        text=reply.text,
        tool_calls=reply.tool_calls,
        reasoning=reply.reasoning,
        finish_reason=reply.finish_reason,
        usage=reply.usage,
        embedding=reply.embedding,
        response=orjson.loads(exchange.body),
        attempts=attempts,
        latency_s=exchange.done_at - exchange.sent_at,
        first_token_s=None if first is None else first - exchange.sent_at,
    )


def _whole(reply: Reply) -> Chunk:
    """Return the answer of a server that does not stream as one chunk."""
    return Chunk(reply.text or "", reply.reasoning or "", tuple(reply.tool_calls or ()), reply.finish_reason, reply.usage)


async def _next(chunks: AsyncIterator[Chunk]) -> Chunk | None:
    return await anext(chunks, None)
