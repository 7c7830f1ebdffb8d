"""Makes requests of Anthropic's Messages API: a chat is made as for all others, and translated."""

from __future__ import annotations

from typing import Any

from batch.errors import RowError
from batch.prompts.encoding import encoded, identity
from batch.prompts.messages import Maker, messages_maker, tools_maker
from batch.prompts.templates import row_place
from batch.providers.messages_requests import message_request
from batch.records import Request, Row
from batch.settings import Variant


class MessagesRequests:
    """Makes the requests of one variant. `parameters` are those of the chat, renamed. Raises ValueError as `messages_maker`."""

    def __init__(self, variant: Variant, parameters: dict[str, Any], stream: bool) -> None:
        prompt = variant.prompt
        self._fixed = {"model": variant.model, **{name: parameters[name] for name in sorted(parameters)}}
        self._content: Maker = messages_maker(prompt)
        self._tools: Maker | None = tools_maker(prompt.tools) if prompt.tools else None
        self._stream_suffix = b',"stream":true' if stream else b""
        self._key = identity(variant, "messages")

    def build(self, row: Row) -> Request:
        """The request for `row`. Raises RowError: missing_column, bad_template or bad_messages."""
        chat = {**self._fixed, "messages": self._content(row)}
        if self._tools is not None and (tools := self._tools(row)) is not None:
            chat["tools"] = tools
        try:
            body = encoded(row, message_request(chat))
        except ValueError as error:
            raise RowError("bad_messages", f"{row_place(row)}: {error}") from error
        key = self._key.copy()
        key.update(body[:-1])
        return Request("messages", body[:-1] + self._stream_suffix + b"}", key.digest())
