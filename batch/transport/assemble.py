"""Assembles the chunks of a stream into the body that the plain reply would have had. No I/O.

Sources: the OpenAI API reference ("chat.completion.chunk") and its Python SDK's accumulation; vLLM and DeepSeek (reasoning_content),
OpenRouter (reasoning, provider, native_finish_reason), Azure (filter results), Perplexity (citations).
"""

from __future__ import annotations

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

    def add(self, chunk: dict[str, Any]) -> Chunk:
        """Read one parsed chunk and return what it adds to the first choice. Raises ReplyFormatError for what is no chunk."""
        for name, value in chunk.items():
            # Azure's first and last chunks have empty ids and models.
            if name not in _OWN and value is not None and (value or name not in self._top):
                self._top[name] = value
        usage = chunk.get("usage")
        usage = usage if isinstance(usage, dict) else None
        self._usage = usage or self._usage
        first: Chunk | None = None
        choices = chunk.get("choices")
        if choices and not isinstance(choices, list):
            raise ReplyFormatError("no_choices", "a chunk's choices are not a list")
        for choice in choices or ():
            if not isinstance(choice, dict):
                raise ReplyFormatError("no_choices", "a chunk's choice is not an object")
            index = choice.get("index")
            index = index if isinstance(index, int) else 0
            if index not in self._choices:
                self._choices[index] = _Choice(index)
            added = self._choices[index].add(choice, read_usage(usage))
            if index == 0:
                first = added
        return first if first is not None else Chunk(usage=read_usage(usage))

    def body(self) -> bytes:
        """Return the body of the plain reply, as JSON. Raises ReplyFormatError when the deltas of tool calls cannot be distinguished."""
        document = {
            **self._top,
            "object": self._object,
            "choices": [choice.document(chat=self._object == "chat.completion") for _, choice in sorted(self._choices.items())],
        }
        if self._usage is not None:
            document["usage"] = self._usage
        return dump(document)


class _Choice:
    def __init__(self, index: int) -> None:
        self._index = index
        self._message: dict[str, Any] = {}
        self._logprobs: dict[str, Any] = {}
        self._more: dict[str, Any] = {}
        self._tools = ToolCalls()
        self.finish_reason: str | None = None

    def add(self, choice: dict[str, Any], usage: dict[str, Any] | None) -> Chunk:
        reason = choice.get("finish_reason")
        reason = reason if isinstance(reason, str) and reason else None
        self.finish_reason = reason or self.finish_reason
        if isinstance(choice.get("logprobs"), dict):
            _merge(self._logprobs, choice["logprobs"])
        self._keep({name: value for name, value in choice.items() if name not in _OWN_OF_CHOICE and value is not None})
        delta = choice.get("delta")
        if delta is None:
            # Completions have `text`; some servers end a stream with a whole `message` and no delta.
            delta = {"text": choice["text"]} if "text" in choice else choice.get("message") or {}
        if not isinstance(delta, dict):
            raise ReplyFormatError("no_choices", "a chunk's delta is not an object")
        return self._delta(delta, reason, usage)

    def _keep(self, members: dict[str, Any]) -> None:
        """Members beside the delta: lists (token_ids) and objects (filter results) grow, of others the last counts."""
        for name, value in members.items():
            before = self._more.get(name)
            if isinstance(value, list) and isinstance(before, list):
                before.extend(value)
            elif isinstance(value, dict) and isinstance(before, dict):
                self._more[name] = {**before, **value}
            else:
                self._more[name] = list(value) if isinstance(value, list) else value

    def _delta(self, delta: dict[str, Any], reason: str | None, usage: dict[str, Any] | None) -> Chunk:
        text = delta.get("content") or delta.get("text") or ""
        thinking = None
        if not isinstance(text, str):
            text, thinking = content_text(text)
            delta = {**delta, "content": text} | ({"reasoning_content": thinking} if thinking else {})
        reasoning = thinking or delta.get("reasoning_content") or delta.get("reasoning") or ""
        calls = delta.get("tool_calls")
        calls = [call for call in calls if isinstance(call, dict)] if isinstance(calls, list) else []
        for call in calls:
            self._tools.add(call)
        _merge(self._message, delta)
        reason = None if reason is None else finish_reason_of(reason)
        return Chunk(text or "", reasoning if isinstance(reasoning, str) else "", tuple(calls), reason, usage)

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
