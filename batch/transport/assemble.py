"""Assembles the chunks of a stream into the body that the plain reply would have had. No I/O.

Sources: the OpenAI API reference ("chat.completion.chunk") and its Python SDK's accumulation; vLLM and DeepSeek (reasoning_content),
OpenRouter (reasoning, provider, native_finish_reason), Azure (filter results), Perplexity (citations).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from batch.providers.endings import finish_reason_of
from batch.providers.envelopes import dump
from batch.providers.replies import ReplyFormatError, content_text
from batch.providers.usage import read_usage
from batch.records import Api, Chunk
from batch.transport.tool_calls import ToolCalls

# Members that are assembled here; all others are kept as they came, as the plain reply would have them.
_OWN = frozenset({"choices", "usage", "object", "error"})
_OWN_OF_CHOICE = frozenset({"index", "delta", "message", "text", "finish_reason", "logprobs"})
_OBJECTS = {"chat/completions": "chat.completion", "completions": "text_completion"}


_Added = tuple[str | None, Any, Sequence[dict[str, Any]], str | None]
"""What a chunk adds to a choice: text, reasoning, deltas of tool calls, finish reason in the endpoint's word."""


class Assembler:
    """Add chunks as they come; `body()` is the reply they amount to."""

    def __init__(self, api: Api) -> None:
        self._object = _OBJECTS.get(api, api)
        self._top: dict[str, Any] = {}
        self._usage: dict[str, Any] | None = None
        self._choices: dict[int, _Choice] = {}

    @property
    def finished(self) -> bool:
        """Whether every choice has its finish_reason."""
        return bool(self._choices) and all(choice.finish_reason for choice in self._choices.values())

    @property
    def started(self) -> bool:
        """Whether any choice came."""
        return bool(self._choices)

    def is_part(self, chunk: dict[str, Any]) -> bool:
        """Whether a document is a chunk of the answer."""
        return "choices" in chunk or bool(chunk.get("usage"))

    def add(self, chunk: dict[str, Any], *, wants_chunk: bool = True) -> Chunk | None:
        """Read one parsed chunk and return what it adds to the first choice, if that is wanted.

        Raises ReplyFormatError for what is no chunk.
        """
        top = self._top
        for name, value in chunk.items():
            # Azure's first and last chunks have empty ids and models.
            if name not in _OWN and value is not None and (value or name not in top):
                top[name] = value
        usage = chunk.get("usage")
        if usage and isinstance(usage, dict):
            self._usage = usage
        first: _Added | None = None
        choices = chunk.get("choices")
        if choices and not isinstance(choices, list):
            raise ReplyFormatError("no_choices", "a chunk's choices are not a list")
        for choice in choices or ():
            if choice is None:
                continue
            if not isinstance(choice, dict):
                raise ReplyFormatError("no_choices", "a chunk's choice is not an object")
            index = choice.get("index")
            index = index if isinstance(index, int) else 0
            if index not in self._choices:
                self._choices[index] = _Choice(index)
            added = self._choices[index].add(choice)
            if index == 0:
                first = added
        # Few are wanted: a run needs to see no more than the first token, and making a Chunk costs as much as reading one.
        return _chunk_of(first, read_usage(usage)) if wants_chunk else None

    def added_text(self, chunk: dict[str, Any]) -> tuple[dict[str, Any], str, list[str]] | None:
        """Return where a chunk that was added has its text, as a delta and a name, and the pieces that it was added to.

        None for a chunk that added more than text: adding it again, with another text, would change more than these pieces.
        """
        choices = chunk.get("choices")
        if chunk.get("usage") or not choices or len(choices) > 1:
            return None
        choice = choices[0]
        delta = choice.get("delta") if isinstance(choice, dict) else None
        if not isinstance(delta, dict) or any(value and name not in {"index", "delta"} for name, value in choice.items()):
            return None
        names = [name for name, value in delta.items() if value and name != "role"]
        if len(names) != 1 or not isinstance(delta[names[0]], str):
            return None
        index = choice.get("index")
        pieces = self._choices[index if isinstance(index, int) else 0].pieces(names[0])
        return None if pieces is None else (delta, names[0], pieces)

    def body(self) -> bytes:
        """Return the body of the plain reply, as JSON. Raises ReplyFormatError when the deltas of tool calls cannot be distinguished."""
        document = {
            **self._top,
            "object": self._object,
            "choices": [choice.document(chat=self._object == "chat.completion") for _, choice in sorted(self._choices.items())],
        }
        usage = self._usage or _usage_of_groq(self._top.get("x_groq"))
        if usage is not None:
            document["usage"] = usage
        return dump(document)


