"""Assembles the events of a streamed message (Anthropic) into the body of the plain reply. No I/O.

Source: Anthropic's page on streaming messages: message_start, content_block_start, content_block_delta (text_delta, input_json_delta,
thinking_delta, signature_delta, citations_delta), content_block_stop, message_delta, message_stop, ping, error.
"""

from __future__ import annotations

from typing import Any

import orjson

from batch.providers.endings import finish_reason_of
from batch.providers.envelopes import dump
from batch.providers.messages_replies import chat_usage
from batch.providers.replies import ReplyFormatError
from batch.records import Chunk

_TEXTS = {"text_delta": "text", "thinking_delta": "thinking", "signature_delta": "signature"}


class MessageAssembler:
    """Add events as they come; `body()` is the message they amount to. Has the face of Assembler but for patterns."""

    def __init__(self) -> None:
        self._message: dict[str, Any] | None = None
        self._blocks: dict[int, dict[str, Any]] = {}
        self._pieces: dict[tuple[int, str], list[str]] = {}
        self._reason: str | None = None

    @property
    def finished(self) -> bool:
        """Whether the message has its stop_reason."""
        return self._reason is not None

    @property
    def started(self) -> bool:
        """Whether the message has begun."""
        return self._message is not None

    def is_part(self, event: dict[str, Any]) -> bool:
        """Whether an event is one of a message."""
        kind = event.get("type")
        return isinstance(kind, str) and kind.startswith(("message", "content_block"))

    def add(self, event: dict[str, Any], *, wants_chunk: bool = True) -> Chunk | None:
        """Read one event; returns what it adds, if that is wanted. Raises ReplyFormatError for what is no event of a message."""
        kind, index = event.get("type"), event.get("index")
        chunk: Chunk | None = None
        if kind == "message_start":
            self._start(event.get("message"))
        elif kind == "message":
            # A server that does not stream gives the whole message as one event.
            self._start(event)
            self._blocks = dict(enumerate(event.get("content") or ()))
            self._end(event)
        elif kind == "content_block_start" and isinstance(index, int) and isinstance(event.get("content_block"), dict):
            self._blocks[index] = dict(event["content_block"])
        elif kind == "content_block_delta" and isinstance(event.get("delta"), dict):
            if index not in self._blocks:
                raise ReplyFormatError("no_choices", "a delta belongs to no block of the message")
            chunk = self._delta(index, event["delta"])
        elif kind == "message_delta":
            self._end(event.get("delta") or {}, event.get("usage"))
            chunk = Chunk(finish_reason=self._reason and finish_reason_of(self._reason), usage=self._usage())
        return chunk if wants_chunk else None

    def body(self) -> bytes:
        """Return the body of the plain reply, as JSON. Raises ReplyFormatError."""
        content = [self._block(index) for index in sorted(self._blocks)]
        return dump({**(self._message or {}), "content": content, "stop_reason": self._reason})

    def _start(self, message: Any) -> None:
        if not isinstance(message, dict):
            raise ReplyFormatError("no_choices", "the stream begins with no message")
        self._message = dict(message)

    def _end(self, delta: dict[str, Any], usage: Any = None) -> None:
        reason = delta.get("stop_reason")
        if isinstance(reason, str):
            self._reason = reason
        if self._message is not None:
            if "stop_sequence" in delta:
                self._message["stop_sequence"] = delta["stop_sequence"]
            if isinstance(usage, dict):
                # Its counts are those of the whole message so far.
                known = {name: value for name, value in usage.items() if value is not None}
                self._message["usage"] = {**(self._message.get("usage") or {}), **known}

    def _usage(self) -> dict[str, Any] | None:
        return None if self._message is None else chat_usage(self._message.get("usage"))

    def _delta(self, index: int, delta: dict[str, Any]) -> Chunk:
        kind = delta.get("type")
        if kind == "input_json_delta":
            self._pieces.setdefault((index, "input"), []).append(str(delta.get("partial_json") or ""))
            function = {"name": self._blocks[index].get("name"), "arguments": delta.get("partial_json") or ""}
            return Chunk(tool_calls=({"index": index, "id": self._blocks[index].get("id"), "type": "function", "function": function},))
        if kind == "citations_delta":
            self._blocks[index].setdefault("citations", []).append(delta.get("citation"))
            return Chunk()
        name = _TEXTS.get(str(kind))
        text = delta.get(name) if name is not None else None
        if name is None or not isinstance(text, str):
            return Chunk()
        self._pieces.setdefault((index, name), []).append(text)
        return Chunk(text=text if name == "text" else "", reasoning=text if name == "thinking" else "")

    def _block(self, index: int) -> dict[str, Any]:
        block = dict(self._blocks[index])
        for name in ("text", "thinking", "signature"):
            if (index, name) in self._pieces:
                block[name] = str(block.get(name) or "") + "".join(self._pieces[index, name])
        if (pieces := self._pieces.get((index, "input"))) is not None:
            try:
                block["input"] = orjson.loads("".join(pieces) or "{}")
            except orjson.JSONDecodeError:
                # Cut off by the limit of tokens: what came is kept as it is.
                block["input"] = {"partial_json": "".join(pieces)}
        return block
