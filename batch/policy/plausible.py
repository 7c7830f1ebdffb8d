"""Finds usage that a reply cannot have: more tokens, or a higher charge, than its request allows. No wrong figure may spend a budget."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from batch.policy.dollars import usd
from batch.policy.pricing import answers_of, bytes_in_pairs, charged
from batch.policy.rate_limiter import NAMED_LIMIT, tokens_of
from batch.records import SCORING, STREAMED, Request

# So few tokens, and US dollars, are believed without a look at the request.
_FEW_TOKENS, _FEW_DOLLARS = 4096, 1.0
# Tokens that a server may add to a prompt (templates, retrieved texts), and those of what a request refers to (files, tools that it runs).
_ADDED, _REFERRED = 131_072, 4_194_304
_REFERENCES = (b'_url"', b'"file', b'"tools"', b'"previous_response_id"', b'"conversation"', b'"data_sources"')
# An answer without a limit has fewer tokens; one with a limit has as many, and what was thought before it where that does not count.
_LONGEST_ANSWER, _THOUGHT = 262_144, 65_536
# The dearest models cost 600 US dollars a million tokens (o1-pro, 2025).
_DEAREST = 0.001


def doubted(usage: Mapping[str, Any], request: Request, text: str | None = None) -> tuple[dict[str, Any] | None, str] | None:
    """Return `usage` without what cannot be, and what that was, in words; None when all of it can be. `text` is the answer's.

    Tokens that cannot be make the whole usage unknown, since the rest is not the whole.
    """
    prompt, answer = tokens_of(usage, "prompt_tokens"), tokens_of(usage, "completion_tokens")
    total = max(prompt + answer, tokens_of(usage, "total_tokens"))
    dollars = charged(usage) or 0.0
    # Some servers give usage in a stream's first chunk only, before anything was generated.
    if prompt == total > 0 and not dollars and text and request.api in STREAMED:
        return None, "reports no tokens for an answer with text; its tokens are taken as not reported"
    if total <= _FEW_TOKENS and dollars <= _FEW_DOLLARS:
        return None
    most_prompt, most_answer = _most_tokens(request)
    if prompt > most_prompt or answer > most_answer or total > most_prompt + most_answer:
        most = most_prompt + most_answer
        return None, f"reports {total:,.0f} tokens, where its request can use {most:,} at most; they are taken as not reported"
    if dollars > _FEW_DOLLARS + _DEAREST * (most_prompt + most_answer):
        rest = {name: value for name, value in usage.items() if name not in ("cost", "cost_details")}
        return rest or None, f"reports a cost of {_dollars(dollars)}, which its request cannot have; it is taken as not reported"
    return None


def _most_tokens(request: Request) -> tuple[int, int]:
    """Return the most tokens of the prompt, of which each has a byte at least, and of the answers."""
    body = request.body
    added = _REFERRED if any(word in body for word in _REFERENCES) else _ADDED
    named = NAMED_LIMIT.search(body)
    answer = int(named[1]) + _THOUGHT if named else _LONGEST_ANSWER
    size = bytes_in_pairs(body) if request.api in SCORING else len(body)
    return size + added, answers_of(request) * answer


def _dollars(amount: float) -> str:
    return usd(amount) if math.log10(amount) < 15 else f"${amount:.0e}"
