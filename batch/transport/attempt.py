"""Reads the reply to one attempt and makes the Exchange of it."""

from __future__ import annotations

import contextlib
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from email.message import Message

import anyio
import orjson

from batch.errors import describe_bug
from batch.policy.redaction import Redactor, sample
from batch.providers.envelopes import error_in_cut, pending_state
from batch.providers.lenient_json import repair, unwrapped
from batch.providers.replies import ReplyFormatError, read_error, read_reply
from batch.records import Api, Chunk, ErrorKind, Exchange, Fault, Reply
from batch.transport.deadlines import Deadlines
from batch.transport.decoding import ContentDecoder, is_stream
from batch.transport.reply_budget import ReplyBudget
from batch.transport.stream_reader import SAMPLE_BYTES, StreamReader, error_in_events
from batch.transport.wire import Response

# After [DONE] a body should end at once, and its connection can be used again. One that does not end is closed.
DRAIN_S, DRAIN_BYTES = 0.05, 4096

# How long closing a broken connection may take.
CLOSE_S = 1.0

# Beyond this an error is a web page, of which the first bytes say enough.
LARGEST_ERROR_BODY = 1024 * 1024
# The members of replies that hold an answer, of all APIs, with something in them; the endings of APIs that are not OpenAI's; and what an
# answer used, which was made, and is billed, although the reply lacks it.
_ANSWER = re.compile(
    rb'"(?:choices|output|data|results|candidates|content)"\s*:\s*[\[{]\s*[^\]}\s]|"(?:done_reason|stop_reason|finishReason)"\s*:'
    rb'|"(?:completion|output)_tokens"\s*:\s*[1-9]'
)
ACCEPTED = 202


