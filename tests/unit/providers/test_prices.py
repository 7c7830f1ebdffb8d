"""The price list: found by the endpoint's URL, dated, and unknown where it is not known."""

from __future__ import annotations

import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest

from batch.policy.pricing import cost_of
from batch.providers.prices import list_name, price_of
from batch.settings import Price, PromptSettings, ProviderSettings, TokenPrices, Variant

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


def variant(url: str, model: str, *, api: str = "chat/completions", price: Price | None = None, **parameters: object) -> Variant:
    """A variant of that model."""
    prompt = PromptSettings(api=api, user="x", text="x")  # type: ignore[arg-type]
    provider = ProviderSettings(name="some", base_url=url)
    return Variant(name=model, slug="x", provider=provider, model=model, parameters=parameters, prompt=prompt, price=price)


@pytest.mark.parametrize(
    ("url", "model"),
    [
        ("https://api.openai.com/v1", "gpt-5-mini"),
        ("https://x.openai.azure.com/openai/v1", "gpt-5-mini"),
        ("https://api.together.ai/v1", "meta-llama/Llama-3.3-70B-Instruct-Turbo"),
        ("https://api.groq.com/openai/v1", "llama-3.3-70b-versatile"),
        ("https://openrouter.ai/api/v1", "openai/gpt-5-mini"),
        ("https://api.fireworks.ai/inference/v1", "accounts/fireworks/models/llama-v3p1-8b-instruct"),
        ("https://api.mistral.ai/v1", "mistral-small-latest"),
        ("https://api.deepseek.com/v1", "deepseek-chat"),
        ("https://generativelanguage.googleapis.com/v1beta/openai", "gemini-2.5-flash"),
        ("https://api.anthropic.com/v1", "claude-sonnet-4-5"),
    ],
)
def test_presets_that_bill_have_prices(url: str, model: str) -> None:
    """Each preset's hosted models are found by its URL, with a price that names its list and date."""
    price = price_of(variant(url, model), NOW)
    assert price is not None
    assert 0 < price.rates.cached_input <= price.rates.input <= price.rates.output
    assert re.fullmatch(r"genai-prices \S+ of 20\d\d-\d\d-\d\d", price.source)


@pytest.mark.parametrize(
    ("url", "model"),
    [
        ("http://127.0.0.1:8000/v1", "gpt-5-mini"),
        ("http://vllm/v1", "gpt-5-mini"),
        ("", "smollm2"),
        ("https://models.house.example/v1", "gpt-5-mini"),
        ("https://api.openai.com/v1", "gpt-of-next-year"),
        ("https://openrouter.ai/api/v1", "meta-llama/llama-3.3-70b-instruct:free"),
        ("https://api.openai.com/v1", "text-embedding-3-small"),
    ],
)
def test_what_is_not_known_is_unknown(url: str, model: str) -> None:
    """Servers of one's own, unknown hosts and models, models without a price, and chats with a model of embeddings: unknown, never 0."""
    assert price_of(variant(url, model), NOW) is None
    assert cost_of(price_of(variant(url, model), NOW), {"prompt_tokens": 9, "completion_tokens": 9}) is None


def test_embeddings_cost_only_their_input() -> None:
    """A model of embeddings has a price without one for answers."""
    price = price_of(variant("https://api.openai.com/v1", "text-embedding-3-small", api="embeddings"), NOW)
    assert cost_of(price, {"prompt_tokens": 1_000_000, "total_tokens": 1_000_000}) == pytest.approx(0.02)


def test_the_jobs_own_price_goes_first() -> None:
    """A price in the job file is taken for any endpoint, and says that it is from there; of a Batch API it says nothing."""
    own = Price(rates=TokenPrices(input=1, output=2, cached_input=1, cache_write=1))
    priced = variant("https://api.openai.com/v1", "gpt-5-mini", price=own)
    assert price_of(priced, NOW) is own
    assert own.source == "the job file"
    assert price_of(priced, NOW, batch=True) is None


def test_service_tiers_and_batch_apis_have_prices_of_their_own() -> None:
    """Flex and batch cost half at OpenAI; a provider whose batch price is not in the list has an unknown one."""
    url = "https://api.openai.com/v1"
    plain, flex = price_of(variant(url, "gpt-5-mini"), NOW), price_of(variant(url, "gpt-5-mini", service_tier="flex"), NOW)
    batch = price_of(variant(url, "gpt-5-mini"), NOW, batch=True)
    assert plain
    assert flex
    assert batch
    assert flex.rates.output == batch.rates.output == plain.rates.output / 2
    assert price_of(variant("https://api.together.ai/v1", "meta-llama/Llama-3.3-70B-Instruct-Turbo"), NOW, batch=True) is None


def test_the_answering_tier_decides_the_price() -> None:
    """A request that asks for flex and is answered at the standard tier costs the standard price, and the other way round."""
    url, usage = "https://api.openai.com/v1", {"prompt_tokens": 1_000_000, "completion_tokens": 0}
    plain, flex = price_of(variant(url, "gpt-5-mini"), NOW), price_of(variant(url, "gpt-5-mini", service_tier="flex"), NOW)
    assert plain
    assert flex
    standard, cheap = cost_of(plain, usage), cost_of(flex, usage)
    assert cost_of(flex.at_tier("default"), usage) == cost_of(plain.at_tier("default"), usage) == standard == 2 * (cheap or 0)
    assert cost_of(flex.at_tier("flex"), usage) == cost_of(plain.at_tier("flex"), usage) == cheap
    assert flex.at_tier(None) is flex.at_tier("unknown") is flex
    assert "flex" in flex.source


def test_a_day_with_cheaper_hours_counts_at_its_dearest() -> None:
    """DeepSeek is cheaper at night: the price is the same at any hour of asking, and that of the day."""
    asked = {price_of(variant("https://api.deepseek.com/v1", "deepseek-chat"), NOW + timedelta(hours=hour)) for hour in range(12)}
    assert len(asked) == 1


def test_the_list_is_loaded_for_nothing_in_vain() -> None:
    """Neither the command nor a job with servers of one's own loads the price list: it takes a quarter of a second and 30 MB."""
    code = (
        "import sys, batch.cli, batch.providers.prices as p; from tests.unit.providers.test_prices import *;"
        "assert price_of(variant('http://127.0.0.1:1/v1', 'm'), NOW) is None; assert 'genai_prices' not in sys.modules"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_the_date_is_not_in_the_future() -> None:
    """Price changes that are announced for later do not make the list newer than it is."""
    assert datetime.fromisoformat(list_name().split()[-1]).replace(tzinfo=UTC) <= datetime.now(UTC)
