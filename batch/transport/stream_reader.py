"""Reads a streamed answer: server-sent events in, chunks and the assembled body out."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import orjson

from batch.policy.redaction import sample
from batch.providers.envelopes import dump
from batch.providers.lenient_json import parse
from batch.providers.replies import ReplyFormatError, read_error
from batch.records import STREAMED, Api, Chunk, ErrorKind, Fault, ReplyError
from batch.transport.assemble import Assembler
from batch.transport.decoding import UnreadableError
from batch.transport.messages_stream import MessageAssembler
from batch.transport.response_stream import ResponseAssembler
from batch.transport.sse import ServerSentEvent, SSEDecoder
from batch.transport.text_events import TextEvents

SAMPLE_BYTES = 2000
"""How much is kept of a body that cannot be read."""

# What a chunk's envelope takes of its event: not kept.
_ENVELOPE_BYTES = 512


class StreamReader:
    """Reads a streamed answer as it comes. Feed it unpacked bytes; afterwards its attributes show how it ended.

    `on_chunk` gets each chunk. What it raises is raised again, and kept in `raised`. `size` is about how many bytes are kept.
    """

    def __init__(self, api: Api, on_chunk: Callable[[Chunk], None] | None, now: Callable[[], float]) -> None:
        self._decoder = SSEDecoder()
        self._assembler: Assembler | MessageAssembler | ResponseAssembler = _assembler_of(api)
        self._text_events = TextEvents()
        self._is_streamed_api = api in STREAMED
        self._is_response = api == "responses"
        self._whole: Any = None
        self._on_chunk = on_chunk
        self._now = now
        self._head = b""
        self.size = 0
        self.first_token_at: float | None = None
        self.done = False
        self.error: ReplyError | None = None
        self.raised: Exception | None = None

    def feed(self, data: bytes) -> bool:
        """Read bytes; True when they contain an event with data. Comments, pings and empty events do not count."""
        if len(self._head) < SAMPLE_BYTES:
            self._head += data[:SAMPLE_BYTES]
        progress = False
        for event in self._decoder.feed(data):
            progress |= self._take(event)
        return progress

    def end(self) -> None:
        """The stream has ended by itself; a last event without its blank line is read if it is whole."""
        event = self._decoder.close()
        if event is not None and (event.data.strip() == b"[DONE]" or _documents(event.data)):
            self._take(event)
        if self.complete or self.error is not None:
            return
        bare = self._decoder.bare.strip()
        if bare.startswith((b"{", b"[")) and (documents := _documents(bare)):
            self.error = read_error(documents[0])

    @property
    def complete(self) -> bool:
        """Whether the answer is whole: every choice finished, and no error came. `[DONE]` alone shows nothing."""
        return self.error is None and (self._assembler.finished or self._whole is not None)

    def body(self) -> bytes:
        """Return the body of the plain reply. Raises ReplyFormatError."""
        return self._assembler.body() if self._whole is None else dump(self._whole)

    @property
    def sample(self) -> bytes:
        """The first bytes as they came; more than is kept, so that a secret at the cut is seen whole."""
        return self._head

    @property
    def started(self) -> bool:
        """Whether anything of an answer came."""
        return self._assembler.started

    def incomplete(self) -> Fault:
        """Explain why a stream that ended by itself is not an answer."""
        if self._assembler.started:
            text = "the stream ended without a finish_reason: the answer was cut short"
            # After [DONE] the server has nothing more to give: the next answer would end the same way.
            return Fault(ErrorKind.PROTOCOL, "truncated_stream", text, answered=self.done)
        code = "no_choices" if self._head.lstrip().startswith(b"data:") else "not_json"
        return Fault(ErrorKind.PROTOCOL, code, f"the stream contains no answer: {sample(self._head) or 'it was empty'}")

    def _take(self, event: ServerSentEvent) -> bool:
        # Anthropic's keep-alive events carry data, {"type": "ping"}, which is no part of the answer.
        if self.done or not event.data or event.event == "ping":
            return False
        if event.event == "message" and self._text_events.add(event.data):
            self._grow(event.data)
            return True
        try:
            document = orjson.loads(event.data)
        except orjson.JSONDecodeError:
            return self._take_odd(event)
        self._grow(event.data)
        progress = self._take_document(document, event)
        # Only a document that was added can be a pattern. Who wants each chunk gets it from the parsed document.
        learns = self.first_token_at is not None and self._on_chunk is None and self.error is None
        if learns and isinstance(document, dict) and isinstance(self._assembler, Assembler):
            self._text_events.learn(event.data, document, self._assembler)
        return progress

    def _take_odd(self, event: ServerSentEvent) -> bool:
        """Read an event that is not one JSON document: the end of the stream, several documents, or an error."""
        data = event.data.strip()
        if data.startswith(b"[DONE]"):
            self.done = True
            return True
        documents = _documents(data)
        if not documents:
            if event.event == "error":
                self.error = self.error or ReplyError(sample(event.data))
                return True
            raise UnreadableError("not_json", f"an event of the stream is not JSON: {sample(event.data)}", answered=True)
        self._grow(data)
        # The pattern was learned from events of one document each.
        self._text_events.forget()
        progress = False
        for document in documents:
            progress |= self._take_document(document, event)
        return progress

    def _grow(self, data: bytes) -> None:
        if len(data) > _ENVELOPE_BYTES:
            self.size += len(data) - _ENVELOPE_BYTES

    def _take_document(self, document: Any, event: ServerSentEvent) -> bool:
        if document == "[DONE]":
            self.done = True
            return True
        error = read_error(document)
        if error is None and event.event == "error":
            error = ReplyError(sample(event.data))
        if error is not None:
            self.error = self.error or error
            return True
        if not isinstance(document, dict):
            return False
        if not self._is_streamed_api:
            return self._take_whole(document)
        # A document of another kind, such as a server's own status, is no part of the answer.
        if not self._assembler.is_part(document):
            return False
        self._add(document)
        # The last event of a message, or of a response: nothing follows it.
        self.done = self.done or document.get("type") == "message_stop" or (self._assembler.finished and self._is_response)
        return True

    def _take_whole(self, document: dict[str, Any]) -> bool:
        """An API that is not streamed here: the event that holds the reply, or (responses) wraps it."""
        reply = document.get("response") if isinstance(document.get("response"), dict) else document
        if not isinstance(reply, dict) or not {"data", "output", "results"} & set(reply):
            return False
        self._whole = reply
        return True

    def _add(self, document: dict[str, Any]) -> None:
        is_waiting = self.first_token_at is None
        try:
            chunk = self._assembler.add(document, wants_chunk=is_waiting or self._on_chunk is not None)
        except ReplyFormatError as error:
            raise UnreadableError(error.code, str(error), answered=True) from None
        if chunk is None:
            return
        if is_waiting and (chunk.text or chunk.reasoning or chunk.tool_calls):
            self.first_token_at = self._now()
        if self._on_chunk is not None:
            try:
                self._on_chunk(chunk)
            except Exception as error:
                self.raised = error
                raise


def _assembler_of(api: Api) -> Assembler | MessageAssembler | ResponseAssembler:
    if api == "messages":
        return MessageAssembler()
    return ResponseAssembler() if api == "responses" else Assembler(api)


def error_in_events(body: bytes) -> ReplyError | None:
    """Find the error in an event stream that came with a status of an error."""
    decoder = SSEDecoder()
    events = decoder.feed(body)
    last = decoder.close()
    for event in [*events, last] if last is not None else events:
        for document in _documents(event.data):
            if (error := read_error(document)) is not None:
                return error
    return None


def _documents(data: bytes) -> list[Any]:
    """The JSON documents of an event: one, or one a line where a server ends its events with a single line break; none if any is bad."""
    for pieces in ([data], [line.strip() for line in data.split(b"\n") if line.strip()]):
        with contextlib.suppress(ValueError):
            return [_document(piece) for piece in pieces]
    return []


def _document(line: bytes) -> Any:
    return "[DONE]" if line == b"[DONE]" else parse(line)