class _Choice:
    def __init__(self, index: int) -> None:
        self._index = index
        self._message: dict[str, Any] = {}
        self._logprobs: dict[str, Any] = {}
        self._more: dict[str, Any] = {}
        self._tools = ToolCalls()
        self.finish_reason: str | None = None

    def add(self, choice: dict[str, Any]) -> _Added:
        reason = choice.get("finish_reason")
        reason = reason if reason and isinstance(reason, str) else None
        if reason is not None:
            self.finish_reason = reason
        logprobs = choice.get("logprobs")
        if logprobs and isinstance(logprobs, dict):
            _merge(self._logprobs, logprobs)
        for name, value in choice.items():
            if name not in _OWN_OF_CHOICE and value is not None:
                self._keep(name, value)
        delta = choice.get("delta")
        if delta is None:
            # Completions have `text`; some servers end a stream with a whole `message` and no delta.
            delta = {"text": choice["text"]} if "text" in choice else choice.get("message") or {}
        if not isinstance(delta, dict):
            raise ReplyFormatError("no_choices", "a chunk's delta is not an object")
        return self._delta(delta, reason)

    def pieces(self, name: str) -> list[str] | None:
        pieces = self._message.get(name)
        return pieces if isinstance(pieces, _Pieces) else None

    def _keep(self, name: str, value: Any) -> None:
        """A member beside the delta: lists (token_ids) and objects (filter results) grow, of others the last counts."""
        before = self._more.get(name)
        if isinstance(value, list) and isinstance(before, list):
            before.extend(value)
        elif isinstance(value, dict) and isinstance(before, dict):
            self._more[name] = {**before, **value}
        else:
            self._more[name] = list(value) if isinstance(value, list) else value

    def _delta(self, delta: dict[str, Any], reason: str | None) -> _Added:
        text = delta.get("content") or delta.get("text") or ""
        thinking = None
        if not isinstance(text, str):
            text, thinking = content_text(text)
            delta = {**delta, "content": text} | ({"reasoning_content": thinking} if thinking else {})
        reasoning = thinking or delta.get("reasoning_content") or delta.get("reasoning") or ""
        calls = delta.get("tool_calls")
        calls = [call for call in calls if isinstance(call, dict)] if calls and isinstance(calls, list) else ()
        for call in calls:
            self._tools.add(call)
        _merge(self._message, delta)
        return text, reasoning, calls, reason

    def document(self, *, chat: bool) -> dict[str, Any]:
        rest = {**self._more, "finish_reason": self.finish_reason} | ({"logprobs": _joined(self._logprobs)} if self._logprobs else {})
        message = _joined(self._message)
        if not chat:
            text = message.pop("text", "") or message.pop("content", "")
            return {"index": self._index, "text": text, **rest}
        if "text" in message:
            message.setdefault("content", message.pop("text"))
        calls = self._tools.calls(cut_short=finish_reason_of(self.finish_reason or "") == "length")
        if calls:
            message["tool_calls"] = calls
            message["content"] = message.get("content") or None
        return {"index": self._index, "message": {"role": "assistant", "content": None} | message, **rest}


def _usage_of_groq(more: Any) -> dict[str, Any] | None:
    """Return the usage that stands only in Groq's own member (https://console.groq.com/docs/api-reference, "x_groq" of a chunk)."""
    usage = more.get("usage") if isinstance(more, dict) else None
    return usage if isinstance(usage, dict) else None


def _chunk_of(added: _Added | None, usage: dict[str, Any] | None) -> Chunk:
    if added is None:
        return Chunk(usage=usage)
    text, reasoning, calls, reason = added
    reason = None if reason is None else finish_reason_of(reason)
    return Chunk(text or "", reasoning if isinstance(reasoning, str) else "", tuple(calls), reason, usage)


def _merge(target: dict[str, Any], delta: dict[str, Any]) -> None:
    """Join a delta to what came before: texts are collected in lists of pieces (`_Pieces`), lists are extended, objects merged."""
    for key, value in delta.items():
        if value is None or key == "tool_calls":
            continue
        before = target.get(key)
        if isinstance(value, str) and key not in _WHOLE:
            if isinstance(before, _Pieces):
                before.append(value)
            elif value or before is None:  # an empty text is no value where a list or an object came
                target[key] = _Pieces([value])
        elif isinstance(value, list) and isinstance(before, list) and not isinstance(before, _Pieces):
            before.extend(value)
        elif isinstance(value, dict):
            if not isinstance(before, dict):
                before = target[key] = {}
            _merge(before, value)
        else:
            target[key] = list(value) if isinstance(value, list) else value


class _Pieces(list[str]):
    """The pieces of a text."""


_WHOLE = frozenset({"role", "id", "type"})
"""Members that are repeated whole, not in pieces."""


def _joined(members: dict[str, Any]) -> dict[str, Any]:
    return {
        key: "".join(value) if isinstance(value, _Pieces) else _joined(value) if isinstance(value, dict) else value
        for key, value in members.items()
    }
