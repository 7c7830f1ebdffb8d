"""Usage that a request cannot have."""

from __future__ import annotations

from typing import Any

import pytest

from batch.policy.plausible import doubted
from batch.records import Api, Request

PLAIN = b'{"model":"m","messages":[{"role":"user","content":"hello"}]}'
LIMITED = b'{"model":"m","messages":[],"max_tokens":100}'
WITH_FILE = b'{"model":"m","messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"https://x/y.png"}}]}]}'


def tokens(prompt: int, answer: int, **more: Any) -> dict[str, Any]:
    """A usage object."""
    return {"prompt_tokens": prompt, "completion_tokens": answer, "total_tokens": prompt + answer, **more}


BELIEVED = [
    (PLAIN, tokens(9, 3)),
    (PLAIN, tokens(9, 200_000)),
    (PLAIN, tokens(120_000, 3)),
    (LIMITED, tokens(9, 60_000)),
    (WITH_FILE, tokens(3_000_000, 100)),
    (LIMITED.replace(b"100", b"1000000"), tokens(9, 900_000)),
    (PLAIN.replace(b'"m"', b'"m","n":4'), tokens(9, 900_000)),
    (PLAIN, tokens(9, 3, cost=1.0)),
    (PLAIN, tokens(9, 200_000, cost=120.0)),
    (PLAIN, {"x": 1}),
]


@pytest.mark.parametrize(("body", "usage"), BELIEVED)
def test_what_can_be_is_believed(body: bytes, usage: dict[str, Any]) -> None:
    """Long answers, thinking beyond the limit, retrieved texts, files, several answers and dear models are possible."""
    assert doubted(usage, Request("chat/completions", body, b"")) is None


@pytest.mark.parametrize(
    ("body", "usage"),
    [
        (PLAIN, tokens(10**12, 3)),
        (PLAIN, tokens(9, 10**6)),
        (PLAIN, {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 10**9}),
        (LIMITED, tokens(9, 100_000)),
        (WITH_FILE, tokens(10**7, 1)),
    ],
)
def test_tokens_that_cannot_be_are_not_reported(body: bytes, usage: dict[str, Any]) -> None:
    """More tokens than the bytes of the prompt and the limit of the answer allow make the usage unknown, and that is told."""
    found = doubted(usage, Request("chat/completions", body, b""))
    assert found is not None
    assert found[0] is None
    assert "tokens, where its request can use" in found[1]


@pytest.mark.parametrize("api", ["chat/completions", "completions", "messages", "responses"])
def test_a_text_without_tokens_has_an_unknown_usage(api: Api) -> None:
    """Usage from before the first token (only in a stream's first chunk) does not make an answer free; a stated charge is believed."""
    request = Request(api, PLAIN, b"")
    found = doubted(tokens(9, 0), request, "Berlin")

    assert found == (None, "reports no tokens for an answer with text; its tokens are taken as not reported")
    assert doubted(tokens(9, 0), request, "") is None
    assert doubted(tokens(9, 0, cost=0.01), request, "Berlin") is None
    assert doubted(tokens(9, 1), request, "Berlin") is None
    assert doubted(tokens(9, 0), Request("rerank", PLAIN, b""), "0.5") is None


@pytest.mark.parametrize("cost", [10.0**6, 10.0**300, {"total_cost": 5000.0}])
def test_a_cost_that_cannot_be_is_not_reported(cost: Any) -> None:
    """A charge beyond what the dearest models take for a request is left out; the tokens beside it are kept."""
    found = doubted(tokens(9, 3, cost=cost), Request("chat/completions", PLAIN, b""))
    assert found is not None
    assert found[0] == tokens(9, 3)
    assert "a cost of $" in found[1]
