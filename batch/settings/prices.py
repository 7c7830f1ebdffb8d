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
    most tokens that the model takes, where that is known.
    """

    rates: TokenPrices
    above: tuple[tuple[int, TokenPrices], ...] = ()
    per_request: float = 0.0
    source: str = "the job file"
    context: int | None = None
