"""Rows into request bodies of the OpenAI protocol, with the key that stands for all that decides the answer.

Bodies: `{"model", "messages" | "prompt" | "input", …}`, https://platform.openai.com/docs/api-reference
"""

from __future__ import annotations

from typing import Any, cast

from batch.errors import InputError
from batch.media import Media
from batch.prompts.columns import reads_files
from batch.prompts.encoding import encoded, encoded_setting, identity, member, stream_members
from batch.prompts.files import FileSource, NoFiles, with_row_files
from batch.prompts.messages import Maker, messages_maker, tools_maker, with_parts
from batch.prompts.messages_api import TRANSLATIONS, MessagesRequests
from batch.prompts.parts import PartApi
from batch.prompts.pictures import check_pillow
from batch.prompts.row_parameters import RowParameters
from batch.prompts.schemas import response_format
from batch.prompts.stored import StoredRequests
from batch.prompts.texts import text_makers
from batch.providers.text_apis import TEXT_APIS
from batch.records import STREAMED, Api, Request, Row
from batch.settings import PromptSettings, Variant

_CONTENT_KEY: dict[Api, str] = {
    "chat/completions": "messages",
    "messages": "messages",
    "responses": "input",
    **{api: members[0].name for api, members in TEXT_APIS.items()},
}


class RequestBuilder:
    """Makes the requests of one variant; what is the same for all rows is encoded once.

    `stream` asks for a streamed answer (never for embeddings). It is no part of the key, nor is a `stream` or
    `stream_options` among the parameters, where only the options are used, and only when streaming.

    `source` reads the files that rows name; without one such rows fail. Requests of several rows may be built in several threads at once.

    Raises:
        ValueError: a template cannot be compiled, or the prompt lacks the text for its API.
        InputError: a parameter is not JSON, or is one that promptmill makes itself.
        SetupError: pictures are to be shrunk, and Pillow is missing.
    """

    def __init__(self, variant: Variant, stream: bool, source: FileSource | None = None) -> None:
        prompt = variant.prompt
        self.reads_files = reads_files(prompt)
        self.texts_per_request = prompt.texts_per_request
        if self.reads_files and prompt.attached.max_pixels is not None:
            check_pillow()
        # What makes the requests that are not made of a few encoded pieces.
        self._whole: StoredRequests | MessagesRequests | None = StoredRequests(variant, stream) if prompt.stored else None
        if self._whole is not None:
            return
        self._api = prompt.api
        content_key = _CONTENT_KEY[prompt.api]
        parameters = _renamed(variant, content_key)
        parameters.pop("stream", None)
        stream_options = parameters.pop("stream_options", None)
        if prompt.api in TRANSLATIONS:
            self._whole = MessagesRequests(variant, parameters, content_key, stream, source or NoFiles())
            return
        self._default_tools = parameters.pop("tools", None) if prompt.tools else None
        self._tools: Maker | None = tools_maker(prompt.tools) if prompt.tools else None
        takes_marks = prompt.api in variant.provider.cache_marks
        self._content, self._more = _makers(prompt, marks=takes_marks)
        self._row_parameters = RowParameters(variant.row_parameters, variant.provider.renames) if variant.row_parameters else None
        self._content_key = f',"{content_key}":'.encode()
        self._prefix = b'{"model":' + encoded_setting(variant, variant.model) + self._content_key
        self._suffix = b"".join(member(name, encoded_setting(variant, value)) for name, value in sorted(parameters.items()))
        self._stream_suffix = b""
        if stream and prompt.api in STREAMED:
            self._stream_suffix = stream_members(variant, stream_options, prompt.api)
        self._key = identity(variant, prompt.api)
        self._attached, self._sounds, self._source = prompt.attached, variant.provider.audio_formats, source or NoFiles()

    def build(self, row: Row) -> Request:
        """The request for `row`.

        Raises:
            RowError: missing_column, bad_template or bad_messages; of files missing_file, refused_path or bad_file; for stored requests
                bad_row.
        """
        if self._whole is not None:
            return self._whole.build(row)
        content, stand_in, media = self._content_with_files(row) if self.reads_files else (encoded(row, self._content(row)), None, None)
        content += b"".join(member(name, encoded(row, make(row))) for name, make in self._more)
        end = self._suffix
        if self._tools is not None:
            tools = self._tools(row) or self._default_tools
            if tools is not None:
                end = member("tools", encoded(row, tools)) + end
        prefix, end = self._beginning(row, end)
        key = self._key.copy()
        for piece in (prefix, content if stand_in is None else stand_in, end):
            key.update(piece)
        return Request(self._api, b"".join((prefix, content, end, self._stream_suffix, b"}")), key.digest(), media)

    def _beginning(self, row: Row, end: bytes) -> tuple[bytes, bytes]:
        """What stands before the content, and `end` with the parameters that the row has itself."""
        if self._row_parameters is None:
            return self._prefix, end
        own = self._row_parameters.values(row)
        model = own.pop("model", None)
        prefix = self._prefix if model is None else b'{"model":' + encoded(row, model) + self._content_key
        return prefix, end + b"".join(member(name, encoded(row, value)) for name, value in own.items())

    def _content_with_files(self, row: Row) -> tuple[bytes, bytes | None, Media | None]:
        """The messages with the row's files; what stands for them in the key, None where that is the same; and what the files are."""
        api = cast("PartApi", self._api)
        content, parts, media = with_row_files(row, self._content, self._attached, self._source, api, self._sounds)
        if not parts:
            return encoded(row, content), None, media
        content = with_parts(row, content, parts, api)
        return encoded(row, content), encoded(row, content, as_key=True), media


def _renamed(variant: Variant, content_key: str) -> dict[str, Any]:
    renames = variant.provider.renames
    parameters = {renames.get(name, name): value for name, value in variant.parameters.items()}
    if variant.prompt.schema is not None:
        parameters["response_format"] = response_format(variant.prompt, variant.provider.json_schema)
    contents = [member.name for member in TEXT_APIS.get(variant.prompt.api, ())] or [content_key]
    made = next((name for name in ("model", *contents) if name in parameters), None)
    if made:
        raise InputError(f"{variant.name}: the parameter {made!r} is made by promptmill; set it by id or [prompt]")
    return parameters


def _makers(prompt: PromptSettings, *, marks: bool) -> tuple[Maker, list[tuple[str, Maker]]]:
    """Return what makes the first member of a request beside its model, and the further ones by name."""
    if prompt.api not in TEXT_APIS:
        return messages_maker(prompt, marks=marks), []
    (_, first), *others = text_makers(prompt)
    return first, others
