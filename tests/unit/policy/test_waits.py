"""How long to wait: headers, durations, backoff."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch.policy.waits import BACKOFF_CAP_S, backoff, parse_duration, server_wait

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
    ],
)
def test_server_wait(headers: dict[str, str], wait: float | None) -> None:
    """Fault 2: retry-after-ms comes first, then seconds, then a date; junk, negative and infinite waits are none."""
    assert server_wait(headers, NOW) == wait


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