class Attempt:
    """The reply to one request. `api` None is for replies that hold no answer (the list of models)."""

    __slots__ = (
        "_api",
        "_budget",
        "_cap",
        "_now",
        "_on_chunk",
        "_pieces",
        "_size",
        "_stream",
        "_wants_stream",
        "fault",
        "headers",
        "status",
    )

    def __init__(
        self,
        api: Api | None,
        cap: int,
        now: Callable[[], float],
        *,
        stream: bool,
        on_chunk: Callable[[Chunk], None] | None = None,
        budget: ReplyBudget | None = None,
    ) -> None:
        self._api = api
        self._cap = cap
        self._now = now
        self._wants_stream = stream
        self._on_chunk = on_chunk
        self._budget = budget or ReplyBudget()
        self._stream: StreamReader | None = None
        self._pieces: list[bytes] = []
        self._size = 0
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
            await self._read_body(response, deadlines, idle_s)
        except BaseException:
            # Shielded: a cancelled attempt must still close its connection, which cannot be used again.
            with anyio.move_on_after(CLOSE_S, shield=True):
                await _close(response)
            raise
        await _close(response)

    def exchange(self, redactor: Redactor, sent_at: float, done_at: float) -> Exchange:
        """Return what came over the wire, without the secrets. Raises nothing: what fails here is the fault of this attempt."""
        try:
            body, reply, fault = self._streamed(redactor, self._stream) if self._stream is not None else self._plain(redactor)
        except Exception as error:  # noqa: BLE001 - no reply may end more than its attempt
            body, reply, fault = redactor.bytes(self._head())[:SAMPLE_BYTES], None, unexpected("reading the reply", error)
        if fault is not None:
            fault = replace(fault, message=redactor.text(fault.message))
        if reply is not None and reply.error is not None:
            reply = replace(reply, error=replace(reply.error, message=redactor.text(reply.error.message)))
        # Only headers of errors are shown to people; redacting those of each answer would cost too much.
        headers = self.headers if self._is_success else {name: redactor.text(value) for name, value in self.headers.items()}
        first_token_at = self._stream.first_token_at if self._stream is not None else None
        return Exchange(self.status, headers, body, reply, fault, sent_at, first_token_at, done_at)

    @property
    def _is_success(self) -> bool:
        return self.status is not None and 200 <= self.status < 300

    def _is_labelled_stream(self) -> bool:
        content_type = self.headers.get("content-type", "").partition(";")[0].strip().lower()
        return content_type == "text/event-stream" or (self._wants_stream and content_type in {"", "text/plain"})

    async def _read_body(self, response: Response, deadlines: Deadlines, idle_s: float) -> None:
        success = self._is_success
        decoder = ContentDecoder(self.headers, self._cap if success else min(self._cap, LARGEST_ERROR_BODY), cuts=not success)
        labelled = self._is_success and self._api is not None and self._is_labelled_stream()
        undecided: bytes | None = b"" if self._is_success and self._api is not None else None
        if not labelled:
            deadlines.move("timeout_idle", idle_s)
        while (piece := await response.read()) is not None:
            data = decoder.feed(piece)
            if undecided is not None:
                undecided += data
                streamed = is_stream(undecided, labelled=labelled)
                if streamed is None:
                    # Until the first token the first-byte deadline holds for a stream: servers send the head at once and then queue.
                    if not labelled:
                        deadlines.move("timeout_idle", idle_s)
                    continue
                data, undecided = undecided, None
                self._begin(streamed=streamed)
            if self._stream is None:
                self._pieces.append(data)
                self._size += len(data)
                deadlines.move("timeout_idle", idle_s)
                if decoder.is_full:
                    break
            elif self._feed(self._stream, data, deadlines, idle_s):
                await _drain(response)
                return
            if not self._budget.has_room(self, self._size):
                await self._wait_for_room(deadlines, idle_s)
        self._end((undecided or b"") + decoder.end(), streamed=undecided is not None and labelled)

    def _begin(self, *, streamed: bool) -> None:
        if streamed and self._api is not None:
            self._stream = StreamReader(self._api, self._on_chunk, self._now)

    def _feed(self, stream: StreamReader, data: bytes, deadlines: Deadlines, idle_s: float) -> bool:
        """Read a piece of the stream; True when it has said all it had to say."""
        if stream.feed(data):
            if stream.first_token_at is None:
                deadlines.extend("timeout_idle", idle_s)
            else:
                deadlines.move("timeout_idle", idle_s)
        self._size = stream.size
        return stream.done or stream.error is not None

    def _end(self, rest: bytes, *, streamed: bool) -> None:
        """The body has ended; `rest` was too short to show what it is, or came with the end."""
        if self._stream is None:
            self._begin(streamed=streamed)
        if self._stream is None:
            self._pieces.append(rest)
            return
        if rest:
            self._stream.feed(rest)
        self._stream.end()

    async def _wait_for_room(self, deadlines: Deadlines, idle_s: float) -> None:
        # The server does not fall silent: we do not listen. Only the deadline of the whole attempt runs.
        deadlines.move("timeout_idle", math.inf)
        while not self._budget.has_room(self, self._size):
            await self._budget.wait()
        deadlines.move("timeout_idle", idle_s)

    def _head(self) -> bytes:
        return self._stream.sample if self._stream is not None else b"".join(self._pieces[:8])[: 2 * SAMPLE_BYTES]

    def _plain(self, redactor: Redactor) -> tuple[bytes, Reply | None, Fault | None]:
        body = redactor.bytes(self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces))
        fault = self.fault
        if self.status is None or (fault is not None and self._is_success):
            return body[:SAMPLE_BYTES], None, fault
        if self._api is None:
            return (body, reply, fault) if (reply := _error_of(body)) is not None else (body[:SAMPLE_BYTES], None, fault)
        try:
            body, reply = self._read(self._api, body, redactor)
        except ReplyFormatError as error:
            if self._is_success:
                return body[:SAMPLE_BYTES], None, self._pending(body) or _format_fault(error, body)
            found = error_in_events(body) or error_in_cut(body)
            return body[:SAMPLE_BYTES], None if found is None else Reply(error=found), fault
        return body, reply, fault

    def _read(self, api: Api, body: bytes, redactor: Redactor) -> tuple[bytes, Reply]:
        """The reply, and its body as JSON that every parser reads. Raises ReplyFormatError."""
        try:
            return body, read_reply(api, body)
        except ReplyFormatError as error:
            repaired = repair(body, self._charset()) if error.code == "not_json" else unwrapped(body)
            if repaired is None:
                raise
        repaired = redactor.bytes(repaired)
        return repaired, read_reply(api, repaired)

    def _charset(self) -> str | None:
        # The standard library's parser of MIME headers: charset may be quoted, and stand among other parameters.
        message = Message()
        message["content-type"] = self.headers.get("content-type", "")
        return message.get_content_charset()

    def _pending(self, body: bytes) -> Fault | None:
        """The fault of a reply that accepts the request and gives no answer yet."""
        try:
            state = pending_state(orjson.loads(body))
        except orjson.JSONDecodeError:
            state = None
        state = state or self.headers.get("nvcf-status")  # NVIDIA's hosted NIM
        if self.status != ACCEPTED and state is None:
            return None
        status = f"HTTP {self.status}" + (f", status {state[:80]!r}" if state else "")
        message = (
            f"the endpoint accepted the request and queued it ({status}): its answer would have to be fetched later, which is not done"
        )
        return Fault(ErrorKind.PROTOCOL, "queued", message)

    def _streamed(self, redactor: Redactor, stream: StreamReader) -> tuple[bytes, Reply | None, Fault | None]:
        head = redactor.bytes(stream.sample)[:SAMPLE_BYTES]
        if stream.error is not None:
            return head, Reply(error=stream.error), None
        if not stream.complete:
            fault = self.fault or stream.incomplete()
            return head, None, replace(fault, code="truncated_stream") if fault.code == "truncated_body" else fault
        try:
            body = redactor.bytes(stream.body())
            return body, read_reply(self._api or "chat/completions", body), None
        except ReplyFormatError as error:
            return head, None, replace(_format_fault(error, head), answered=True)


def unexpected(step: str, error: BaseException) -> Fault:
    """Return the fault of an attempt for an exception that was not expected while `step` was done."""
    message = f"{type(error).__name__} while {step}: this is a bug in promptmill"
    return Fault(ErrorKind.PROTOCOL, "unexpected", message, answered=True, bug=describe_bug(error))


def _error_of(body: bytes) -> Reply | None:
    """What a reply without an answer reports; None when it is not JSON."""
    try:
        return Reply(error=read_error(orjson.loads(body)))
    except orjson.JSONDecodeError:
        return None


def _format_fault(error: ReplyFormatError, body: bytes) -> Fault:
    seen = sample(body)
    # Such a reply is an answer that was paid for; a page of HTML, or nothing, is a gateway's.
    answered = _ANSWER.search(body) is not None
    return Fault(ErrorKind.PROTOCOL, error.code, f"{error}: {seen}" if seen else str(error), answered=answered)


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
