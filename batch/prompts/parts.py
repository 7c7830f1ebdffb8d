"""The parts of a message beside its text: pictures, sounds and files, in the form that each API has for them. Pure.

Chat: `image_url {url, detail}`, `input_audio {data, format}`, `file {filename, file_data}`
(https://platform.openai.com/docs/api-reference/chat/create). Responses: `input_image`, `input_audio`, `input_file`
(https://platform.openai.com/docs/api-reference/responses/create). Messages: `image` and `document` with a `source`
(https://docs.anthropic.com/en/api/messages).
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, Literal

from batch.prompts.kinds import Family, FileKind, kind_in_words

PartApi = Literal["chat/completions", "responses", "messages"]
"""The APIs whose messages have parts."""

Purpose = Literal["images", "audio", "files"]
"""The keys of [prompt] that name columns of files: pictures only, sounds only, or what comes."""

_PICTURES = frozenset({"png", "jpeg", "gif", "webp"})
_SOUNDS = frozenset({"wav", "mp3", "flac", "ogg", "m4a", "aiff", "aac"})
_FAMILIES: dict[Purpose, frozenset[Family]] = {
    "images": frozenset({"image"}),
    "audio": frozenset({"audio"}),
    "files": frozenset({"image", "audio", "document"}),
}
_TAKEN: dict[PartApi, frozenset[str]] = {
    "chat/completions": _PICTURES | _SOUNDS | {"pdf"},
    "responses": _PICTURES | _SOUNDS | {"pdf", "txt"},
    "messages": _PICTURES | {"pdf", "txt"},
}
_WORDS = {"image": "pictures", "audio": "sounds", "document": "files"}


class UnsupportedFileError(ValueError):
    """A file that the API does not take, in words."""


@dataclass(frozen=True, slots=True)
class FileData:
    """A file as it is sent: its bytes, their kind, its name without folders where it has one.

    `digest` is the hash of what it was before it was shrunk to `max_pixels`: a request's key does not depend on a library's version.
    """

    raw: bytes = field(repr=False)
    kind: FileKind
    name: str | None = None
    digest: str | None = None
    max_pixels: int | None = None


@dataclass(frozen=True, slots=True)
class FileUrl:
    """An http(s) URL that the provider fetches."""

    url: str


class Part:
    """One part of a message: `body` is its JSON as it is sent, `key` what stands for it in the request's key.

    No dataclass: orjson would write one by itself.
    """

    __slots__ = ("body", "family", "key", "size")

    def __init__(self, body: dict[str, Any], key: Any, family: Family, size: int) -> None:
        self.body = body
        self.key = key
        self.family: Family = family
        self.size = size


def part_of(api: PartApi, purpose: Purpose, file: FileData | FileUrl, *, detail: str | None, sounds: Sequence[str] = ()) -> Part:
    """The part for a file. `detail` goes with pictures, `sounds` are the formats that the provider takes, empty for all that are known.

    Raises:
        UnsupportedFileError: the API does not take it.
    """
    if isinstance(file, FileUrl):
        body = _linked(api, purpose, file.url, detail)
        return Part(body, body, "image" if purpose == "images" else "document", 0)
    kind = file.kind
    if kind.family not in _FAMILIES[purpose]:
        wanted = _WORDS["image" if purpose == "images" else "audio"]
        raise UnsupportedFileError(f"is {kind_in_words(file.raw)}, where {purpose} takes {wanted}")
    taken = _TAKEN[api] - (_SOUNDS - set(sounds) if sounds else frozenset())
    if kind.name not in taken:
        raise UnsupportedFileError(f"is {kind_in_words(file.raw)}, which {_refusal(kind, taken)}")
    body = _MAKERS[kind.family](api, file, detail)
    key: dict[str, Any] = {"file": file.digest or digest_of(file.raw), "type": kind.mime}
    if kind.family == "image":
        key |= {name: value for name, value in (("detail", detail), ("max_pixels", file.max_pixels)) if value is not None}
    elif file.name is not None and kind.family == "document":
        key["name"] = file.name
    return Part(body, key, kind.family, encoded_size(file.raw))


def text_part(api: PartApi, text: str) -> dict[str, Any]:
    """The part for a text of the user."""
    return {"type": "input_text" if api == "responses" else "text", "text": text}


def digest_of(raw: bytes) -> str:
    """The hash that stands for a file in a request's key: blake2b of 16 bytes, in hexadecimal."""
    return blake2b(raw, digest_size=16).hexdigest()


def data_url(raw: bytes, mime: str) -> str:
    """Bytes as a data: URL (RFC 2397)."""
    return f"data:{mime};base64,{_base64(raw)}"


def encoded_size(raw: bytes) -> int:
    """The bytes that a file takes in base64."""
    return (len(raw) + 2) // 3 * 4


def _refusal(kind: FileKind, taken: frozenset[str]) -> str:
    names = ", ".join(sorted(name.upper() for name in taken))
    hint = "; its text can be put in by {{ column | file_text }}" if kind.name == "txt" else ""
    convert = "; with max_pixels it is sent as PNG" if kind.name in {"bmp", "tiff"} else ""
    return f"the API does not take (it takes {names}){hint}{convert}"


def _linked(api: PartApi, purpose: Purpose, url: str, detail: str | None) -> dict[str, Any]:
    if purpose == "images":
        if api == "messages":
            return {"type": "image", "source": {"type": "url", "url": url}}
        with_detail = {} if detail is None else {"detail": detail}
        if api == "responses":
            return {"type": "input_image", "image_url": url, **with_detail}
        return {"type": "image_url", "image_url": {"url": url, **with_detail}}
    if purpose == "files" and api == "responses":
        return {"type": "input_file", "file_url": url}
    if purpose == "files" and api == "messages":
        return {"type": "document", "source": {"type": "url", "url": url}}
    raise UnsupportedFileError(f"is a URL, which the {api} API takes for pictures only; give the file itself")


def _picture(api: PartApi, file: FileData, detail: str | None) -> dict[str, Any]:
    if api == "messages":
        return {"type": "image", "source": {"type": "base64", "media_type": file.kind.mime, "data": _base64(file.raw)}}
    return _linked(api, "images", data_url(file.raw, file.kind.mime), detail)


def _sound(_: PartApi, file: FileData, __: str | None) -> dict[str, Any]:
    return {"type": "input_audio", "input_audio": {"data": _base64(file.raw), "format": file.kind.name}}


def _document(api: PartApi, file: FileData, _: str | None) -> dict[str, Any]:
    name = file.name or f"file.{file.kind.name}"
    if api == "messages":
        if file.kind.name == "txt":
            return {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": file.raw.decode()}, "title": name}
        return {"type": "document", "source": {"type": "base64", "media_type": file.kind.mime, "data": _base64(file.raw)}, "title": name}
    content = {"filename": name, "file_data": data_url(file.raw, file.kind.mime)}
    return {"type": "input_file", **content} if api == "responses" else {"type": "file", "file": content}


_MAKERS = {"image": _picture, "audio": _sound, "document": _document}


def _base64(raw: bytes) -> str:
    return b64encode(raw).decode("ascii")
