"""What usage costs, and what requests may cost at most; genai-prices' own reckoning is the oracle."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from functools import reduce
from operator import add
from typing import Any

import genai_prices
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch.policy.dollars import usd
from batch.policy.pricing import ASSUMED_ANSWER, WorstCase, cost_of, difference, most
from batch.providers.prices import price_of
from batch.records import Api, Request
from batch.settings import Price, PromptSettings, ProviderSettings, TokenPrices, Variant

PRICE = Price(rates=TokenPrices(input=1.0, output=10.0, cached_input=0.1, cache_write=1.25))
NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


def variant(url: str, model: str, *, stored: bool = False, **parameters: Any) -> Variant:
    """A variant of that model."""
    provider = ProviderSettings(name="some", base_url=url)
    prompt = PromptSettings(stored=True) if stored else PromptSettings(user="x")
    return Variant(name=model, slug=model, provider=provider, model=model, parameters=parameters, prompt=prompt)


def request(body: bytes, api: Api = "chat/completions") -> Request:
    """A request with this body."""
    return Request(api, body, bytes(16))


@pytest.mark.parametrize(
    ("usage", "dollars"),
    [
        ({"prompt_tokens": 1000, "completion_tokens": 100}, 0.002),
        ({"prompt_tokens": 1000, "completion_tokens": 100, "prompt_tokens_details": {"cached_tokens": 900}}, 0.00119),
        ({"prompt_tokens": 1000, "completion_tokens": 100, "prompt_cache_hit_tokens": 900}, 0.00119),
        ({"prompt_tokens": 1000, "completion_tokens": 100, "input_tokens_details": {"cached_tokens": 900}}, 0.00119),
        (
            {"prompt_tokens": 1000, "completion_tokens": 0, "prompt_tokens_details": {"cached_tokens": 400, "cache_write_tokens": 400}},
            0.00074,
        ),
        ({"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1600}, 0.007),
        ({"prompt_tokens": 1000, "completion_tokens": 100, "completion_tokens_details": {"reasoning_tokens": 60}}, 0.002),
        ({"prompt_tokens": 1000, "total_tokens": 1000}, 0.001),
        ({"prompt_tokens": 1000, "completion_tokens": 100, "cost": 0.5}, 0.002),
        ({"prompt_tokens": 1000, "completion_tokens": 100, "cost": None}, 0.002),
        ({"prompt_tokens": 1000, "completion_tokens": 100, "prompt_tokens_details": {"audio_tokens": 900}}, None),
        ({"prompt_tokens": 1000, "completion_tokens": 100, "prompt_tokens_details": None}, 0.002),
        ({"prompt_tokens": "many", "completion_tokens": None}, None),
        ({"completion_tokens": 100}, None),
        ({"prompt_tokens": 0, "completion_tokens": 100, "total_tokens": 100}, None),
        ({"completion_tokens": 100, "total_tokens": 1100}, 0.011),
        ({}, None),
        (None, None),
    ],
)
def test_what_usage_costs(usage: dict[str, Any] | None, dollars: float | None) -> None:
    """Cached tokens, hidden reasoning (told in the total only) and an endpoint's own figure count; what is not told is unknown, not 0.

    An answer's tokens without those of its prompt are a part of the cost only.
    """
    assert cost_of(PRICE, usage) == (dollars if dollars is None else pytest.approx(dollars))


TOKENS = {"prompt_tokens": 1000, "completion_tokens": 100}


@pytest.mark.parametrize(
    ("more", "dollars"),
    [
        ({"cost": 0.5}, 0.5),
        ({"cost": "0.5"}, 0.5),
        ({"cost": {"input_tokens_cost": 0.0, "request_cost": 0.005, "total_cost": 0.005}}, 0.005),
        ({"cost": "free"}, 0.002),
        ({"cost": 0}, 0.002),
        ({"cost": -1.0}, 0.002),
        ({"cost": float("nan")}, 0.002),
        ({"cost": 0.05, "is_byok": True, "cost_details": {"upstream_inference_cost": 0.9}}, 0.95),
        ({"cost": 0, "is_byok": True, "cost_details": {"upstream_inference_cost": 0.9}}, 0.9),
        ({"cost": 0, "is_byok": True}, 0.002),
        ({"cost": 0, "is_byok": True, "cost_details": {"upstream_inference_cost": None}}, 0.002),
    ],
)
def test_what_an_endpoint_says_that_it_charged(more: dict[str, Any], dollars: float) -> None:
    """Fault 67: a charge is believed with its qualifiers only; a negative one, and 0 against a listed price, is not."""
    assert cost_of(replace(PRICE, source="a list"), {**TOKENS, **more}) == pytest.approx(dollars)


def test_without_a_price_only_the_endpoints_own_figure_counts() -> None:
    """A model without a price costs what the endpoint says, or an unknown amount."""
    assert cost_of(None, {"prompt_tokens": 5, "completion_tokens": 5}) is None
    assert cost_of(None, {"prompt_tokens": 5, "completion_tokens": 5, "cost": 0}) == 0.0
    assert cost_of(None, {"prompt_tokens": 5, "completion_tokens": 5, "cost": 0, "is_byok": True}) is None


@pytest.mark.parametrize(
    ("body", "answers"),
    [
        (b'{"n":3,"prompt":"x"}', 3),
        (b'{"n": 2, "best_of": 20, "prompt": "x"}', 20),
        (b'{"prompt":["a","b","c"],"best_of":2}', 6),
        (b'{"prompt":[1,2,3]}', 1),
        (b'{"n":null}', 1),
        (b'{"messages":[{"content":"\\"n\\": 9"}]}', 1),
    ],
)
def test_the_worst_case_counts_every_answer(body: bytes, answers: int) -> None:
    """Promise 4: all answers of n, and all that best_of chooses from, are reserved for, for each prompt of a request."""
    assert WorstCase(PRICE, variant("", "m", max_tokens=7)).dollars(request(body, "completions")) == pytest.approx(
        most(PRICE, len(body), answers * 7)
    )


@given(prompt=st.integers(1, 400_000), answer=st.integers(0, 50_000), cached=st.floats(0, 1))
@pytest.mark.parametrize(
    ("url", "provider", "model"),
    [
        ("https://api.openai.com/v1", "openai", "gpt-5-mini"),
        ("https://api.openai.com/v1", "openai", "gpt-5.4"),
        ("https://api.anthropic.com/v1", "anthropic", "claude-sonnet-4-5"),
        ("https://generativelanguage.googleapis.com/v1beta/openai", "google", "gemini-2.5-pro"),
        ("https://api.together.ai/v1", "together", "meta-llama/Llama-3.3-70B-Instruct-Turbo"),
    ],
)
def test_costs_are_those_of_the_price_list(url: str, provider: str, model: str, prompt: int, answer: int, cached: float) -> None:
    """Promise 4: for any usage, higher rates of long prompts included, the cost is what genai-prices itself makes of it."""
    price = price_of(variant(url, model), NOW)
    hits = int(prompt * cached)
    usage = {"prompt_tokens": prompt, "completion_tokens": answer, "prompt_tokens_details": {"cached_tokens": hits}}
    listed = genai_prices.calc_price(
        genai_prices.Usage(input_tokens=prompt, cache_read_tokens=hits, output_tokens=answer),
        model,
        provider_id=provider,
        genai_request_timestamp=NOW,
    )
    assert cost_of(price, usage) == pytest.approx(float(listed.total_price))
    assert price is not None
    assert most(price, prompt, answer) >= (cost_of(price, usage) or 0) - 1e-12


@given(text=st.text(max_size=300), tokens=st.floats(0.01, 1.0), answers=st.integers(0, 40))
def test_the_worst_case_is_never_less_than_what_was_seen(text: str, tokens: float, answers: int) -> None:
    """Promise 4: with up to a token for each byte, the reserved amount is at least the cost of a request like those that were answered."""
    worst = WorstCase(PRICE, variant("", "m", max_tokens=50))
    sent = request(b'{"messages":"' + text.encode("utf-8", "replace") + b'"}')
    usage = {"prompt_tokens": int(tokens * len(sent.body)), "completion_tokens": 50}
    for _ in range(answers):
        worst.observe(sent, usage)
    assert worst.dollars(sent) >= (cost_of(PRICE, usage) or 0) - 1e-12


@pytest.mark.parametrize(
    ("of", "sent", "tokens"),
    [
        (variant("", "m", max_tokens=7), request(b"{}"), 7),
        (variant("", "m", max_completion_tokens=9), request(b"{}"), 9),
        (variant("", "m"), request(b'{"max_completion_tokens": 11}'), 11),
        (variant("", "m", stored=True, max_tokens=7), request(b'{"max_output_tokens":12}', "responses"), 12),
        (variant("", "m"), request(b"{}"), ASSUMED_ANSWER),
        (variant("", "m"), request(b"{}", "embeddings"), 0),
        (variant("", "m", stored=True), request(b"{}", "moderations"), 0),
    ],
)
def test_the_longest_answer(of: Variant, sent: Request, tokens: int) -> None:
    """The answer's most tokens are those of the parameters, of the body, none for embeddings, or the stated assumption."""
    assert WorstCase(PRICE, of).dollars(sent) == pytest.approx(most(PRICE, len(sent.body), tokens))


@pytest.mark.parametrize(
    ("amount", "shown"),
    [(0.0, "$0.0000"), (0.00004, "$0.000040"), (0.0000123, "$0.000012"), (0.00012, "$0.00012"), (0.0113, "$0.0113"), (1234.5, "$1,234.50")],
)
def test_money_is_never_shown_as_nothing_when_it_is_something(amount: float, shown: str) -> None:
    """Promise 4: an amount below the fourth decimal has the digits that it needs; a stranger reads "$0.0000" as free."""
    assert usd(amount) == shown


def test_rounding_errors_of_sums_are_no_money() -> None:
    """Promise 4: after many small amounts were added in another order, what remains between two equal sums is 0; one token is not."""
    amounts = [0.00004 + 1e-9 * number for number in range(100_000)]
    # Not sum(): from Python 3.12 on it compensates for rounding.
    less, more = sorted((reduce(add, amounts), reduce(add, reversed(amounts))))
    assert less != more
    assert difference(more, less) == 0.0
    assert difference(0.0048 + 2e-8, 0.0048) == pytest.approx(2e-8)
