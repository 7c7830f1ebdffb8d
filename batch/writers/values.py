"""Convert values that a row may carry over, from any input format, to JSON and to text."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
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
    return str(value)


def _by_parts(value: Any) -> bytes:
    """Encode values with parts that orjson refuses: integers beyond 64 bits and lone surrogates."""
    if isinstance(value, Mapping):
        return b"{" + b",".join(json.dumps(str(key)).encode() + b":" + json_bytes(item) for key, item in value.items()) + b"}"
    if isinstance(value, list | tuple):
        return b"[" + b",".join(map(json_bytes, value)) + b"]"
    if isinstance(value, int | str):
        return json.dumps(value).encode()
    return json.dumps(str(value)).encode()
