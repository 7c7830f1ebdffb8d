"""Assembles the events of a streamed response (the Responses API) into the body of the plain reply. No I/O.

Source: OpenAI's API reference of streaming events: response.created, response.output_text.delta, response.refusal.delta,
response.reasoning_text.delta, response.reasoning_summary_text.delta, response.function_call_arguments.delta, response.completed,
response.incomplete, response.failed. The last event has the response whole.
"""

from __future__ import annotations

from typing import Any

from batch.providers.endings import finish_reason_of
from batch.providers.envelopes import dump
from batch.providers.other_replies import read_response
from batch.providers.replies import ReplyFormatError
from batch.records import Chunk

_LAST = frozenset({"response.completed", "response.incomplete", "response.failed", "response.cancelled"})
_REASONING = frozenset({"response.reasoning_text.delta", "response.reasoning_summary_text.delta"})


class ResponseAssembler:
    """Add events as they come; `body()` is the response of the last one. Has the face of Assembler but for patterns."""

    def __init__(self) -> None:
        self._response: dict[str, Any] | None = None
        self.started = False
        self.finished = False

    def is_part(self, event: dict[str, Any]) -> bool:
        """Whether an event is one of a response, or is the response itself, from a server that does not stream."""
        kind = event.get("type")
        return (isinstance(kind, str) and kind.startswith("response.")) or event.get("object") == "response"

    def add(self, event: dict[str, Any], *, wants_chunk: bool = True) -> Chunk | None:
        """Read one event; returns what it adds, if that is wanted."""
        kind, delta = event.get("type"), event.get("delta")
        response = event if event.get("object") == "response" else event.get("response")
        if isinstance(response, dict) and (kind in _LAST or response is event):
            self._response = response
            self.started = self.finished = True
            return self._last(response) if wants_chunk else None
        if not isinstance(delta, str) or not delta:
            return None
        self.started = True
        if not wants_chunk:
            return None
        if kind == "response.output_text.delta":
            return Chunk(text=delta)
        if kind in _REASONING:
            return Chunk(reasoning=delta)
        if kind == "response.function_call_arguments.delta":
            return Chunk(tool_calls=({"index": event.get("output_index", 0), "function": {"arguments": delta}},))
        return None

    def body(self) -> bytes:
        """Return the body of the plain reply. Raises ReplyFormatError without one."""
        if self._response is None:
            raise ReplyFormatError("truncated_stream", "the stream ended before the response was whole")
        return dump(self._response)

    def _last(self, response: dict[str, Any]) -> Chunk | None:
        try:
            reply = read_response(response)
        except ReplyFormatError:
            # Reading the body says what is wrong with it.
            return None
        return Chunk(finish_reason=reply.finish_reason and finish_reason_of(reply.finish_reason), usage=reply.usage)
