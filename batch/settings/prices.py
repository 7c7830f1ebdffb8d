"""The prices of a model's requests."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenPrices:
    """US dollars for a million tokens of each kind; `input` is for those that are neither read from a cache nor written to one."""

    input: float
    output: float
    cached_input: float
    cache_write: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """What the requests of a model cost.

    `above` has other rates for requests with more prompt tokens than a threshold, in ascending order; they apply to all tokens of such a
    request. `per_request` is in US dollars. `source` says for people where the price is from, and of which date it is. `context` is the
    most tokens that the model takes, where that is known. `by_tier` has the prices of requests that another service tier has answered than
    the one that was asked for, by the tier's name in replies.
    """

    rates: TokenPrices
    above: tuple[tuple[int, TokenPrices], ...] = ()
    per_request: float = 0.0
    source: str = "the job file"
    context: int | None = None
    by_tier: tuple[tuple[str, Price], ...] = ()

    def at_tier(self, tier: str | None) -> Price:
        """Return the price of a request that `tier` has answered; None: the one that was asked for."""
        for name, price in self.by_tier:
            if name == tier:
                return price
        return self
