"""Makes requests of the Messages and the Responses API: a chat is made as for all others, and translated."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

from batch.errors import RowError
from batch.prompts.encoding import encoded, identity
from batch.prompts.files import FileSource, with_row_files
from batch.prompts.messages import Maker, messages_maker, tools_maker, with_parts
from batch.prompts.parts import PartApi
from batch.prompts.row_parameters import RowParameters
from batch.prompts.templates import row_place
from batch.providers.messages_requests import message_request
from batch.providers.responses_requests import response_request
from batch.records import Api, Request, Row
from batch.settings import Variant

TRANSLATIONS: Mapping[Api, Callable[[Mapping[str, Any]], dict[str, Any]]] = {"messages": message_request, "responses": response_request}
"""What translates a chat's body, by API."""


class MessagesRequests:
    """Makes the requests of one variant. `parameters` are those of the chat, renamed; `content_key` is where the API has the messages.

    Raises ValueError as `messages_maker`.
    """

    def __init__(self, variant: Variant, parameters: dict[str, Any], content_key: str, stream: bool, source: FileSource) -> None:
        prompt = variant.prompt
        self._fixed = {"model": variant.model, **{name: parameters[name] for name in sorted(parameters)}}
        self._content: Maker = messages_maker(prompt, marks=prompt.api in variant.provider.cache_marks)
        self._tools: Maker | None = tools_maker(prompt.tools) if prompt.tools else None
        self._stream_suffix = b',"stream":true' if stream else b""
        self._api = prompt.api
        self._translate, self._content_key = TRANSLATIONS[prompt.api], content_key
        self._key = identity(variant, prompt.api)
        self._row_parameters = RowParameters(variant.row_parameters, variant.provider.renames) if variant.row_parameters else None
        self._attached, self._sounds, self._source = prompt.attached, variant.provider.audio_formats, source

    def build(self, row: Row) -> Request:
        """The request for `row`. Raises RowError: missing_column, bad_template or bad_messages; missing_file, refused_path or bad_file."""
        api = cast("PartApi", self._api)
        content, parts, media = with_row_files(row, self._content, self._attached, self._source, api, self._sounds)
        chat = {**self._fixed, "messages": content}
        if self._row_parameters is not None:
            chat |= self._row_parameters.values(row)
        if self._tools is not None and (tools := self._tools(row)) is not None:
            chat["tools"] = tools
        try:
            request = self._translate(chat)
        except ValueError as error:
            raise RowError("bad_messages", f"{row_place(row)}: {error}") from error
        request[self._content_key] = with_parts(row, request[self._content_key], parts, api)
        body = encoded(row, request)
        key = self._key.copy()
        key.update(encoded(row, request, as_key=True)[:-1] if parts else body[:-1])
        return Request(self._api, body[:-1] + self._stream_suffix + b"}", key.digest(), media)
