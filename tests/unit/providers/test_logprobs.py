"""Log probabilities of an answer's tokens, read from replies of each API."""

from __future__ import annotations

import json
from typing import Any

import pytest

from batch.providers.logprobs import read_logprobs
from batch.records import Api

TOKENS = [{"token": "y", "logprob": -0.5, "top_logprobs": []}, {"token": "es", "logprob": -1}]


def choices(logprobs: Any) -> dict[str, Any]:
    """A reply whose only choice has these."""
    return {"choices": [{"message": {"content": "yes"}, "finish_reason": "stop", "logprobs": logprobs}]}


CASES: list[tuple[Api, Any, list[tuple[str, float]] | None]] = [
    ("chat/completions", choices({"content": TOKENS}), [("y", -0.5), ("es", -1)]),
    ("completions", choices({"tokens": ["y", "es"], "token_logprobs": [-0.5, -1]}), [("y", -0.5), ("es", -1)]),
    (
        "responses",
        {"output": [{"type": "reasoning"}, {"type": "message", "content": [{"type": "output_text", "text": "yes", "logprobs": TOKENS}]}]},
        [("y", -0.5), ("es", -1)],
    ),
    ("chat/completions", choices(None), None),
    ("chat/completions", choices({"content": []}), None),
    ("chat/completions", choices({"content": [{"token": "y", "logprob": None}]}), None),
    ("completions", choices({"tokens": ["y"], "token_logprobs": []}), None),
    ("chat/completions", {"logprobs": 1, "choices": []}, None),
    ("responses", {"logprobs": 1, "output": None}, None),
]


@pytest.mark.parametrize(("api", "body", "expected"), CASES)
def test_logprobs_are_read_in_one_form(api: Api, body: Any, expected: list[tuple[str, float]] | None) -> None:
    """Whatever the API, tokens come as those of chats do; what is not whole is none, and no error."""
    found = read_logprobs(api, json.dumps(body).encode())
    assert (None if found is None else [(token["token"], token["logprob"]) for token in found]) == expected
