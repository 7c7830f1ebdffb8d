"""The prices of requests through a provider's Batch API."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from batch.providers.prices import price_of
from batch.settings import Variant
from batch.settings.prices import Price, TokenPrices


def batch_price(variant: Variant, now: datetime) -> Price | None:
    """Return what a variant's requests cost through its provider's Batch API; None is unknown.

    The list price for batches, where there is one. Else the live price, the job's own or the list's, by the share that the provider states.
    """
    api = variant.provider.batch
    if api is None:
        return None
    if (listed := price_of(variant, now, batch=True)) is not None:
        return listed
    live = price_of(variant, now)
    return None if live is None else _shared(live, api.price_share)


def _shared(price: Price, share: float) -> Price:
    if share == 1.0:
        return price

    def rates(of: TokenPrices) -> TokenPrices:
        return TokenPrices(
            input=of.input * share, output=of.output * share, cached_input=of.cached_input * share, cache_write=of.cache_write * share
        )

    above = tuple((start, rates(higher)) for start, higher in price.above)
    return replace(price, rates=rates(price.rates), above=above, per_request=price.per_request * share)
