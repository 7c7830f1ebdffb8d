"""A scripted OpenAI-compatible endpoint on 127.0.0.1, on raw sockets, in a thread of its own.

A handler sees each request and says what happens on the wire, byte by byte::

    with ScriptedEndpoint(lambda received: [chat_reply("Paris")]) as endpoint:
        ...  # endpoint.url is ".../v1"
    assert len(endpoint.requests) == 1

Actions are bytes (sent as they are), `Sleep`, `RESET` (a TCP reset), `CLOSE` (an orderly end) and `HANG` (silence, connection open).
The handler runs in the endpoint's thread: it may block on nothing, and can be a generator that looks at what it received.
"""

from __future__ import annotations

import asyncio
import enum
import socket
import ssl
import struct
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import orjson

from tests.support.streams import sse_text

PATIENCE_S = 240.0
"""Seconds that is waited for what must come on any machine, however loaded: less than a test's time-out, which names the test only."""


@dataclass(frozen=True, slots=True)
class Sleep:
    """Wait before the next action."""

    seconds: float


class Ending(enum.Enum):
    """What ends a connection, or leaves it open for ever."""

    RESET = enum.auto()
    CLOSE = enum.auto()
    HANG = enum.auto()


RESET, CLOSE, HANG = Ending.RESET, Ending.CLOSE, Ending.HANG
Action = bytes | Sleep | Ending


@dataclass(frozen=True, slots=True)
class Received:
    """One request. `number` counts all of them from 1, `connection` the sockets from 1, `turn` the requests on this socket from 1."""

    number: int
    connection: int
    turn: int
    method: str
    path: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)

    def json(self) -> Any:
        """The body, parsed."""
        return orjson.loads(self.body)

    @property
    def prompt(self) -> str:
        """The text of the last message, or the `prompt` / `input`."""
        document = self.json()
        if "messages" in document:
            return str(document["messages"][-1]["content"])
        return str(document.get("prompt", document.get("input")))


Handler = Callable[[Received], Iterable[Action]]


def http(status: int, body: bytes, headers: Mapping[str, str] | None = None, *, content_type: str = "application/json") -> bytes:
    """A whole HTTP/1.1 reply; a Content-Length or Content-Type in `headers` replaces the right one."""
    merged = {"content-type": content_type, "content-length": str(len(body))} | {k.lower(): v for k, v in (headers or {}).items()}
    lines = "".join(f"{name}: {value}\r\n" for name, value in merged.items())
    return f"HTTP/1.1 {status} X\r\n{lines}\r\n".encode() + body


def chat_body(
    text: str | None = "ok",
    *,
    finish_reason: str | None = "stop",
    model: str = "test-model",
    usage: Mapping[str, Any] | None = None,
    **message: Any,
) -> bytes:
    """The body of a chat completion; `message` adds members such as tool_calls or reasoning_content."""
    return orjson.dumps(
        {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 1700000000,
            "model": model,
            "choices": [{"index": 0, "message": {"role": "assistant", "content": text, **message}, "finish_reason": finish_reason}],
            "usage": usage or {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10},
        }
    )


def chat_reply(text: str | None = "ok", *, headers: Mapping[str, str] | None = None, **body: Any) -> bytes:
    """A whole 200 with a chat completion; see `chat_body` for what can be set."""
    return http(200, chat_body(text, **body), headers)


def error(status: int, body: bytes | str | Mapping[str, Any] | list[Any] = b"", headers: Mapping[str, str] | None = None) -> bytes:
    """A whole reply with an error status. A str becomes OpenAI's envelope `{"error": {"message": …}}`; bytes are sent as they are."""
    if isinstance(body, str):
        body = {"error": {"message": body, "type": None, "param": None, "code": None}}
    return http(status, body if isinstance(body, bytes) else orjson.dumps(body), headers)


def answer(received: Received) -> Iterable[Action]:
    """The default handler: `answer to PROMPT` for chats (streamed when asked) and completions, a vector for embeddings, one model."""
    if received.path.endswith("/models"):
        return [http(200, orjson.dumps({"object": "list", "data": [{"id": "test-model", "object": "model"}]}))]
    if received.path.endswith("/embeddings"):
        item = {"object": "embedding", "index": 0, "embedding": [0.5, -0.25]}
        return [http(200, orjson.dumps({"object": "list", "model": "test-model", "data": [item], "usage": {"prompt_tokens": 2}}))]
    text = f"answer to {received.prompt}"
    if received.path.endswith("/chat/completions"):
        return [sse_text(text) if received.json().get("stream") else chat_reply(text)]
    if received.path.endswith("/completions"):
        choice = {"index": 0, "text": text, "finish_reason": "stop"}
        return [http(200, orjson.dumps({"id": "cmpl-1", "object": "text_completion", "model": "test-model", "choices": [choice]}))]
    return [error(404, {"detail": "Not Found"})]


