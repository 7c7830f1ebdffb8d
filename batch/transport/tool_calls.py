"""Puts the tool calls of a streamed answer together from their deltas.

Deltas join by `index`, or by `id` where there is no index. Servers that give the same index, and no id, to several calls (gateways of
Gemini, Claude and Ollama) are read by what a call is: one name, and one JSON text of arguments.
"""

from __future__ import annotations

import json
from typing import Any

import orjson

from batch.providers.envelopes import ReplyFormatError, dump


class ToolCalls:
    """Add deltas as they come; `calls()` are the calls of the plain reply."""

    def __init__(self) -> None:
        self._calls: list[_Call] = []

    def add(self, delta: dict[str, Any]) -> None:
        """Read one delta of a message's tool_calls."""
        index = delta.get("index")
        index = index if isinstance(index, int) else None
        function = delta.get("function")
        function = function if isinstance(function, dict) else {}
        call = self._find(index, delta.get("id"), function)
        if call is None:
            call = _Call(index)
            self._calls.append(call)
        call.add(delta, function)

    def calls(self, *, cut_short: bool) -> list[dict[str, Any]]:
        """Return the calls by index. Raises ReplyFormatError when deltas cannot be distinguished; not where the answer was cut short."""
        ordered = sorted(self._calls, key=lambda call: -1 if call.index is None else call.index)
        documents = [call.document() for call in ordered]
        if not cut_short:
            several = len(ordered) > 1 and len({call.index for call in ordered}) < len(ordered)
            for call, document in zip(ordered, documents, strict=True):
                _check(document["function"], strictly=several or call.index is None)
        return documents

    def _find(self, index: int | None, id_: Any, function: dict[str, Any]) -> _Call | None:
        """The call that a delta continues; None when it begins another."""
        name = function.get("name")
        if index is None:
            if id_:
                return next((call for call in self._calls if call.id == id_), None)
            last = self._calls[-1] if self._calls else None
            return None if last is None or (name and last.name) or last.is_followed_by(id_, function) else last
        same = next((call for call in reversed(self._calls) if call.index == index), None)
        return None if same is None or same.is_followed_by(id_, function) else same


class _Call:
    def __init__(self, index: int | None) -> None:
        self.index = index
        self.id: str | None = None
        self.name = ""
        self._arguments: list[str] = []
        self._has_arguments = False
        self._more: dict[str, Any] = {"type": "function"}

    def add(self, delta: dict[str, Any], function: dict[str, Any]) -> None:
        id_ = delta.get("id")
        self.id = self.id or (id_ if isinstance(id_, str) and id_ else None)
        name = function.get("name")
        # Some servers repeat the whole name in each delta; others send it in pieces.
        if isinstance(name, str) and name != self.name:
            self.name += name
        arguments = function.get("arguments")
        self._has_arguments |= arguments is not None
        if isinstance(arguments, str):
            self._arguments.append(arguments)
        elif arguments is not None:
            self._arguments.append(dump(arguments).decode())
        self._more |= {key: value for key, value in delta.items() if key not in {"index", "id", "function"} and value is not None}

    def is_followed_by(self, id_: Any, function: dict[str, Any]) -> bool:
        """Whether a delta of the same index begins another call: by a new id with a name, a new name, or arguments after whole ones."""
        name, arguments = function.get("name"), function.get("arguments")
        if name and id_ and self.id:
            return bool(id_ != self.id)
        if name and self.name and name != self.name and self._has_arguments:
            return True
        # A delta may hold the arguments as an object; it is whole by itself.
        begins = isinstance(arguments, dict) or (isinstance(arguments, str) and arguments.lstrip().startswith("{"))
        return begins and _is_whole("".join(self._arguments))

    def document(self) -> dict[str, Any]:
        return {"id": self.id, **self._more, "function": {"name": self.name, "arguments": "".join(self._arguments)}}


def _is_whole(arguments: str) -> bool:
    text = arguments.strip()
    if not (text.startswith("{") and text.endswith("}")):
        return False
    try:
        orjson.loads(text)
    except orjson.JSONDecodeError:
        return False
    return True


def _check(function: dict[str, Any], *, strictly: bool) -> None:
    """Refuse a call that holds parts of others: no name, or more than one JSON text; `strictly`, anything that is not one JSON text.

    Arguments that are no JSON at all can also be the model's own mistake: these are kept, as in a plain reply.
    """
    arguments = function["arguments"].strip()
    if not function["name"] or (strictly and arguments and not _is_json(arguments)) or _has_rest(arguments):
        raise ReplyFormatError("no_choices", "the tool-call deltas have no index or id and cannot be distinguished")


def _is_json(text: str) -> bool:
    try:
        # Not strict: models write raw line breaks into strings.
        json.loads(text, strict=False)
    except (ValueError, RecursionError):
        return False
    return True


def _has_rest(arguments: str) -> bool:
    if not arguments.startswith("{"):
        return False
    try:
        _, end = json.JSONDecoder(strict=False).raw_decode(arguments)
    except (ValueError, RecursionError):
        return False
    return bool(arguments[end:].strip())
