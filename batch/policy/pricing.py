"""Computes the cost of a request from the endpoint's `usage`, and its highest cost before it is sent.

Fields of usage: https://platform.openai.com/docs/api-reference/chat/object (prompt_tokens holds the cached ones too); DeepSeek has
prompt_cache_hit_tokens. xAI and Gemini leave reasoning out of completion_tokens, but not out of total_tokens, and bill it as output.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

import orjson

from batch.policy.rate_limiter import NAMED_LIMIT, tokens_of
from batch.records import ANSWERLESS, SCORING, Request
from batch.settings import Price, TokenPrices, Variant

MILLION = 1_000_000
# The tokens that a budget reserves for an answer without a limit. Longer answers are rare, and overshoot the budget.
ASSUMED_ANSWER = 16_384
# gpt-4o-mini takes 48,169 for a picture of 2048 x 4096 in detail, which is the most of all that have a list price.
MOST_PICTURE_TOKENS = 50_000
# A token is a byte at least, until answers have shown how many bytes a token of these prompts has.
_FIRST_ANSWERS = 20
_MARGIN = 1.25
OWN_PRICE = Price.__dataclass_fields__["source"].default
"""The source of a price that the job names."""
_ROUNDING = 1e-9
"""The share of a sum of many small amounts that can be an error of rounding, and US dollars that no request is as cheap as."""
_DOLLARS = re.compile(r"\d{1,9}(\.\d{1,18})?", re.ASCII)
_PROMPTS = re.compile(rb'"prompt":\s*\[')
_LIMITS = ("max_completion_tokens", "max_tokens", "max_output_tokens")


def rates_of(price: Price, prompt_tokens: float) -> TokenPrices:
    """Return the rates for a request with this many prompt tokens."""
    rates = price.rates
    for start, higher in price.above:
        if prompt_tokens > start:
            rates = higher
    return rates


def cost_of(price: Price | None, usage: Mapping[str, Any] | None) -> float | None:
    """Return the US dollars for a request by its usage; None if unknown: no price, no usage, or audio, which has its own prices.

    A price that the job names goes first, then what the endpoint itself says that it charged, then the price list.
    """
    if usage is None:
        return None
    own = _by_tokens(price, usage) if price is not None and price.source == OWN_PRICE else None
    if own is not None:
        return own
    stated = charged(usage)
    listed = _by_tokens(price, usage)
    # A charge of 0 is used only if the job names no price: gateways report 0 for what they bill elsewhere.
    return listed if stated is None or (stated == 0 and listed is not None) else stated


def charged(usage: Mapping[str, Any]) -> float | None:
    """Return the charge that the endpoint states (https://openrouter.ai/docs/use-cases/usage-accounting); None if that is not the whole.

    With one's own key at the provider (`is_byok`), `cost` is OpenRouter's fee only, and the provider's charge is stated beside it.
    """
    cost = _amount(usage.get("cost"))
    if not usage.get("is_byok"):
        return cost
    upstream = _amount((_details(usage, "cost_details") or {}).get("upstream_inference_cost"))
    return None if upstream is None else upstream + (cost or 0.0)


def _amount(value: Any) -> float | None:
    """Return `value` if it is a plausible number of dollars, also as text or as the total of an object (Perplexity)."""
    if value is None:
        return None
    if isinstance(value, Mapping):
        value = value.get("total_cost")
    if isinstance(value, str) and _DOLLARS.fullmatch(value):
        value = float(value)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and 0 <= value < math.inf else None


def _by_tokens(price: Price | None, usage: Mapping[str, Any]) -> float | None:
    if price is None:
        return None
    prompt, answer = tokens_of(usage, "prompt_tokens"), tokens_of(usage, "completion_tokens")
    units = tokens_of(usage, "search_units")
    if not prompt + answer and not (units and price.per_request):
        return None
    of_prompt = _details(usage, "prompt_tokens_details") or _details(usage, "input_tokens_details")
    of_answer = _details(usage, "completion_tokens_details") or _details(usage, "output_tokens_details")
    if tokens_of(of_prompt, "audio_tokens") or tokens_of(of_answer, "audio_tokens"):
        return None
    answer = max(answer, tokens_of(usage, "total_tokens") - prompt)
    # Every prompt has tokens: where they are not reported the rest is not the whole.
    if not prompt and answer == tokens_of(usage, "completion_tokens") and answer and rates_of(price, 0).input:
        return None
    cached = min(prompt, tokens_of(of_prompt, "cached_tokens") or tokens_of(usage, "prompt_cache_hit_tokens"))
    written = min(prompt - cached, tokens_of(of_prompt, "cache_write_tokens"))
    rates = rates_of(price, prompt)
    fresh = prompt - cached - written
    tokens = fresh * rates.input + cached * rates.cached_input + written * rates.cache_write + answer * rates.output
    # Cohere bills a rerank by its search units, of which a request with many documents has several.
    return tokens / MILLION + price.per_request * max(1.0, units)


def most(price: Price, prompt_tokens: float, answer_tokens: float) -> float:
    """Return the US dollars for a request with these tokens, none of them cached."""
    rates = rates_of(price, prompt_tokens)
    return (prompt_tokens * max(rates.input, rates.cache_write) + answer_tokens * rates.output) / MILLION + price.per_request


def answer_limit(variant: Variant, request: Request) -> int | None:
    """Return the most tokens of the answer to a request; 0 where the API generates none, None if no limit is stated."""
    if request.api in ANSWERLESS:
        return 0
    # Of stored requests each may have a limit of its own.
    limits = [] if variant.prompt.stored else [variant.parameters[name] for name in _LIMITS if name in variant.parameters]
    if limits and isinstance(limits[0], int):
        return limits[0]
    named = NAMED_LIMIT.search(request.body)
    return int(named[1]) if named else None


def answers_of(request: Request) -> int:
    """Return how many answers a request may be billed for: `n`, or all that `best_of` chooses from, for each of its prompts."""
    if b'"n"' not in request.body and b'"best_of"' not in request.body and not _PROMPTS.search(request.body):
        return 1
    document = orjson.loads(request.body)
    counts = [document.get(name) for name in ("n", "best_of")]
    prompts = document.get("prompt")
    several = len(prompts) if isinstance(prompts, list) and prompts and isinstance(prompts[0], str | list) else 1
    return several * max([1, *(count for count in counts if isinstance(count, int) and not isinstance(count, bool))])


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
        """Return the US dollars to reserve for one request."""
        share = 1.0 if self._answers < _FIRST_ANSWERS else min(1.0, _MARGIN * self._tokens_per_byte)
        answer = answer_limit(self._variant, request)
        return most(self._price, share * _weight(request), answers_of(request) * (self._assumed if answer is None else answer))

    def observe(self, request: Request, usage: Mapping[str, Any] | None) -> None:
        """Learn from an answer how many tokens its prompt had."""
        tokens = tokens_of(usage, "prompt_tokens")
        if tokens:
            self._answers += 1
            self._tokens_per_byte = max(self._tokens_per_byte, tokens / _weight(request))


def _weight(request: Request) -> int:
    """The bytes that bound a prompt's tokens: those of the body, but of each picture at most MOST_PICTURE_TOKENS."""
    media = request.media
    if request.api in SCORING:
        return bytes_in_pairs(request.body)
    if media is None:
        return len(request.body)
    return len(request.body) - media.picture_bytes + min(media.picture_bytes, media.pictures * MOST_PICTURE_TOKENS)


def bytes_in_pairs(body: bytes) -> int:
    """Return the bytes that a model reads to score each text against the other one, which is read again with each of them."""
    document = orjson.loads(body)
    sizes = [[len(orjson.dumps(each)) for each in (value if isinstance(value, list) else [value])] for value in document.values()]
    most = max(map(len, sizes), default=1)
    return len(body) + sum((most - 1) * of_member[0] for of_member in sizes if len(of_member) == 1)


def _details(usage: Mapping[str, Any], name: str) -> Mapping[str, Any] | None:
    details = usage.get(name)
    return details if isinstance(details, Mapping) else None


def difference(whole: float, part: float) -> float:
    """Subtract one sum of US dollars from another; 0 where only the errors of rounding are left, or less."""
    rest = whole - part
    return rest if rest > _ROUNDING * max(1.0, whole) else 0.0
