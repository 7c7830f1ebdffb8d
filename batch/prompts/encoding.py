"""Bodies as bytes, and what beside them decides an answer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal
from hashlib import blake2b
from typing import Any

import orjson

from batch.errors import InputError, RowError
from batch.prompts.parts import Part
from batch.prompts.templates import row_place
from batch.records import Api, Row
from batch.settings import Variant


def identity(variant: Variant, api: Api) -> blake2b:
    """Start the hash of a request with all that decides an answer beside the body.

    Not the base URL: a server may move, and the embedded one always does.
    """
    embedded = variant.provider.embedded
    files = (embedded.model_path, embedded.chat_template) if embedded else (None, None)
    begun = blake2b("\0".join((variant.provider.name, api, *(file or "" for file in files))).encode(), digest_size=16)
    if variant.prompt.schema is not None:
        # Also where the endpoint does not get the schema: answers are checked against it.
        begun.update(b"\0" + encoded_setting(variant, variant.prompt.schema))
    if variant.prompt.function is not None:
        begun.update(b"\0function\0" + variant.prompt.function.encode())
    return begun


def stream_members(variant: Variant, wanted: Any, api: Api) -> bytes:
    """The members of a body that ask for a streamed answer; `wanted` are stream_options of the user's own."""
    # The Responses API has its usage in the last event, and knows no such option.
    options = {"include_usage": True} if variant.provider.stream_usage and api != "responses" else {}
    options |= wanted if isinstance(wanted, Mapping) else {}
    return b',"stream":true' + (member("stream_options", encoded_setting(variant, options)) if options else b"")


def member(name: str, value: bytes) -> bytes:
    """A further member of an object."""
    return b"," + orjson.dumps(name) + b":" + value


def encoded_setting(variant: Variant, value: Any) -> bytes:
    """A parameter as JSON. Raises InputError."""
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    except (ValueError, TypeError) as error:
        raise InputError(f"{variant.name}: a parameter cannot be sent as JSON: {error}") from error


def encoded(row: Row, value: Any, *, as_key: bool = False) -> bytes:
    """`value` as JSON. What orjson refuses (integers beyond 64 bits, deep nesting) the standard library may still write.

    `as_key`: files are written as their hashes. Raises RowError.
    """
    default = _key_of_part if as_key else _as_json
    try:
        return orjson.dumps(value, default=default)
    except orjson.JSONEncodeError:
        try:
            return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=default).encode()
        except (ValueError, TypeError, RecursionError) as error:
            raise RowError("bad_messages", f"{row_place(row)}: the prompt cannot be sent as JSON: {error}") from error


def _as_json(value: Any) -> Any:
    return value.body if isinstance(value, Part) else _as_text(value)


def _key_of_part(value: Any) -> Any:
    return value.key if isinstance(value, Part) else _as_text(value)


def _as_text(value: Any) -> str:
    if isinstance(value, Decimal) or hasattr(value, "isoformat"):
        return str(value)
    raise TypeError(f"a value of type {type(value).__name__}")
