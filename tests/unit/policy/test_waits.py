"""How long to wait: headers, durations, backoff."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch.policy.waits import BACKOFF_CAP_S, asked_wait, backoff, parse_duration, server_wait

NOW = 1_700_000_000.0  # Tue, 14 Nov 2023 22:13:20 GMT


@pytest.mark.parametrize(
    ("headers", "wait"),
    [
        ({}, None),
        ({"retry-after": "2"}, 2.0),
        ({"retry-after": " 0.5 "}, 0.5),
        ({"retry-after": "3600"}, 3600.0),
        ({"retry-after": "1e30"}, 1e30),
        ({"retry-after": "9" * 400}, None),
        ({"retry-after": "NaN"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "1_000"}, None),
        ({"retry-after": "٣"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": ""}, None),
        ({"retry-after": "Tue, 14 Nov 2023 22:13:50 GMT"}, 30.0),
        ({"retry-after": "Tue, 14 Nov 2023 22:13:50 -0000"}, 30.0),
        ({"retry-after": "Tue, 14 Nov 2023 22:00:00 GMT"}, 0.0),
        ({"retry-after": "Tue, 99 Nov 2023 22:00:00 GMT"}, None),
        ({"retry-after": "Tue, 14 Nov 99999 22:00:00 GMT"}, None),
        ({"retry-after-ms": "250", "retry-after": "60"}, 0.25),
        ({"retry-after-ms": "junk", "retry-after": "60"}, 60.0),
        ({"x-ms-retry-after-ms": "900", "retry-after": "60"}, 0.9),
    ],
)
def test_server_wait(headers: dict[str, str], wait: float | None) -> None:
    """Fault 2: retry-after-ms comes first, then seconds, then a date; junk, negative and infinite waits are none."""
    assert server_wait(headers, NOW) == wait


@pytest.mark.parametrize(
    ("body", "message", "wait"),
    [
        (b'[{"error":{"details":[{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"37s"}]}}]', "exhausted", 37.0),
        (b"", "You exceeded your current quota. Please retry in 37.279s.", 37.279),
        (b"", "Rate limit reached for gpt-4o on tokens per min (TPM). Please try again in 6m0s. Visit …", 360.0),
        (b"", "Please try again in 20ms.", 0.02),
        (b"", "Please retry after 86400 seconds.", 86_400.0),
        (b"", "Try again in 250 milliseconds", 0.25),
        (b"", "wait for 1 minute", 60.0),
        (b"", "Please wait 20 seconds", 20.0),
        (b"", "Rate limited, try again in approximately 12 seconds", 12.0),
        (b"", "The rate limit resets in 45 sec", 45.0),
        (b"", "retry 5 times", None),
        (b"", "wait in 3 lines", None),
        (b'{"title":"Error 1015","status":429,"retry_after":30}', "limited", 30.0),
        (b'{"error":{"retryAfter":"2.5"}}', "limited", 2.5),
        (b'{"error":{"metadata":{"retryAfterMs":1500}}}', "limited", 1.5),
        (b'{"retry_after_seconds": 7}', "limited", 7.0),
        (b'{"retry_after": 1700000000000}', "limited", None),
        (b'{"retry_after": 1e30}', "limited", None),
        (b'{"retry_after": "soon"}', "limited", None),
        (b'{"error":{"message":"in row: {\\"retry_after\\": 3600}"}}', "in row", None),
        (b'{"statusCode":429,"message":"Rate limit is exceeded. Try again in 2 seconds."}', None, 2.0),
        (b'{"metadata":{"headers":{"X-RateLimit-Remaining":"0","X-RateLimit-Reset":"1700000060000"}}}', "limited", 60.0),
        (b'{"metadata":{"headers":{"X-RateLimit-Remaining":"7","X-RateLimit-Reset":"1700000060000"}}}', "limited", None),
        (b"", "body.content: not a string: 'retry in 9999s'", None),
        (b"", "Out of call volume quota. Quota will be replenished in 22.14:18:12.", 22 * 86_400 + 14 * 3600 + 18 * 60 + 12),
        (b"", "Out of call volume quota. Quota will be replenished in 03:30:56.", 3 * 3600 + 30 * 60 + 56),
        (b"", "Please try again later", None),
        (b"", "", None),
    ],
)
def test_a_wait_in_a_body_is_one(body: bytes, message: str | None, wait: float | None) -> None:
    """Promise 6, fault 67: a wait holds wherever it is named, but not in what a server quotes."""
    assert asked_wait({}, body, message, NOW) == (None if wait is None else pytest.approx(wait))


@pytest.mark.parametrize(
    ("headers", "wait"),
    [
        ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": "12"}, 12.0),
        ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": "1m30s"}, 90.0),
        ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": str(int(NOW) + 40)}, 40.0),
        ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": str((int(NOW) + 40) * 1000)}, 40.0),
        ({"ratelimit-remaining": "0", "ratelimit-reset": "7"}, 7.0),
        ({"anthropic-ratelimit-requests-remaining": "0", "anthropic-ratelimit-requests-reset": "2023-11-14T22:13:50Z"}, 30.0),
        ({"anthropic-ratelimit-input-tokens-remaining": "0", "anthropic-ratelimit-input-tokens-reset": "2023-11-14T22:13:50Z"}, 30.0),
        ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": "Tue, 14 Nov 2023 22:13:50 GMT"}, 30.0),
        ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": "2020-01-01T00:00:00Z"}, 0.0),
        ({"x-ratelimit-remaining": "3", "x-ratelimit-reset": "12"}, None),
        ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": "soon"}, None),
        ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": "-1"}, None),
        ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": "360", "retry-after": "1"}, 1.0),
    ],
)
def test_the_reset_of_a_spent_quota_is_a_wait(headers: dict[str, str], wait: float | None) -> None:
    """Promise 6, fault 67: without a Retry-After a refusal's reset counts, in seconds, as a duration, a date, or a moment of any kind."""
    headers = {"date": "Tue, 14 Nov 2023 22:13:20 GMT", **headers}
    assert asked_wait(headers, b"", None, NOW) == (None if wait is None else pytest.approx(wait))


