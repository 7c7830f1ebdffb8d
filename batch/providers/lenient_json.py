"""Reads JSON that strict parsers refuse, as the official SDKs do, and writes it again as JSON that every parser takes.

Seen in answers: NaN and -Infinity among logprobs (vLLM, SGLang), lone surrogates, raw control bytes and single bad bytes in texts, numbers
beyond a double, a stream's end attached to a plain reply, UTF-16 and Latin-1 bodies. What JSON cannot hold becomes null or U+FFFD.
"""

from __future__ import annotations

import codecs
import json
import math
import re
from typing import Any

import orjson

_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
_BITS_64 = 20  # digits of the largest integer that orjson keeps whole
_SPACES = " \t\r\n\0"


def parse(data: bytes) -> Any:
    """Parse `data` strictly, or else leniently. Raises ValueError when it is not JSON in any form."""
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        repaired = repair(data)
    if repaired is None:
        raise ValueError("not JSON")
    return orjson.loads(repaired)


def repair(data: bytes, charset: str | None = None) -> bytes | None:
    """Return `data` as JSON that orjson reads; None when it is not JSON in any form. `charset` is what its label says."""
    text = _decode(data, charset).lstrip("\ufeff" + _SPACES)
    try:
        value, end = _DECODER.raw_decode(text)
        rest = text[end:].strip(_SPACES)
        if rest and not rest.startswith("data:"):
            return None
        written = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
        valid = _LONE_SURROGATE.sub("\ufffd", written).encode()
        orjson.loads(valid)
    except (ValueError, RecursionError):
        return None
    return valid


def unwrapped(data: bytes) -> bytes | None:
    """Return the JSON object that `data` holds as the text of a JSON string, as a gateway that writes a reply twice makes it; else None."""
    try:
        text = orjson.loads(data) if data.lstrip().startswith(b'"') else None
        return text.encode() if isinstance(text, str) and isinstance(orjson.loads(text), dict) else None
    except ValueError:
        return None


def _decode(data: bytes, charset: str | None) -> str:
    encoding = json.detect_encoding(data)
    if encoding != "utf-8":
        return data.decode(encoding, "replace")
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data.decode(_codec(charset), "replace")


def _codec(charset: str | None) -> str:
    try:
        name = codecs.lookup(charset or "utf-8").name
        # Codecs such as "hex" decode no text.
        return name if isinstance(b"{}".decode(name), str) else "utf-8"
    except (LookupError, ValueError):
        return "utf-8"


def _integer(digits: str) -> int | float | None:
    return int(digits) if len(digits) < _BITS_64 else _number(digits)


def _number(digits: str) -> float | None:
    value = float(digits)
    return value if math.isfinite(value) else None


_DECODER = json.JSONDecoder(strict=False, parse_int=_integer, parse_float=_number, parse_constant=lambda _: None)
