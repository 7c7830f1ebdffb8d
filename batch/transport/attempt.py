"""One attempt's reply while it is read, and the Exchange that it becomes."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import replace

import anyio
import orjson

from batch.policy.redaction import Redactor, sample
from batch.providers.replies import ReplyFormatError, read_error, read_reply
from batch.records import Api, Chunk, ErrorKind, Exchange, Fault, Reply
from batch.transport.deadlines import Deadlines
from batch.transport.decoding import ContentDecoder
from batch.transport.stream_reader import SAMPLE_BYTES, StreamReader
from batch.transport.wire import Response

# After [DONE] a body should end at once, and its connection can be used again. One that does not end is closed.
DRAIN_S, DRAIN_BYTES = 0.05, 4096

# How long closing a broken connection may take.
CLOSE_S = 1.0

LARGEST_ERROR_BODY = 1024 * 1024


class Attempt:
    """The reply to one request. `api` None is for replies that hold no answer (the list of models)."""

    __slots__ = ("_api", "_cap", "_now", "_on_chunk", "_pieces", "_stream", "_wants_stream", "fault", "headers", "status")

    def __init__(
        self, api: Api | None, cap: int, now: Callable[[], float], *, stream: bool, on_chunk: Callable[[Chunk], None] | None = None
    ) -> None:
        self._api = api
        self._cap = cap
        self._now = now
        self._wants_stream = stream
        self._on_chunk = on_chunk
        self._stream: StreamReader | None = None
        self._pieces: list[bytes] = []
        self.status: int | None = None
        self.headers: Mapping[str, str] = {}
        self.fault: Fault | None = None

    @property
    def raised(self) -> Exception | None:
        """What `on_chunk` raised."""
        return self._stream.raised if self._stream is not None else None

    async def read(self, response: Response, deadlines: Deadlines, idle_s: float) -> None:
        """Read the whole reply. Raises UnreadableError, and what the engine raises; the connection is closed then."""
        self.status = response.status
        self.headers = response.headers
        try:
            if self._is_stream() and self._api is not None:
                self._stream = StreamReader(self._api, self._on_chunk, self._now)
                await self._read_stream(self._stream, response, deadlines, idle_s)
            else:
                await self._read_plain(response, deadlines, idle_s)
        except BaseException:
            with anyio.move_on_after(CLOSE_S, shield=True):
                await _close(response)
            raise
        await _close(response)

    def exchange(self, redactor: Redactor, sent_at: float, done_at: float) -> Exchange:
        """What was seen on the wire, without the secrets."""
        body, reply, fault = self._streamed(redactor) if self._stream is not None else self._plain(redactor)
        if fault is not None:
            fault = replace(fault, message=redactor.text(fault.message))
        if reply is not None and reply.error is not None:
            reply = replace(reply, error=replace(reply.error, message=redactor.text(reply.error.message)))
        headers = self.headers if self._is_success else {name: redactor.text(value) for name, value in self.headers.items()}
        first_token_at = self._stream.first_token_at if self._stream is not None else None
        return Exchange(self.status, headers, body, reply, fault, sent_at, first_token_at, done_at)

    @property
    def _is_success(self) -> bool:
        return self.status is not None and 200 <= self.status < 300

    def _is_stream(self) -> bool:
        content_type = self.headers.get("content-type", "").partition(";")[0].strip().lower()
        if not self._is_success:
            return False
        return content_type == "text/event-stream" or (self._wants_stream and content_type in {"", "text/plain"})

    async def _read_plain(self, response: Response, deadlines: Deadlines, idle_s: float) -> None:
        deadlines.move("timeout_idle", idle_s)
        decoder = ContentDecoder(self.headers, self._cap if self._is_success else min(self._cap, LARGEST_ERROR_BODY))
        while (piece := await response.read()) is not None:
            deadlines.move("timeout_idle", idle_s)
            self._pieces.append(decoder.feed(piece))
        decoder.end()

    async def _read_stream(self, stream: StreamReader, response: Response, deadlines: Deadlines, idle_s: float) -> None:
        # Until the first token the first-byte deadline holds: servers send the head at once and then queue.
        decoder = ContentDecoder(self.headers, self._cap)
        while (piece := await response.read()) is not None:
            if stream.feed(decoder.feed(piece)):
                if stream.first_token_at is None:
                    deadlines.extend("timeout_idle", idle_s)
                else:
                    deadlines.move("timeout_idle", idle_s)
            if stream.done or stream.error is not None:
                await _drain(response)
                return
        decoder.end()
        stream.end()

    def _plain(self, redactor: Redactor) -> tuple[bytes, Reply | None, Fault | None]:
        body = redactor.bytes(self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces))
        fault = self.fault
        if self.status is None or (fault is not None and self._is_success):
            return body[:SAMPLE_BYTES], None, fault
        try:
            reply = read_reply(self._api, body) if self._api is not None else Reply(error=read_error(orjson.loads(body)))
        except ReplyFormatError as error:
            if not self._is_success:
                return body[:SAMPLE_BYTES], None, fault
            return body[:SAMPLE_BYTES], None, _format_fault(error, body)
        except orjson.JSONDecodeError:
            return body[:SAMPLE_BYTES], None, fault
        return body, reply, fault

    def _streamed(self, redactor: Redactor) -> tuple[bytes, Reply | None, Fault | None]:
        stream = self._stream
        assert stream is not None and self._api is not None  # noqa: S101, PT018 - _is_stream
        head = redactor.bytes(stream.sample)[:SAMPLE_BYTES]
        if stream.error is not None:
            return head, Reply(error=stream.error), None
        if not stream.complete:
            fault = self.fault or stream.incomplete()
            return head, None, replace(fault, code="truncated_stream") if fault.code == "truncated_body" else fault
        try:
            body = redactor.bytes(stream.body())
            return body, read_reply(self._api, body), None
        except ReplyFormatError as error:
            return head, None, _format_fault(error, head)


def _format_fault(error: ReplyFormatError, body: bytes) -> Fault:
    seen = sample(body)
    return Fault(ErrorKind.PROTOCOL, error.code, f"{error}: {seen}" if seen else str(error))


async def _drain(response: Response) -> None:
    size = 0
    with anyio.move_on_after(DRAIN_S):
        while (piece := await response.read()) is not None:
            size += len(piece)
            if size > DRAIN_BYTES:
                return


async def _close(response: Response) -> None:
    # The reply is read, or its fault is known: what goes wrong in closing changes neither.
    with contextlib.suppress(Exception):
        await response.close()
