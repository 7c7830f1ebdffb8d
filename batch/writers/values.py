"""Convert values that a row may carry over, from any input format, to JSON and to text."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

import orjson

_SURROGATES = re.compile("[\ud800-\udfff]")
_OPTIONS = orjson.OPT_NON_STR_KEYS


def json_bytes(value: Any) -> bytes:
    """Encode `value` as one line of valid JSON.

    Decimals and integers of any size are written digit for digit, dates and times as ISO 8601, bytes as base64, NaN and infinities as null,
    and lone surrogates are escaped, as they were in the input.
    """
    try:
        return orjson.dumps(value, default=_default, option=_OPTIONS)
    except TypeError:
        return _by_parts(value)


def parsed_json(text: bytes) -> Any:
    """Parse JSON to write it again with `json_bytes`; what Python's json cannot hold, deep nesting and long integers, stays as it is."""
    try:
        return json.loads(text)
    except (RecursionError, ValueError):
        return orjson.Fragment(text)


def clean(text: str) -> str:
    """Replace lone surrogates, which UTF-8 cannot encode, with U+FFFD."""
    return _SURROGATES.sub("\ufffd", text)


def _default(value: Any) -> Any:
    if isinstance(value, Decimal):
        # A fragment is put in as it is: digit for digit, where a float would round.
        return orjson.Fragment(str(value)) if value.is_finite() else None
    if isinstance(value, bytes):
        # JSON has no bytes.
        return base64.b64encode(value).decode()
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, set | frozenset):
        return list(value)
    if isinstance(value, datetime):
        # A subclass, as those with nanoseconds are, in the form of all others.
        return value.isoformat()
    return str(value)


def _by_parts(value: Any) -> bytes:
    """Encode values with parts that orjson refuses: integers beyond 64 bits, lone surrogates, nesting beyond 254 levels."""
    texts: list[bytes] = []
    # What is still to be written, the next one last: no call within a call, since values may be nested deeper than Python calls.
    rest: list[tuple[bool, Any]] = [(False, value)]
    while rest:
        is_text, part = rest.pop()
        if is_text:
            texts.append(part)
            continue
        try:
            texts.append(orjson.dumps(part, default=_default, option=_OPTIONS))
        except TypeError:
            rest.extend(reversed(_divided(part)))
    return b"".join(texts)


def _divided(value: Any) -> list[tuple[bool, Any]]:
    """Return the pieces of a value in order, those that are JSON text as (True, text)."""
    if is_dataclass(value) and not isinstance(value, type):
        value = {field.name: getattr(value, field.name) for field in fields(value)}
    if isinstance(value, Mapping):
        pieces = [piece for key, item in value.items() for piece in ((True, b"," + json.dumps(str(key)).encode() + b":"), (False, item))]
        opening, closing = b"{", b"}"
    elif isinstance(value, list | tuple):
        pieces = [piece for item in value for piece in ((True, b","), (False, item))]
        opening, closing = b"[", b"]"
    else:
        return [(True, json.dumps(value if isinstance(value, int | str) else str(value)).encode())]
    if pieces:
        pieces[0] = (True, pieces[0][1][1:])
    return [(True, opening), *pieces, (True, closing)]
