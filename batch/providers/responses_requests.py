"""Translates a chat request into one of OpenAI's Responses API.

Sources: OpenAI's API reference of POST /v1/responses (instructions, input items, text.format, reasoning, max_output_tokens, function tools
without the inner table), and its guide on migrating to the Responses API.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

# Parameters of chats without a counterpart, or that are translated.
_DROPPED = frozenset(
    {
        *("messages", "frequency_penalty", "presence_penalty", "logit_bias", "logprobs", "seed", "stop", "n", "modalities", "audio"),
        *("prediction", "web_search_options", "response_format", "verbosity", "reasoning_effort", "max_tokens", "max_completion_tokens"),
        *("tools", "tool_choice", "stream_options"),
    }
)
_TEXT_KINDS = {"user": "input_text", "system": "input_text", "developer": "input_text", "assistant": "output_text"}


def response_request(chat: Mapping[str, Any]) -> dict[str, Any]:
    """Return the body for /v1/responses of a chat's body; parts and items in the API's own form stay as they are.

    Raises ValueError for messages that have no counterpart, with a text for people.
    """
    instructions, items = _divided(chat.get("messages") or ())
    body: dict[str, Any] = {"model": chat.get("model")}
    if instructions is not None:
        body["instructions"] = instructions
    body["input"] = items
    for name in ("max_output_tokens", "max_completion_tokens", "max_tokens"):
        if chat.get(name) is not None:
            body["max_output_tokens"] = chat[name]
            break
    body |= _options(chat)
    rest = {name: value for name, value in chat.items() if name not in _DROPPED and name not in body}
    return body | rest


def _options(chat: Mapping[str, Any]) -> dict[str, Any]:
    body: dict[str, Any] = {}
    if (effort := chat.get("reasoning_effort")) is not None:
        body["reasoning"] = {"effort": effort, **(chat.get("reasoning") or {})}
    text = dict(chat.get("text") or {})
    if (verbosity := chat.get("verbosity")) is not None:
        text["verbosity"] = verbosity
    if isinstance(wanted := chat.get("response_format"), Mapping):
        inner = wanted.get("json_schema")
        text["format"] = {"type": wanted.get("type"), **(inner if isinstance(inner, Mapping) else {})}
    if text:
        body["text"] = text
    if chat.get("tools"):
        body["tools"] = [_flat(tool) for tool in chat["tools"]]
    if (choice := chat.get("tool_choice")) is not None:
        body["tool_choice"] = _flat(choice)
    return body


def _flat(tool: Any) -> Any:
    """A function tool, or the choice of one, without the table within."""
    if isinstance(tool, Mapping) and isinstance(function := tool.get("function"), Mapping):
        return {"type": "function", **function}
    return tool


def _divided(messages: Iterable[Any]) -> tuple[str | None, list[dict[str, Any]]]:
    """Return the system message that a chat begins with, where it is plain text, and the other messages as items."""
    instructions: str | None = None
    items: list[dict[str, Any]] = []
    for number, message in enumerate(messages):
        if not isinstance(message, Mapping):
            raise ValueError("a message is not an object")  # noqa: TRY004 - it is a value of the user's
        role, content = message.get("role"), message.get("content")
        if number == 0 and role in ("system", "developer") and isinstance(content, str):
            instructions = content
        elif role == "tool":
            items.append({"type": "function_call_output", "call_id": message.get("tool_call_id"), "output": _plain(content)})
        elif role in _TEXT_KINDS:
            if content or not message.get("tool_calls"):
                items.append({"role": role, "content": _content(str(role), content)})
            items += [_call(call) for call in message.get("tool_calls") or ()]
        elif role is None and "type" in message:
            items.append(dict(message))
        else:
            raise ValueError(f"the role {role!r} has no counterpart in the Responses API")
    return instructions, items


def _call(call: Any) -> dict[str, Any]:
    if not isinstance(call, Mapping) or not isinstance(function := call.get("function"), Mapping):
        raise ValueError("a call of a tool has no function")  # noqa: TRY004
    return {"type": "function_call", "call_id": call.get("id"), "name": function.get("name"), "arguments": function.get("arguments")}


def _plain(content: Any) -> Any:
    if not isinstance(content, list):
        return content if content is not None else ""
    return "\n".join(str(part.get("text", "")) if isinstance(part, Mapping) else str(part) for part in content)


def _content(role: str, content: Any) -> Any:
    if not isinstance(content, list):
        return content if content is not None else ""
    return [_part(role, part) for part in content]


def _part(role: str, part: Any) -> Any:
    """Return one part in the API's form: `input_text`, `input_image`, `input_file`."""
    if isinstance(part, str):
        return {"type": _TEXT_KINDS[role], "text": part}
    if not isinstance(part, Mapping):
        raise ValueError("a part of a message is not an object")  # noqa: TRY004
    kind = part.get("type")
    if kind == "text":
        return {**part, "type": _TEXT_KINDS[role]}
    if kind == "image_url":
        image = part.get("image_url")
        picture = {"image_url": image.get("url"), **_without_url(image)} if isinstance(image, Mapping) else {"image_url": image}
        return {"type": "input_image", **picture}
    if kind == "file" and isinstance(file := part.get("file"), Mapping):
        return {"type": "input_file", **file}
    return dict(part)


def _without_url(image: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in image.items() if name != "url"}
