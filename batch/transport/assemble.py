"""Stream chunks, put together into the body that the plain reply would have had. No I/O.

Sources: the OpenAI API reference ("chat.completion.chunk") and its Python SDK's accumulation; vLLM and DeepSeek (reasoning_content),
OpenRouter (reasoning); servers that leave out `index` in tool-call deltas, or give the same one to each call (Gemini).
"""

from __future__ import annotations

from typing import Any

import orjson

from batch.providers.replies import ReplyFormatError, content_text
from batch.records import Api, Chunk

_CARRIED = ("id", "created", "model", "system_fingerprint", "service_tier")
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
        """Takes in one parsed chunk and gives what it adds to the first choice. Raises ReplyFormatError for what is no chunk."""
        for name in _CARRIED:
            if chunk.get(name) is not None:
                self._top[name] = chunk[name]
        usage = chunk.get("usage")
        if isinstance(usage, dict):
            self._usage = usage
        else:
            usage = None
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
            added = self._choices[index].add(choice, usage)
            if index == 0:
                first = added
        return first if first is not None else Chunk(usage=usage)

    def body(self) -> bytes:
        """The body of the plain reply, as JSON. Raises ReplyFormatError when tool calls came so that they cannot be told apart."""
        document = {
            **self._top,
            "object": self._object,
            "choices": [choice.document(chat=self._object == "chat.completion") for _, choice in sorted(self._choices.items())],
        }
        if self._usage is not None:
            document["usage"] = self._usage
        return orjson.dumps(document)


class _Choice:
    def __init__(self, index: int) -> None:
        self._index = index
        self._message: dict[str, Any] = {}
        self._logprobs: dict[str, Any] = {}
        self._tools = _ToolCalls()
        self.finish_reason: str | None = None

    def add(self, choice: dict[str, Any], usage: dict[str, Any] | None) -> Chunk:
        reason = choice.get("finish_reason")
        reason = reason if isinstance(reason, str) and reason else None
        self.finish_reason = reason or self.finish_reason
        if isinstance(choice.get("logprobs"), dict):
            _merge(self._logprobs, choice["logprobs"])
        delta = choice.get("delta")
        if delta is None:
            # Completions have `text`; some servers end a stream with a whole `message` and no delta.
            delta = {"text": choice["text"]} if "text" in choice else choice.get("message") or {}
        if not isinstance(delta, dict):
            raise ReplyFormatError("no_choices", "a chunk's delta is not an object")
        return self._delta(delta, reason, usage)

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
        return Chunk(text or "", reasoning if isinstance(reasoning, str) else "", tuple(calls), reason, usage)

    def document(self, *, chat: bool) -> dict[str, Any]:
        rest = {"finish_reason": self.finish_reason} | ({"logprobs": _joined(self._logprobs)} if self._logprobs else {})
        message = _joined(self._message)
        if not chat:
            text = message.pop("text", "") or message.pop("content", "")
            return {"index": self._index, "text": text, **rest}
        if "text" in message:
            message.setdefault("content", message.pop("text"))
        calls = self._tools.calls(cut_short=self.finish_reason == "length")
        if calls:
            message["tool_calls"] = calls
            message["content"] = message.get("content") or None
        return {"index": self._index, "message": {"role": "assistant", "content": None} | message, **rest}


class _ToolCalls:
    """Tool calls from their deltas, which join by `index`, or by `id` where there is none."""

    def __init__(self) -> None:
        self._calls: list[_Call] = []

    def add(self, delta: dict[str, Any]) -> None:
        index, id_ = delta.get("index"), delta.get("id")
        function = delta.get("function") if isinstance(delta.get("function"), dict) else {}
        name = function.get("name") if function else None
        call = self._by_index(index, id_, name) if isinstance(index, int) else self._by_id(id_, name)
        if call is None:
            call = _Call(index if isinstance(index, int) else None)
            self._calls.append(call)
        call.add(delta, function or {})

    def _by_index(self, index: int, id_: Any, name: Any) -> _Call | None:
        for call in reversed(self._calls):
            if call.index == index:
                # Another id together with a name begins another call, although the index is the same.
                begins = id_ and name and call.id and id_ != call.id
                return None if begins else call
        return None

    def _by_id(self, id_: Any, name: Any) -> _Call | None:
        if id_:
            return next((call for call in self._calls if call.id == id_), None)
        last = self._calls[-1] if self._calls else None
        return None if last is None or (name and last.name) else last

    def calls(self, *, cut_short: bool) -> list[dict[str, Any]]:
        ordered = sorted(self._calls, key=lambda call: -1 if call.index is None else call.index)
        documents = [call.document() for call in ordered]
        if not cut_short and any(call.index is None for call in ordered):
            for document in documents:
                _check_arguments(document["function"]["arguments"])
        return documents


class _Call:
    def __init__(self, index: int | None) -> None:
        self.index = index
        self.id: str | None = None
        self.name = ""
        self._arguments: list[str] = []
        self._more: dict[str, Any] = {"type": "function"}

    def add(self, delta: dict[str, Any], function: dict[str, Any]) -> None:
        self.id = self.id or delta.get("id")
        name = function.get("name")
        if isinstance(name, str) and name != self.name:
            self.name += name
        arguments = function.get("arguments")
        if isinstance(arguments, str):
            self._arguments.append(arguments)
        elif arguments is not None:
            self._arguments.append(orjson.dumps(arguments).decode())
        self._more |= {key: value for key, value in delta.items() if key not in {"index", "id", "function"} and value is not None}

    def document(self) -> dict[str, Any]:
        return {"id": self.id, **self._more, "function": {"name": self.name, "arguments": "".join(self._arguments)}}


def _check_arguments(arguments: str) -> None:
    try:
        orjson.loads(arguments or "{}")
    except orjson.JSONDecodeError:
        raise ReplyFormatError("no_choices", "the tool-call deltas have no index and cannot be told apart") from None


def _merge(target: dict[str, Any], delta: dict[str, Any]) -> None:
    """Joins a delta to what came before: texts are collected in lists of pieces (`_Pieces`), lists are extended, objects merged."""
    for key, value in delta.items():
        if value is None or key == "tool_calls":
            continue
        known = target.get(key)
        if isinstance(value, str) and key not in _WHOLE:
            if isinstance(known, _Pieces):
                known.append(value)
            else:
                target[key] = _Pieces([value])
        elif isinstance(value, list) and isinstance(known, list):
            known.extend(value)
        elif isinstance(value, dict):
            if not isinstance(known, dict):
                known = target[key] = {}
            _merge(known, value)
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
