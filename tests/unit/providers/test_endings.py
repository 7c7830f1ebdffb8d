"""Finish reasons of all dialects in their families."""

from __future__ import annotations

import pytest

from batch.providers.endings import ending_of, finish_reason_of, is_unknown_ending


@pytest.mark.parametrize(
    ("reason", "ending"),
    [
        ("stop", "stop"),
        ("STOP", "stop"),
        ("FINISH_REASON_STOP", "stop"),
        ("end_turn", "stop"),
        ("eos", "stop"),
        ("length", "length"),
        ("MAX_TOKENS", "length"),
        ("model_context_window_exceeded", "length"),
        ("tool_use", "tool_calls"),
        ("function_call", "function_call"),
        ("SAFETY", "content_filter"),
        ("content_filter: PROHIBITED_CONTENT", "content_filter"),
        ("content_filter: something new", "content_filter"),
        ("function_call_filter: MALFORMED_FUNCTION_CALL", "broken"),
        ("insufficient_system_resource", "broken"),
        ("abort", "broken"),
        ("content-filter", "content_filter"),
        ("ContentFiltered", "content_filter"),
        ("MaxTokens", "length"),
        ("end turn", "stop"),
        ("vibes", None),
        (":", None),
        ("a: b", None),
        ("", None),
    ],
)
def test_families(reason: str, ending: str | None) -> None:
    """Fault 65: a word belongs to its family in any case and with Google's prefixes; an unknown word belongs to none."""
    assert ending_of(reason) == ending


def test_words_of_the_protocol_stay() -> None:
    """The protocol's own words, and unknown ones, are given as they are; other dialects become the protocol's word."""
    for reason in ("stop", "length", "tool_calls", "function_call", "content_filter", "Vibes"):
        assert finish_reason_of(reason) == reason
    assert finish_reason_of("MAX_TOKENS") == "length"
    assert is_unknown_ending("Vibes", "chat/completions")
    assert not is_unknown_ending("MAX_TOKENS", "chat/completions")
    assert is_unknown_ending(None, "chat/completions")
    assert not is_unknown_ending(None, "embeddings")
