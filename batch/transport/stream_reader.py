"""Reads a streamed answer: server-sent events in, chunks and the assembled body out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson

from batch.policy.redaction import sample
from batch.providers.replies import ReplyFormatError, read_error
from batch.records import Api, Chunk, ErrorKind, Fault, ReplyError
from batch.transport.assemble import Assembler
from batch.transport.decoding import UnreadableError
from batch.transport.sse import ServerSentEvent, SSEDecoder

SAMPLE_BYTES = 2000
"""How much is kept of a body that cannot be read."""


class StreamReader:
    """A streamed answer as it comes. Feed it unpacked bytes; afterwards ask how it ended.

    `on_chunk` is told each chunk; what it raises is raised on, and kept in `raised`.
    """

    def __init__(self, api: Api, on_chunk: Callable[[Chunk], None] | None, now: Callable[[], float]) -> None:
        self._decoder = SSEDecoder()
        self._assembler = Assembler(api)
        self._on_chunk = on_chunk
        self._now = now
        self._head = b""
        self.first_token_at: float | None = None
        self.done = False
        self.error: ReplyError | None = None
        self.raised: Exception | None = None

    def feed(self, data: bytes) -> bool:
        """Take in bytes; True when they held an event with data. Comments, pings and empty events do not count."""
        if len(self._head) < SAMPLE_BYTES:
            self._head += data[:SAMPLE_BYTES]
        progress = False
        for event in self._decoder.feed(data):
            progress |= self._take(event)
        return progress

    def end(self) -> None:
        """The stream has ended by itself; a last event without its blank line is taken if it is whole."""
        event = self._decoder.close()
        if event is not None and (event.data == b"[DONE]" or _parsed(event.data) is not None):
            self._take(event)

    @property
    def complete(self) -> bool:
        """Whether the answer is whole: every choice finished, and no error came. `[DONE]` alone says nothing."""
        return self.error is None and self._assembler.finished

    def body(self) -> bytes:
        """The body of the plain reply. Raises ReplyFormatError."""
        return self._assembler.body()

    @property
    def sample(self) -> bytes:
        """The first bytes as they came; more than is kept, so that a secret at the cut is seen whole."""
        return self._head

    def incomplete(self) -> Fault:
        """Why a stream that ended by itself is not an answer."""
        if self._assembler.started:
            text = "the stream ended without a finish_reason: the answer was cut short"
            return Fault(ErrorKind.PROTOCOL, "truncated_stream", text)
        code = "no_choices" if self._head.lstrip().startswith(b"data:") else "not_json"
        return Fault(ErrorKind.PROTOCOL, code, f"the stream held no answer: {sample(self._head) or 'it was empty'}")

    def _take(self, event: ServerSentEvent) -> bool:
        if self.done or not event.data or event.event == "ping":
            return False
        if event.data == b"[DONE]":
            self.done = True
            return True
        document = _parsed(event.data)
        if document is None:
            raise UnreadableError("not_json", f"an event of the stream is not JSON: {sample(event.data)}")
        error = read_error(document)
        if error is None and event.event == "error":
            error = ReplyError(sample(event.data))
        if error is not None:
            self.error = self.error or error
            return True
        if not isinstance(document, dict) or not ("choices" in document or document.get("usage")):
            return False
        self._add(document)
        return True

    def _add(self, document: dict[str, Any]) -> None:
        try:
            chunk = self._assembler.add(document)
        except ReplyFormatError as error:
            raise UnreadableError(error.code, str(error)) from None
        if self.first_token_at is None and (chunk.text or chunk.reasoning or chunk.tool_calls):
            self.first_token_at = self._now()
        if self._on_chunk is not None:
            try:
                self._on_chunk(chunk)
            except Exception as error:
                self.raised = error
                raise


def _parsed(data: bytes) -> Any:
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        pass
    try:
        return orjson.loads(data.decode("utf-8", "replace"))
    except orjson.JSONDecodeError:
        return None