class ScriptedEndpoint:
    """The endpoint: a context manager. `requests` are all that came; `max_concurrent` the most that were open at once."""

    def __init__(self, handler: Handler = answer, *, tls: ssl.SSLContext | None = None, port: int = 0) -> None:
        self.handler = handler
        self.port = port
        self.requests: list[Received] = []
        self.connections = 0
        self.open_connections = 0
        self.concurrent = 0
        self.max_concurrent = 0
        self.errors: list[BaseException] = []
        self._tls = tls
        self._protocols: set[_Connection] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="scripted-endpoint", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self._server = asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(PATIENCE_S)
        self.port = int(self._server.sockets[0].getsockname()[1])
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._shut(), self._loop).result(PATIENCE_S)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE_S)
        self._loop.close()
        if self.errors:
            raise self.errors[0]

    async def _listen(self) -> asyncio.Server:
        loop = asyncio.get_running_loop()
        return await loop.create_server(lambda: _Connection(self), "127.0.0.1", self.port, backlog=4096, ssl=self._tls)

    async def _shut(self) -> None:
        self._server.close()
        for protocol in list(self._protocols):
            protocol.transport.abort()
        # Handshakes of TLS that a client has given up are tasks of the loop.
        handshakes = asyncio.all_tasks() - {asyncio.current_task()}
        for task in handshakes:
            task.cancel()
        await asyncio.gather(*handshakes, return_exceptions=True)
        await asyncio.sleep(0)

    @property
    def origin(self) -> str:
        """`http://127.0.0.1:PORT` (https with TLS)."""
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        """The normalised base URL, with /v1."""
        return f"{self.origin}/v1"

    def counts(self) -> Counter[str]:
        """How often each prompt came."""
        return Counter(received.prompt for received in self.requests if received.body)


class _Connection(asyncio.Protocol):
    transport: asyncio.Transport

    def __init__(self, endpoint: ScriptedEndpoint) -> None:
        self._endpoint = endpoint
        self._buffer = b""
        self._actions: Iterator[Action] | None = None
        self._turn = 0
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._endpoint.connections += 1
        self._endpoint.open_connections += 1
        self._number = self._endpoint.connections
        self._endpoint._protocols.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._endpoint.open_connections -= 1
        self._endpoint._protocols.discard(self)
        if self._timer is not None:
            self._timer.cancel()
        if self._actions is not None:
            self._finish()

    def eof_received(self) -> bool:
        return False

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while self._actions is None and (received := self._take()) is not None:
            self._begin(received)

    def _take(self) -> Received | None:
        head, separator, rest = self._buffer.partition(b"\r\n\r\n")
        if not separator:
            return None
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        length = int(headers.get("content-length", 0))
        if len(rest) < length:
            return None
        self._buffer = rest[length:]
        method, path, _ = first.split(" ", 2)
        self._turn += 1
        number = len(self._endpoint.requests) + 1
        return Received(number, self._number, self._turn, method, path, headers, rest[:length])

    def _begin(self, received: Received) -> None:
        endpoint = self._endpoint
        endpoint.requests.append(received)
        endpoint.concurrent += 1
        endpoint.max_concurrent = max(endpoint.max_concurrent, endpoint.concurrent)
        try:
            self._actions = iter(endpoint.handler(received))
        except Exception as problem:  # noqa: BLE001 - shown when the endpoint ends
            endpoint.errors.append(problem)
            self._actions = iter([RESET])
        self._run()

    def _run(self) -> None:
        self._timer = None
        assert self._actions is not None
        try:
            for action in self._actions:
                if isinstance(action, bytes):
                    self.transport.write(action)
                elif isinstance(action, Sleep):
                    self._timer = asyncio.get_running_loop().call_later(action.seconds, self._go_on)
                    return
                elif action is not HANG:
                    self._end(action)
                    return
                else:
                    return
        except Exception as problem:  # noqa: BLE001 - shown when the endpoint ends
            self._endpoint.errors.append(problem)
            self._end(RESET)
            return
        self._finish()

    def _go_on(self) -> None:
        self._run()
        if self._actions is None and self._buffer:
            self.data_received(b"")

    def _end(self, ending: Ending) -> None:
        if ending is RESET:
            sock = self.transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.transport.abort()
        else:
            self.transport.close()

    def _finish(self) -> None:
        self._actions = None
        self._endpoint.concurrent -= 1
