"""What a request cost, by the endpoint's `usage`, and what it may cost at most before it is sent.

Fields of usage: https://platform.openai.com/docs/api-reference/chat/object (prompt_tokens holds the cached ones too); DeepSeek has
prompt_cache_hit_tokens. xAI and Gemini leave reasoning out of completion_tokens, but not out of total_tokens, and bill it as output.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from batch.policy.rate_limiter import tokens_of
from batch.records import Request
from batch.settings import Price, TokenPrices, Variant

MILLION = 1_000_000
# The tokens of an answer to a request that names no most: what a budget then reserves. Longer answers are rare, and end in an overshoot.
ASSUMED_ANSWER = 16_384
# A token is a byte at least, until answers have shown how many bytes a token of these prompts has.
_FIRST_ANSWERS = 20
_MARGIN = 1.25
_LIMITS = ("max_completion_tokens", "max_tokens", "max_output_tokens")
_NAMED_LIMIT = re.compile(rb'"max_(?:completion_|output_)?tokens":\s*(\d+)')


def rates_of(price: Price, prompt_tokens: float) -> TokenPrices:
    """The rates for a request with so many prompt tokens."""
    rates = price.rates
    for start, higher in price.above:
        if prompt_tokens > start:
            rates = higher
    return rates


def cost_of(price: Price | None, usage: Mapping[str, Any] | None) -> float | None:
    """US dollars for a request by its usage; None is unknown: without a price or usage, or with audio, which has prices of its own.

    What the endpoint itself says that it charged goes first (OpenRouter: usage.cost).
    """
    if usage is None:
        return None
    charged = usage.get("cost")
    if isinstance(charged, int | float) and not isinstance(charged, bool):
        return float(charged)
    prompt, answer = tokens_of(usage, "prompt_tokens"), tokens_of(usage, "completion_tokens")
    if price is None or not prompt + answer:
        return None
    of_prompt = _details(usage, "prompt_tokens_details") or _details(usage, "input_tokens_details")
    of_answer = _details(usage, "completion_tokens_details") or _details(usage, "output_tokens_details")
    if tokens_of(of_prompt, "audio_tokens") or tokens_of(of_answer, "audio_tokens"):
        return None
    answer = max(answer, tokens_of(usage, "total_tokens") - prompt)
    cached = min(prompt, tokens_of(of_prompt, "cached_tokens") or tokens_of(usage, "prompt_cache_hit_tokens"))
    written = min(prompt - cached, tokens_of(of_prompt, "cache_write_tokens"))
    rates = rates_of(price, prompt)
    fresh = prompt - cached - written
    tokens = fresh * rates.input + cached * rates.cached_input + written * rates.cache_write + answer * rates.output
    return tokens / MILLION + price.per_request


def most(price: Price, prompt_tokens: float, answer_tokens: float) -> float:
    """US dollars that a request costs with so many tokens, none of them cached."""
    rates = rates_of(price, prompt_tokens)
    return (prompt_tokens * max(rates.input, rates.cache_write) + answer_tokens * rates.output) / MILLION + price.per_request


def answer_limit(variant: Variant, request: Request) -> int | None:
    """The most tokens of the answer to a request; 0 for embeddings and moderations, None where nothing says it."""
    if request.api in ("embeddings", "moderations"):
        return 0
    # Of stored requests each may have a limit of its own.
    limits = [] if variant.prompt.stored else [variant.parameters[name] for name in _LIMITS if name in variant.parameters]
    if limits and isinstance(limits[0], int):
        return limits[0]
    named = _NAMED_LIMIT.search(request.body)
    return int(named[1]) if named else None


class WorstCase:
    """The most that requests of one variant may cost: what a budget reserves for each.

    Prompt tokens are taken from the bytes of the body: one each at first, then as the answers have shown, with a margin.
    """

    def __init__(self, price: Price, variant: Variant) -> None:
        self._price = price
        self._variant = variant
        self._assumed = min(ASSUMED_ANSWER, price.context or ASSUMED_ANSWER)
        self._answers = 0
        self._tokens_per_byte = 0.0

    def dollars(self, request: Request) -> float:
        """US dollars for one request."""
        share = 1.0 if self._answers < _FIRST_ANSWERS else min(1.0, _MARGIN * self._tokens_per_byte)
        answer = answer_limit(self._variant, request)
        return most(self._price, share * len(request.body), self._assumed if answer is None else answer)

    def observe(self, request: Request, usage: Mapping[str, Any] | None) -> None:
        """Learn from an answer how many tokens its prompt had."""
        tokens = tokens_of(usage, "prompt_tokens")
        if tokens:
            self._answers += 1
            self._tokens_per_byte = max(self._tokens_per_byte, tokens / len(request.body))


def _details(usage: Mapping[str, Any], name: str) -> Mapping[str, Any] | None:
    details = usage.get(name)
    return details if isinstance(details, Mapping) else None
