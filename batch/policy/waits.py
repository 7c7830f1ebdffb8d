"""Computes waits: from a server's headers or body, or backoff if they state nothing usable.

Sources: RFC 9110 section 10.2.3 (Retry-After: seconds or an HTTP date); the OpenAI SDKs (retry-after-ms comes first);
OpenAI's and Groq's x-ratelimit-reset-* ("12ms", "1m30s", plain seconds, -1 for unknown); google.rpc.RetryInfo
(https://github.com/googleapis/googleapis/blob/master/google/rpc/error_details.proto); OpenRouter's metadata.headers; Anthropic's
anthropic-ratelimit-* (https://docs.anthropic.com/en/api/rate-limits); RateLimit-* of draft-ietf-httpapi-ratelimit-headers; azure-core's
retry policy (x-ms-retry-after-ms); retry_after and its like in bodies: Cloudflare's JSON errors (1015), Discord, gateways of their form.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

MAX_WAIT_S = 120.0
"""A longer wait is not slept on: the endpoint is parked, and the run says so."""

BACKOFF_BASE_S = 0.5
BACKOFF_CAP_S = 15.0
"""As long as the longest interval between probes: where no wait was named, an endpoint that is back is found in that time."""

CAPACITY_CAP_S = 60.0
"""The same where a cheaper tier has no capacity, which may last for hours."""

_NUMBER = re.compile(r"\+?\d+(?:\.\d*)?(?:[eE][+-]?\d+)?", re.ASCII)
# The patterns below are searched in error bodies, which may be whole web pages.
LONGEST_ERROR = 16_384
_RETRY_INFO = re.compile(r'"retryDelay"\s*:\s*"(\d{1,9}(?:\.\d{1,9})?)s"')
_MEMBER = re.compile(
    r'"retry[_-]?after(?:[_-]?(?:(ms|millis|milliseconds)|s|secs?|seconds))?"\s*:\s*"?(\d{1,9}(?:\.\d{1,9})?)(?![\d.e])', re.IGNORECASE
)
_SAID_UNIT = r"ms|milliseconds?|seconds?|secs?|s|minutes?|mins?|m|hours?|h|days?|d"
_SAID_PART = re.compile(rf"(\d{{1,9}}(?:\.\d{{1,9}})?)\s*({_SAID_UNIT})(?![a-z])")
_SAID = re.compile(
    r"(?:retry|try again|wait|resets?)(?: again)?(?: (?:in|after|for|about|approximately|at least|another))*[ :]"
    rf"\s*((?:\d{{1,9}}(?:\.\d{{1,9}})?\s*(?:{_SAID_UNIT})(?![a-z])\s*)+)",
    re.IGNORECASE,
)
_SAID_WHOLE = re.compile(rf"(?:\d{{1,9}}(?:\.\d{{1,9}})?\s*(?:{_SAID_UNIT})\s*)+", re.IGNORECASE)
# ISO 8601: PT1H30M5S.
_DURATION = re.compile(r"PT(?=\d)(?:(\d{1,6})H)?(?:(\d{1,6})M)?(?:(\d{1,9}(?:\.\d{1,6})?)S)?", re.ASCII)
# A proxy joins two headers of a name by a comma; what follows a semicolon are parameters. Dates have commas of their own.
_BETWEEN = re.compile(r"\s*[,;]\s*(?![^,;]*\d\d:\d\d)")
# Azure API Management: "Quota will be replenished in 22.14:18:12", which is days, hours, minutes and seconds.
_REPLENISHED = re.compile(r"replenished in (?:(\d{1,4})\.)?(\d{1,2}):(\d\d):(\d\d)")
_MESSAGE = re.compile(r'"message"\s*:\s*"([^"]*)"')
_OWN_WORDS = re.compile(r"[^'\"{\[]*")
_NOTHING_LEFT = re.compile(r'"x-ratelimit-remaining"\s*:\s*"?0"?', re.IGNORECASE)
_RESET = re.compile(r'"x-ratelimit-reset"\s*:\s*"?(\d{10,13})"?', re.IGNORECASE)
_EARLIEST_S = 1e9  # a number below this is seconds from now, above it a moment
_LATEST_MS = 1e14  # a number beyond it is no moment
_LATEST_S = 1e11  # a moment in seconds beyond this is one in milliseconds
# What is left of a quota and when it is back; those of OpenAI's form steer the pace (rate_limiter.py).
_QUOTAS = tuple(
    (f"{name}-remaining", f"{name}-reset")
    for name in (
        "x-ratelimit",
        "x-rate-limit",
        "ratelimit",
        *(f"anthropic-ratelimit-{kind}" for kind in ("requests", "tokens", "input-tokens", "output-tokens")),
    )
)
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|us|µs|ns|d|h|m|s)", re.ASCII)
_UNIT_S = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def server_wait(headers: Mapping[str, str], now_wall: float) -> float | None:
    """Return the wait in seconds that the server asks for, uncapped; None if it asks for none that is plausible.

    `headers` have lower-case names; `now_wall` is in seconds since the epoch. A date that has passed gives 0.
    """
    # As the OpenAI SDKs: it is the finer of the two.
    for name in ("retry-after-ms", "x-ms-retry-after-ms"):
        milliseconds = _number(headers.get(name))
        if milliseconds is not None:
            return milliseconds / 1000
    text = headers.get("retry-after")
    return None if text is None else _retry_after(text, _server_clock(headers, now_wall))


def _retry_after(text: str, clock: float) -> float | None:
    """Return the wait in seconds of a Retry-After, also in forms that no standard has: moments, units, quotes, and several of them."""
    wait = _until_reset(text, clock)
    if wait is not None:
        return wait
    waits = [_loose_wait(part.strip(" \t\"'"), clock) for part in _BETWEEN.split(text)]
    return max((each for each in waits if each is not None), default=None)


def _loose_wait(text: str, clock: float) -> float | None:
    wait = _until_reset(text, clock)
    if wait is None and (duration := _DURATION.fullmatch(text)) is not None:
        return sum(float(amount or 0) * unit for amount, unit in zip(duration.groups(), (3600.0, 60.0, 1.0), strict=True))
    return _said(text) if wait is None and _SAID_WHOLE.fullmatch(text) else wait


def asked_wait(headers: Mapping[str, str], body: bytes, message: str | None, now_wall: float) -> float | None:
    """Return the longest wait in seconds that a refusal asks for, in its headers, its body or its `message`; None when it asks for none."""
    clock = _server_clock(headers, now_wall)
    named = server_wait(headers, now_wall)
    # A reset says when the whole quota is back, Retry-After when the next request fits.
    waits = [_reset_wait(headers, clock) if named is None else named, _body_wait(body, message, clock)]
    return max((wait for wait in waits if wait is not None), default=None)


def _reset_wait(headers: Mapping[str, str], clock: float) -> float | None:
    """Return the seconds until the latest reset of a quota of which nothing is left; None if no header states one."""
    waits = [_until_reset(headers.get(reset, ""), clock) for left, reset in _QUOTAS if _number(headers.get(left)) == 0]
    return max((wait for wait in waits if wait is not None), default=None)


def _until_reset(text: str, clock: float) -> float | None:
    seconds = parse_duration(text)
    if seconds is None:
        moment = _iso_moment(text)
        return _until(text, clock) if moment is None else max(0.0, moment - clock)
    if not _EARLIEST_S <= seconds <= _LATEST_MS:
        return seconds
    return max(0.0, (seconds / 1000 if seconds > _LATEST_S else seconds) - clock)


def _iso_moment(text: str) -> float | None:
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        return None
    return (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).timestamp()


def _body_wait(body: bytes, message: str | None, server_clock: float) -> float | None:
    text = body[:LONGEST_ERROR].decode("utf-8", "replace")
    waits = [float(found[1]) for found in _RETRY_INFO.finditer(text)]
    waits += [float(found[2]) * (0.001 if found[1] else 1.0) for found in _MEMBER.finditer(text)]
    if message is None:
        named = _MESSAGE.search(text)
        message = text if named is None else named[1]
    # What is quoted may be a row: only the server's own words before any quote ask for a wait.
    waits += [_said(found[1]) for found in _SAID.finditer(_own_words(message))]
    waits += [_clock_time(found) for found in _REPLENISHED.finditer(_own_words(message))]
    # The names of headers in OpenRouter's metadata; the reset counts only when nothing is left until then.
    if _NOTHING_LEFT.search(text) and (reset := _RESET.search(text)) is not None:
        moment = float(reset[1])
        waits.append(max(0.0, (moment / 1000 if moment > _LATEST_S else moment) - server_clock))
    return max(waits, default=None)


def _clock_time(found: re.Match[str]) -> float:
    days, hours, minutes, seconds = (float(part or 0) for part in found.groups())
    return 86_400 * days + 3600 * hours + 60 * minutes + seconds


def _said(text: str) -> float:
    """Return the seconds in "37.2s", "6m0s", "2 seconds" or "1 minute"."""
    return sum(
        float(number) * _UNIT_S[unit if unit in _UNIT_S else "ms" if unit.startswith("milli") else unit[0]]
        for number, unit in _SAID_PART.findall(text.lower())
    )


def parse_duration(text: str) -> float | None:
    """Return the seconds in "12ms", "1m30s" or "7"; None for -1 (unknown) and for junk. A plain number stays, also an epoch's."""
    text = text.strip()
    plain = _number(text)
    if plain is not None:
        return plain
    parts = _PART.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        return None
    return sum(float(number) * _UNIT_S[unit] for number, unit in parts)


