"""How long to wait: what a server says in its headers, and backoff when it says nothing usable.

Sources: RFC 9110 section 10.2.3 (Retry-After: seconds or an HTTP date); the OpenAI SDKs (retry-after-ms comes first);
OpenAI's and Groq's x-ratelimit-reset-* ("12ms", "1m30s", plain seconds, -1 for unknown).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime

MAX_WAIT_S = 120.0
"""A longer wait is not slept on: the endpoint is parked, and the run says so."""

BACKOFF_BASE_S = 0.5
BACKOFF_CAP_S = 60.0

_NUMBER = re.compile(r"\+?\d+(?:\.\d*)?(?:[eE][+-]?\d+)?", re.ASCII)
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|us|µs|ns|d|h|m|s)", re.ASCII)
_UNIT_S = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def server_wait(headers: Mapping[str, str], now_wall: float) -> float | None:
    """The wait in seconds that the server asks for, uncapped, or None when it asks for none that makes sense.

    `headers` have lower-case names; `now_wall` is in seconds since the epoch. A date that has passed gives 0.
    """
    milliseconds = _number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1000
    text = headers.get("retry-after")
    seconds = _number(text)
    if seconds is None and text is not None:
        return _until(text, now_wall)
    return seconds


def parse_duration(text: str) -> float | None:
    """The seconds in "12ms", "1m30s" or "7"; None for -1 (unknown) and for junk. A plain number is given as it is, also an epoch's."""
    text = text.strip()
    plain = _number(text)
    if plain is not None:
        return plain
    parts = _PART.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        return None
    return sum(float(number) * _UNIT_S[unit] for number, unit in parts)


def backoff(attempt: int, random: float) -> float:
    """The wait in seconds after the `attempt`-th attempt (from 1): exponential with full jitter; `random` is from [0, 1)."""
    return random * min(BACKOFF_CAP_S, BACKOFF_BASE_S * 2.0 ** min(attempt - 1, 32))


def _number(text: str | None) -> float | None:
    if text is None or not _NUMBER.fullmatch(text.strip()):
        return None
    value = float(text)
    return value if math.isfinite(value) else None


def _until(date: str, now_wall: float) -> float | None:
    try:
        moment = parsedate_to_datetime(date.strip())
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return max(0.0, moment.timestamp() - now_wall)
    except (ValueError, OverflowError):
        return None
