"""Rows into request bodies of the OpenAI protocol, with the key that stands for all that decides the answer.

Bodies: `{"model", "messages" | "prompt" | "input", …}`, https://platform.openai.com/docs/api-reference
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal
from hashlib import blake2b
from typing import Any

import orjson

from batch.errors import InputError, RowError
from batch.prompts.messages import Maker, messages_maker, tools_maker
from batch.prompts.schemas import response_format
from batch.prompts.templates import Template, row_place
from batch.records import Api, Request, Row
from batch.settings import Variant

_CONTENT_KEY: dict[Api, str] = {"chat/completions": "messages", "completions": "prompt", "embeddings": "input"}


class RequestBuilder:
    """Makes the requests of one variant; what is the same for all rows is encoded once.

    `stream` asks for a streamed answer (never for embeddings). It is no part of the key, nor is a `stream` or
    `stream_options` among the parameters, where only the options are used, and only when streaming.

    Raises:
        ValueError: a template cannot be compiled, or the prompt lacks the text for its API.
        InputError: a parameter is not JSON, or is one that promptmill makes itself.
    """

    def __init__(self, variant: Variant, stream: bool) -> None:
        prompt = variant.prompt
        self._api = prompt.api
        content_key = _CONTENT_KEY[prompt.api]
        parameters = _renamed(variant, content_key)
        parameters.pop("stream", None)
        stream_options = parameters.pop("stream_options", None)
        self._default_tools = parameters.pop("tools", None) if prompt.tools else None
        self._tools: Maker | None = tools_maker(prompt.tools) if prompt.tools else None
        self._content = messages_maker(prompt) if prompt.api == "chat/completions" else _text_maker(prompt.text)
        self._prefix = b'{"model":' + _encoded_setting(variant, variant.model) + f',"{content_key}":'.encode()
        self._suffix = b"".join(_member(name, _encoded_setting(variant, value)) for name, value in sorted(parameters.items()))
        self._stream_suffix = b""
        if stream and prompt.api != "embeddings":
            self._stream_suffix = b',"stream":true' + _stream_options(variant, stream_options)
        self._key = blake2b(_identity(variant), digest_size=16)

    def build(self, row: Row) -> Request:
        """The request for `row`.

        Raises:
            RowError: missing_column, bad_template or bad_messages.
        """
        body = self._prefix + _encoded(row, self._content(row))
        if self._tools is not None:
            tools = self._tools(row) or self._default_tools
            if tools is not None:
                body += _member("tools", _encoded(row, tools))
        body += self._suffix
        key = self._key.copy()
        key.update(body)
        return Request(self._api, body + self._stream_suffix + b"}", key.digest())


def _renamed(variant: Variant, content_key: str) -> dict[str, Any]:
    renames = variant.provider.renames
    parameters = {renames.get(name, name): value for name, value in variant.parameters.items()}
    if variant.prompt.schema is not None:
        parameters["response_format"] = response_format(variant.prompt, variant.provider.json_schema)
    made = next((name for name in ("model", content_key) if name in parameters), None)
    if made:
        raise InputError(f"{variant.name}: the parameter {made!r} is made by promptmill; set it by id or [prompt]")
    return parameters


def _identity(variant: Variant) -> bytes:
    """All that decides an answer beside the body. Not the base URL: a server may move, and the embedded one always does."""
    embedded = variant.provider.embedded
    files = (embedded.model_path, embedded.chat_template) if embedded else (None, None)
    identity = "\0".join((variant.provider.name, variant.prompt.api, *(file or "" for file in files))).encode()
    if variant.prompt.schema is not None:
        # Also where the endpoint is not told of it: answers are held to it.
        identity += b"\0" + _encoded_setting(variant, variant.prompt.schema)
    return identity


def _text_maker(text: str | None) -> Maker:
    if text is None:
        raise ValueError("completions and embeddings need text")
    return Template(text).render


def _stream_options(variant: Variant, wanted: Any) -> bytes:
    options = {"include_usage": True} if variant.provider.stream_usage else {}
    options |= wanted if isinstance(wanted, Mapping) else {}
    return _member("stream_options", _encoded_setting(variant, options)) if options else b""


def _member(name: str, value: bytes) -> bytes:
    return b"," + orjson.dumps(name) + b":" + value


def _encoded_setting(variant: Variant, value: Any) -> bytes:
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    except (ValueError, TypeError) as error:
        raise InputError(f"{variant.name}: a parameter cannot be sent as JSON: {error}") from error


def _encoded(row: Row, value: Any) -> bytes:
    """`value` as JSON. What orjson refuses (integers beyond 64 bits, deep nesting) the standard library may still write."""
    try:
        return orjson.dumps(value, default=_as_text)
    except orjson.JSONEncodeError:
        try:
            return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_as_text).encode()
        except (ValueError, TypeError, RecursionError) as error:
            raise RowError("bad_messages", f"{row_place(row)}: the prompt cannot be sent as JSON: {error}") from error


def _as_text(value: Any) -> str:
    if isinstance(value, Decimal) or hasattr(value, "isoformat"):
        return str(value)
    raise TypeError(f"a value of type {type(value).__name__}")
