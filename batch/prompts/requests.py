"""Rows into request bodies of the OpenAI protocol, with the key that stands for all that decides the answer.

Bodies: `{"model", "messages" | "prompt" | "input", …}`, https://platform.openai.com/docs/api-reference
"""

from __future__ import annotations

from typing import Any

from batch.errors import InputError
from batch.prompts.encoding import encoded, encoded_setting, identity, member, stream_members
from batch.prompts.messages import Maker, messages_maker, tools_maker
from batch.prompts.messages_api import MessagesRequests
from batch.prompts.schemas import response_format
from batch.prompts.stored import StoredRequests
from batch.prompts.templates import Template
from batch.records import STREAMED, Api, Request, Row
from batch.settings import Variant

_CONTENT_KEY: dict[Api, str] = {"chat/completions": "messages", "completions": "prompt", "embeddings": "input", "messages": "messages"}


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
        # Those that are not made of a few encoded pieces.
        self._stored: StoredRequests | MessagesRequests | None = StoredRequests(variant, stream) if prompt.stored else None
        if self._stored is not None:
            return
        self._api = prompt.api
        content_key = _CONTENT_KEY[prompt.api]
        parameters = _renamed(variant, content_key)
        parameters.pop("stream", None)
        stream_options = parameters.pop("stream_options", None)
        if prompt.api == "messages":
            self._stored = MessagesRequests(variant, parameters, stream)
            return
        self._default_tools = parameters.pop("tools", None) if prompt.tools else None
        self._tools: Maker | None = tools_maker(prompt.tools) if prompt.tools else None
        self._content = messages_maker(prompt) if prompt.api == "chat/completions" else _text_maker(prompt.text)
        self._prefix = b'{"model":' + encoded_setting(variant, variant.model) + f',"{content_key}":'.encode()
        self._suffix = b"".join(member(name, encoded_setting(variant, value)) for name, value in sorted(parameters.items()))
        self._stream_suffix = b""
        if stream and prompt.api in STREAMED:
            self._stream_suffix = stream_members(variant, stream_options)
        self._key = identity(variant, prompt.api)

    def build(self, row: Row) -> Request:
        """The request for `row`.

        Raises:
            RowError: missing_column, bad_template or bad_messages; for stored requests bad_row.
        """
        if self._stored is not None:
            return self._stored.build(row)
        body = self._prefix + encoded(row, self._content(row))
        if self._tools is not None:
            tools = self._tools(row) or self._default_tools
            if tools is not None:
                body += member("tools", encoded(row, tools))
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


def _text_maker(text: str | None) -> Maker:
    if text is None:
        raise ValueError("completions and embeddings need text")
    return Template(text).render
