"""Makes requests of Anthropic's Messages API: a chat is made as for all others, and translated."""

from __future__ import annotations

from typing import Any

from batch.errors import RowError
from batch.prompts.columns import reads_files
from batch.prompts.current_files import files_of
from batch.prompts.encoding import encoded, identity
from batch.prompts.files import FileSource, NoFiles, RowFiles
from batch.prompts.messages import Maker, messages_maker, tools_maker, with_parts
from batch.prompts.templates import row_place
from batch.providers.messages_requests import message_request
from batch.records import Media, Request, Row
from batch.settings import Variant


class MessagesRequests:
    """Makes the requests of one variant. `parameters` are those of the chat, renamed. Raises ValueError as `messages_maker`."""

    def __init__(self, variant: Variant, parameters: dict[str, Any], stream: bool, source: FileSource | None = None) -> None:
        prompt = variant.prompt
        self._reads_files = reads_files(prompt)
        self._attached, self._source = prompt.attached, source or NoFiles()
        self._fixed = {"model": variant.model, **{name: parameters[name] for name in sorted(parameters)}}
        self._content: Maker = messages_maker(prompt)
        self._tools: Maker | None = tools_maker(prompt.tools) if prompt.tools else None
        self._stream_suffix = b',"stream":true' if stream else b""
        self._key = identity(variant, "messages")

    def build(self, row: Row) -> Request:
        """The request for `row`. Raises RowError as `RequestBuilder.build`."""
        if not self._reads_files:
            return self._request(row, self._translated(row, self._content(row)))
        files = RowFiles(row, self._attached, self._source)
        with files_of(files):
            document = self._translated(row, self._content(row))
        parts = files.parts("messages", ())
        return self._request(row, {**document, "messages": with_parts(row, document["messages"], parts, "messages")}, files.media)

    def _translated(self, row: Row, messages: list[Any]) -> dict[str, Any]:
        chat = {**self._fixed, "messages": messages}
        if self._tools is not None and (tools := self._tools(row)) is not None:
            chat["tools"] = tools
        try:
            return message_request(chat)
        except ValueError as error:
            raise RowError("bad_messages", f"{row_place(row)}: {error}") from error

    def _request(self, row: Row, document: dict[str, Any], media: Media | None = None) -> Request:
        body = encoded(row, document)
        key = self._key.copy()
        key.update(body[:-1] if media is None else encoded(row, document, as_key=True)[:-1])
        return Request("messages", body[:-1] + self._stream_suffix + b"}", key.digest(), media)
