"""Finds list prices in the data of the package genai-prices. Nothing is sent over the network.

The package takes a quarter of a second and 30 MB to load, so it is loaded only for endpoints that may be in it.
"""

from __future__ import annotations

import functools
import ipaddress
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from importlib.metadata import version
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from batch.providers.urls import socket_path
from batch.records import ANSWERLESS
from batch.settings import Price, TokenPrices, Variant
from batch.settings.tiers import STANDARD_TIERS, TIER_KEY

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo, ModelPrice, Provider

# Hosts under which the package does not know a provider, and those by which it does.
_KNOWN_AS = {"api.together.ai": "api.together.xyz"}
# Service tiers by which a request is billed; "auto" leaves it to the provider's project settings.
_BILLED_TIERS = frozenset({"flex", "priority", "fast"})


def price_of(variant: Variant, at: datetime, *, batch: bool = False) -> Price | None:
    """Return what a variant's requests cost: the job's own price, or the list price at that moment; None is unknown.

    With `batch`, what they cost through the provider's Batch API; None also where it has none for this model.
    """
    if variant.price is not None:
        return None if batch else variant.price
    if "model" in variant.row_parameters:
        # Each row may name another model, with another price.
        return None
    url = variant.provider.base_url
    if not _is_public(url):
        return None
    found = _find(_known_url(url), variant.model)
    if found is None:
        return None
    provider, model = found
    if not batch:
        return _with_tiers(model, at, variant)
    if not any(model is own for own in provider.models):
        return None
    through = model.get_prices(at, {"processing": "batch"})
    return None if through == model.get_prices(at) else _made(model, lambda _: through, at, variant)


def _with_tiers(model: ModelInfo, at: datetime, variant: Variant) -> Price | None:
    """Return the price at the tier that the variant asks for, with those of the other tiers that may answer it."""

    def at_tier(tier: str | None) -> Price | None:
        context = {"service_tier": tier} if tier is not None else {}
        made = _made(model, lambda moment: model.get_prices(moment, context), at, variant)
        return made if made is None or tier is None else replace(made, source=f"{made.source}, service tier {tier}")

    asked = variant.parameters.get(TIER_KEY)
    own = at_tier(asked if asked in _BILLED_TIERS else None)
    if own is None or not model.price_variants:
        return own
    standard = at_tier(None)
    others = {**dict.fromkeys(STANDARD_TIERS, standard), **{tier: at_tier(tier) for tier in sorted(_BILLED_TIERS)}}
    # A tier without prices of its own has those of the standard tier.
    prices = {name: price for name, price in others.items() if price is not None and name != asked and price.rates != own.rates}
    return replace(own, by_tier=tuple(prices.items()))


def list_name() -> str:
    """Return the price list's name and date, for messages."""
    return f"genai-prices {version('genai-prices')} of {_list_date()}"


def _is_public(url: str) -> bool:
    """Whether the URL is of a host that others could bill for: not this machine, nor a bare address or name of a local network."""
    host = urlsplit(url).hostname or ""
    if socket_path(url) is not None:
        return False
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return "." in host
    return False


def _known_url(url: str) -> str:
    host = urlsplit(url).hostname or ""
    return url.replace(host, _KNOWN_AS[host], 1) if host in _KNOWN_AS else url


def _find(url: str, model: str) -> tuple[Provider, ModelInfo] | None:
    from genai_prices.data_snapshot import get_snapshot

    try:
        return get_snapshot().find_provider_model(model, None, None, url)
    except LookupError:
        return None


def _made(model: ModelInfo, prices_at: Callable[[datetime], ModelPrice], at: datetime, variant: Variant) -> Price | None:
    """The price as ours: of a day with cheaper hours, the dearest."""
    midnight = at.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    during_day = {id(prices): prices for hour in range(24) for prices in [prices_at(midnight + timedelta(hours=hour))]}
    made = [price for prices in during_day.values() if (price := _converted(model, prices, variant)) is not None]
    return max(made, key=lambda price: price.rates.input + price.rates.output, default=None)


def _converted(model: ModelInfo, prices: ModelPrice, variant: Variant) -> Price | None:
    kinds = {
        "input": prices.input_mtok,
        "output": prices.output_mtok,
        "cached_input": prices.cache_read_mtok,
        "cache_write": prices.cache_write_mtok,
    }
    if kinds["input"] is None or (kinds["output"] is None and variant.prompt.api not in ANSWERLESS and not variant.prompt.stored):
        return None
    starts = sorted({tier.start for price in kinds.values() for tier in getattr(price, "tiers", ())})
    per_thousand = getattr(prices, "requests_kcount", None)
    return Price(
        rates=_rates(kinds, 0),
        above=tuple((start, _rates(kinds, start + 1)) for start in starts),
        per_request=_at(per_thousand, 0) / 1000,
        source=list_name(),
        context=model.context_window,
    )


def _rates(kinds: dict[str, Any], prompt_tokens: int) -> TokenPrices:
    fresh = _at(kinds["input"], prompt_tokens)
    return TokenPrices(
        input=fresh,
        output=_at(kinds["output"], prompt_tokens),
        cached_input=fresh if kinds["cached_input"] is None else _at(kinds["cached_input"], prompt_tokens),
        cache_write=fresh if kinds["cache_write"] is None else _at(kinds["cache_write"], prompt_tokens),
    )


def _at(price: Any, prompt_tokens: int) -> float:
    """A price of the package (a decimal, or decimals by the size of the prompt) for a prompt of `prompt_tokens` tokens."""
    tiers: Iterable[Any] = getattr(price, "tiers", ())
    value = getattr(price, "base", price)
    for tier in tiers:
        if prompt_tokens > tier.start:
            value = tier.price
    return float(value or 0)


@functools.cache
def _list_date() -> date:
    """Return the date of the newest price in the list, since the package names none. Changes announced for later are skipped."""
    from genai_prices.data_snapshot import get_snapshot
    from genai_prices.types import StartDateConstraint

    today = datetime.now(UTC).date()
    dates: list[date] = []
    for provider in get_snapshot().providers:
        for model in provider.models:
            dated = [*(model.prices if isinstance(model.prices, list) else ()), *(model.price_variants or ())]
            dates += [each.constraint.start_date for each in dated if isinstance(each.constraint, StartDateConstraint)]
    return max(each for each in dates if each <= today)