def test_the_longest_of_several_waits_holds() -> None:
    """Promise 6: a wait is not shortened by another one beside it."""
    assert asked_wait({"retry-after": "2"}, b"", "try again in 37s", NOW) == 37.0
    assert asked_wait({"retry-after": "60"}, b"", "try again in 37s", NOW) == 60.0


@pytest.mark.parametrize("skew", [-3600.0, 0.0, 3600.0])
def test_a_date_is_meant_by_the_servers_own_clock(skew: float) -> None:
    """Promise 6: where this machine's clock is wrong, the reply's Date header says how long it is until a date."""
    headers = {"retry-after": "Tue, 14 Nov 2023 22:13:50 GMT", "date": "Tue, 14 Nov 2023 22:13:30 GMT"}
    assert server_wait(headers, NOW + skew) == 20.0


@given(st.text())
def test_any_header_text_is_survived(text: str) -> None:
    """Fault 2: no text in a header breaks the reading, and every wait is finite and not negative."""
    for wait in (server_wait({"retry-after": text}, NOW), server_wait({"retry-after-ms": text}, NOW), parse_duration(text)):
        assert wait is None or (math.isfinite(wait) and wait >= 0)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("12ms", 0.012),
        ("1m30s", 90.0),
        ("6m0s", 360.0),
        ("1h", 3600.0),
        ("7", 7.0),
        ("0.5s", 0.5),
        ("-1", None),
        ("", None),
        ("1x", None),
        ("s1", None),
    ],
)
def test_parse_duration(text: str, seconds: float | None) -> None:
    """The reset headers' durations are read; -1 means unknown."""
    assert parse_duration(text) == (None if seconds is None else pytest.approx(seconds))


@given(st.integers(1, 10_000), st.floats(0, 1, exclude_max=True))
def test_backoff_is_bounded(attempt: int, random: float) -> None:
    """Promise 6: backoff with full jitter stays between 0 and its cap, however many attempts there were."""
    assert 0 <= backoff(attempt, random) < BACKOFF_CAP_S


def test_backoff_doubles() -> None:
    """Each attempt doubles the span that the jitter is drawn from."""
    assert [backoff(attempt, 0.5) for attempt in (1, 2, 3)] == [0.25, 0.5, 1.0]


@pytest.mark.parametrize(
    ("text", "wait"),
    [
        ("2, 30", 30.0),
        ("30, 2", 30.0),
        ("30; comment=x", 30.0),
        ('"30"', 30.0),
        ("30s", 30.0),
        ("30 seconds", 30.0),
        ("2000ms", 2.0),
        ("1 minute 5 seconds", 65.0),
        ("PT30S", 30.0),
        ("PT1H2M", 3720.0),
        ("2026-05-28T20:27:10Z", 30.0),
        ("2026-05-28T22:27:10+02:00", 30.0),
        ("1780000030", 30.0),
        ("1780000030000", 30.0),
        ("Thursday, 28-May-26 20:27:10 GMT", 30.0),
        ("Thu May 28 20:27:10 2026", 30.0),
        ("Thu, 28 May 2026 20:27:10 GMT, 5", 30.0),
        ("PT", None),
        ("soon", None),
        ("PT2X", None),
        ("wait 5 apples", None),
    ],
)
def test_a_retry_after_of_any_form_is_a_wait(text: str, wait: float | None) -> None:
    """Promise 6: moments, units, quotes, parameters and several values joined by a proxy: the longest of them is waited."""
    assert server_wait({"retry-after": text}, 1_780_000_000.0) == wait
