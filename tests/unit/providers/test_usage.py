"""Usage objects: counts that make sense, and everything else as it came."""

from __future__ import annotations

from typing import Any

import pytest

from batch.providers.usage import read_usage


@pytest.mark.parametrize(
    ("given", "read"),
    [
        (
            {"prompt_tokens": 7, "completion_tokens": 3.0, "total_tokens": "10"},
            {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10},
        ),
        ({"prompt_tokens": -1, "completion_tokens": True, "total_tokens": 10**25}, None),
        ({"prompt_tokens": [7], "completion_tokens": {"x": 1}, "total_tokens": None, "x": 1}, {"x": 1}),
        ({"prompt_tokens": 3.5, "completion_tokens": "many", "cost": 0.01}, {"cost": 0.01}),
        ({"prompt_tokens_details": {"cached_tokens": "2", "audio_tokens": -1}}, {"prompt_tokens_details": {"cached_tokens": 2}}),
        ({"cost": float("nan"), "rate": float("inf")}, None),
        ({"tags": ["a"], "odd": [["a"]]}, {"tags": ["a"]}),
        ({}, None),
        ([1], None),
        ("7", None),
    ],
)
def test_counts_that_cannot_be_read_are_not_reported(given: Any, read: Any) -> None:
    """Fault 61: whatever stands where a count should, it is a whole number from 0 or it is not reported; other members are kept."""
    assert read_usage(given) == read


def test_nesting_ends() -> None:
    """A usage nested without end is cut, not followed."""
    nested: dict[str, Any] = {"prompt_tokens": 1}
    for _ in range(900):
        nested = {"x": nested}
    assert read_usage({"prompt_tokens": 2, "x": nested}) == {"prompt_tokens": 2}