def backoff(attempt: int, random: float, cap_s: float = BACKOFF_CAP_S) -> float:
    """Return the wait in seconds after the `attempt`-th attempt (from 1): exponential with full jitter; `random` is from [0, 1)."""
    return random * min(cap_s, BACKOFF_BASE_S * 2.0 ** min(attempt - 1, 32))


def _number(text: str | None) -> float | None:
    if text is None or not _NUMBER.fullmatch(text.strip()):
        return None
    value = float(text)
    return value if math.isfinite(value) else None


def _server_clock(headers: Mapping[str, str], now_wall: float) -> float:
    """Return the time of the server's own clock, by the reply's Date header: dates in the reply refer to that clock."""
    moment = _moment(headers.get("date", ""))
    return now_wall if moment is None else moment


def _until(date: str, clock: float) -> float | None:
    moment = _moment(date)
    return None if moment is None else max(0.0, moment - clock)


def _moment(date: str) -> float | None:
    try:
        moment = parsedate_to_datetime(date.strip())
        if moment.tzinfo is None:
            # A date that ends with -0000 has no zone for the parser; HTTP's are all GMT.
            moment = moment.replace(tzinfo=UTC)
        return moment.timestamp()
    except (ValueError, OverflowError):
        return None


def _own_words(message: str) -> str:
    found = _OWN_WORDS.match(message)
    return found[0] if found is not None else ""
