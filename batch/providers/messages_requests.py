"""Translates a chat request of the OpenAI protocol into one of Anthropic's Messages API.

Sources: Anthropic's API reference of POST /v1/messages (system apart, max_tokens needed, content blocks, tools with input_schema, tool_use
and tool_result blocks, stop_sequences, output_config) and its page on what its OpenAI-compatible layer maps.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import orjson

DEFAULT_MAX_TOKENS = 4096
"""Sent where the job names no limit: the API demands one."""

# Parameters of chats without a counterpart, which this API refuses.
_DROPPED = frozenset(
    {
        *("frequency_penalty", "presence_penalty", "logit_bias", "logprobs", "top_logprobs", "seed", "n", "verbosity", "modalities"),
        *("audio", "prediction", "store", "prompt_cache_key", "prompt_cache_retention", "web_search_options", "reasoning_effort"),
        # These are translated.
        *("stop", "user", "safety_identifier", "parallel_tool_calls", "response_format", "max_completion_tokens", "stream_options"),
    }
)
_CHOICES: Mapping[str, str] = {"auto": "auto", "required": "any", "none": "none"}


def message_request(chat: Mapping[str, Any]) -> dict[str, Any]:
    """Return the body for /v1/messages of a chat's body; what is in the API's own form already (blocks, thinking, cache_control) stays.

    Raises ValueError for messages that have no counterpart, with a text for people.
    """
    system, messages = _divided(chat.get("messages") or ())
    body: dict[str, Any] = {"model": chat.get("model")}
    limit = chat.get("max_tokens") or chat.get("max_completion_tokens") or DEFAULT_MAX_TOKENS
    body["max_tokens"] = limit
    if system:
        body["system"] = system
    body["messages"] = messages
    body |= _options(chat)
    rest = {name: value for name, value in chat.items() if name not in body and name not in _DROPPED}
    return body | {name: value for name, value in rest.items() if name not in ("messages", "tools", "tool_choice")}


def _options(chat: Mapping[str, Any]) -> dict[str, Any]:
    body: dict[str, Any] = {}
    if chat.get("tools"):
        body["tools"] = [_tool(tool) for tool in chat["tools"]]
    choice = _tool_choice(chat.get("tool_choice"), chat.get("parallel_tool_calls"))
    if choice is not None:
        body["tool_choice"] = choice
    if (stop := chat.get("stop")) is not None:
        body["stop_sequences"] = [stop] if isinstance(stop, str) else list(stop)
    user = chat.get("safety_identifier") or chat.get("user")
    metadata = chat.get("metadata")
    if user is not None or metadata is not None:
        body["metadata"] = {**(metadata or {}), **({} if user is None else {"user_id": user})}
    wanted = chat.get("response_format")
    if isinstance(wanted, Mapping) and wanted.get("type") == "json_schema":
        schema = (wanted.get("json_schema") or {}).get("schema", {})
        body["output_config"] = {**(chat.get("output_config") or {}), "format": {"type": "json_schema", "schema": schema}}
    return body


def _divided(messages: Iterable[Any]) -> tuple[Any, list[dict[str, Any]]]:
    """Return the system prompt, a text or a list of blocks, and the other messages in turns of user and assistant."""
    system: list[dict[str, Any]] = []
    turns: list[dict[str, Any]] = []
    for message in messages:
        if not isinstance(message, Mapping):
            raise ValueError("a message is not an object")  # noqa: TRY004 - it is a value of the user's
        role = message.get("role")
        if role in ("system", "developer"):
            system += _blocks(message.get("content"))
            continue
        if role not in ("user", "assistant", "tool", "function"):
            raise ValueError(f"the role {role!r} has no counterpart in the Messages API")
        turn = "assistant" if role == "assistant" else "user"
        content = _turn_content(role, message)
        # Results of several calls belong into one turn.
        if turns and turns[-1]["role"] == turn:
            turns[-1]["content"] = [*_blocks(turns[-1]["content"]), *_blocks(content)]
        else:
            turns.append({"role": turn, "content": content})
    texts = [block.get("text") for block in system]
    is_plain = all(set(block) == {"type", "text"} for block in system)
    return ("\n\n".join(map(str, texts)) if is_plain else system), turns


def _turn_content(role: str, message: Mapping[str, Any]) -> Any:
    content = message.get("content")
    if role in ("tool", "function"):
        result = {"type": "tool_result", "tool_use_id": message.get("tool_call_id") or message.get("name"), "content": _plain(content)}
        return [result]
    calls = [_tool_use(call) for call in message.get("tool_calls") or ()]
    if not calls:
        return _plain(content)
    return [*(_blocks(content) if content else []), *calls]


def _plain(content: Any) -> Any:
    return content if isinstance(content, str) else _blocks(content)


def _blocks(content: Any) -> list[dict[str, Any]]:
    if content is None:
        return []
    if isinstance(content, str):
        return [{"type": "text", "text": content}] if content else []
    if not isinstance(content, list):
        raise ValueError("a message's content is neither a text nor a list")  # noqa: TRY004
    return [_block({"type": "text", "text": part} if isinstance(part, str) else part) for part in content]


def _block(part: Any) -> dict[str, Any]:
    """Return one part as a block; cache_control and citations beside it stay."""
    if not isinstance(part, Mapping):
        raise ValueError("a part of a message is not an object")  # noqa: TRY004
    kind = part.get("type")
    beside = {name: part[name] for name in ("cache_control", "citations") if name in part}
    if kind == "image_url":
        image = part.get("image_url")
        return {"type": "image", "source": _source(image.get("url") if isinstance(image, Mapping) else image), **beside}
    if kind == "file" and isinstance(file := part.get("file"), Mapping):
        named = {"title": file["filename"]} if file.get("filename") else {}
        if file.get("file_id"):
            return {"type": "document", "source": {"type": "file", "file_id": file["file_id"]}, **named, **beside}
        return {"type": "document", "source": _source(file.get("file_data")), **named, **beside}
    if kind == "input_audio":
        raise ValueError("the Messages API takes no audio")
    return dict(part)


def _source(url: Any) -> dict[str, Any]:
    text = str(url)
    if not text.startswith("data:"):
        return {"type": "url", "url": text}
    head, _, data = text.removeprefix("data:").partition(",")
    return {"type": "base64", "media_type": head.partition(";")[0], "data": data}


def _tool(tool: Any) -> Any:
    function = tool.get("function") if isinstance(tool, Mapping) else None
    if not isinstance(function, Mapping):
        # A tool in the API's own form, its server tools for example.
        return tool
    made = {"name": function.get("name"), "input_schema": function.get("parameters") or {"type": "object", "properties": {}}}
    named = {name: function[name] for name in ("description", "strict") if function.get(name) is not None}
    beside = {name: tool[name] for name in ("cache_control",) if name in tool}
    return made | named | beside


def _tool_choice(choice: Any, parallel: Any) -> dict[str, Any] | None:
    made: dict[str, Any] | None = None
    if isinstance(choice, str):
        made = {"type": _CHOICES.get(choice, choice)}
    elif isinstance(choice, Mapping):
        function = choice.get("function")
        made = {"type": "tool", "name": function.get("name")} if isinstance(function, Mapping) else dict(choice)
    if parallel is False and (made is None or made["type"] != "none"):
        made = {**(made or {"type": "auto"}), "disable_parallel_tool_use": True}
    return made


def _tool_use(call: Any) -> dict[str, Any]:
    function = call.get("function") if isinstance(call, Mapping) else None
    if not isinstance(function, Mapping):
        raise ValueError("a call of a tool names no function")  # noqa: TRY004
    arguments = function.get("arguments")
    try:
        given = orjson.loads(arguments) if isinstance(arguments, str) and arguments.strip() else arguments or {}
    except orjson.JSONDecodeError:
        raise ValueError("the arguments of a tool's call are not JSON") from None
    return {"type": "tool_use", "id": call.get("id"), "name": function.get("name"), "input": given}
