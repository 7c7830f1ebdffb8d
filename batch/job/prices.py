"""The prices that a job file gives, and whether there are all that its budget needs."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from batch.job.model import RunSection
from batch.job.problems import Problems
from batch.job.section import PriceSection
from batch.job.sections import ModelEntry
from batch.providers.prices import price_of
from batch.settings import Price, TokenPrices, Variant

_EXAMPLE = "price = {input = 0.25, output = 2.0}"


def own_price(section: PriceSection | None) -> Price | None:
    """The price that a `[[model]]` entry gives."""
    if section is None:
        return None
    cached = section.input if section.cached_input is None else section.cached_input
    return Price(rates=TokenPrices(input=section.input, output=section.output or 0.0, cached_input=cached, cache_write=section.input))


def check_prices(found: Sequence[tuple[ModelEntry, Variant]], run: RunSection | None, problems: Problems, *, id_key: str = "id") -> None:
    """Note prices without one for answers, and, where the job has a budget, variants without a price. `id_key` names the model."""
    for entry, variant in found:
        section = entry.section.price
        if section is not None and section.output is None and variant.prompt.api != "embeddings":
            problems.add((*entry.path, "price", "output"), "is missing", f"answers cost something too: {_EXAMPLE}")
        elif run is not None and run.max_cost_usd is not None and price_of(variant, datetime.now(UTC)) is None:
            hint = f"give it one, in US dollars for a million tokens: {_EXAMPLE}; or leave run.max_cost_usd out"
            problems.add((*entry.path, id_key), "has no known price, so run.max_cost_usd cannot be held", hint)
