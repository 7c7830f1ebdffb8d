"""Stop variants that can no longer win, by a test that stays valid when it is checked after every row.

For each ordered pair a gambler bets against "the first is at least as good as the second". With d = second - first from -1
to 1, the wealth prod(1 + bet d) is a martingale or shrinks under that claim, so it ever exceeds 1/alpha with chance alpha
at most (Ville's inequality). Bets are mixed over a fixed grid, which needs no tuning and does not depend on the order within a
batch. Source: Waudby-Smith & Ramdas 2024, JRSS B 86:1, sections 4 and 5 (betting; "diversified Kelly", appendix B).

The rows must come in random order, or in the input's order where that is as good as random; never in the order of arrival, for
what is answered fast is easier. A race is a value: `advance` gives the next one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from batch.evaluation.statistics.intervals import Floats
from batch.records import BeatenVariant

# More of them where bets are small: gaps between models are.
_BETS = np.array([0.01, 0.02, 0.04, 0.08, 0.15, 0.3, 0.5, 0.75, 0.95])


@dataclass(frozen=True, slots=True, eq=False)
class Race:
    """The state of a race: log wealth of shape (first, second, bets), for the bet that the second is better than the first.

    With chance 1 - `alpha` no variant is stopped by one that is no better than it.
    """

    variants: tuple[str, ...]
    alpha: float
    rows: int
    log_wealth: Floats
    stops: tuple[BeatenVariant, ...]

    @property
    def running(self) -> tuple[str, ...]:
        """The variants that are not stopped."""
        out = {stop.variant for stop in self.stops}
        return tuple(name for name in self.variants if name not in out)


def start_race(variants: tuple[str, ...], alpha: float = 0.05) -> Race:
    """Return a race before its first row."""
    return Race(variants, alpha, 0, np.zeros((len(variants), len(variants), len(_BETS))), ())


def advance(race: Race, scores: Floats) -> Race:
    """Update the race with more rows. `scores` has shape (variants, rows): strict scores from 0 to 1, each cluster averaged to one row.

    NaN where a variant has no score, as a stopped one has: pairs without both say nothing. Raises ValueError for scores out of 0..1.
    """
    if np.nanmin(scores, initial=0) < 0 or np.nanmax(scores, initial=0) > 1:
        raise ValueError("scores of a race must be from 0 to 1")
    lead = np.nan_to_num(scores[np.newaxis, :, :] - scores[:, np.newaxis, :])
    gained = np.stack([np.log1p(bet * lead).sum(axis=2) for bet in _BETS], axis=2)
    moved = replace(race, rows=race.rows + scores.shape[1], log_wealth=race.log_wealth + gained)
    return replace(moved, stops=race.stops + _new_stops(moved))


def _new_stops(race: Race) -> tuple[BeatenVariant, ...]:
    """Find the running variants against which the wealth has passed the threshold (Bonferroni over all ordered pairs)."""
    # Subtracted before exp: the wealth of a long race is beyond a double.
    peak = race.log_wealth.max(axis=2, keepdims=True)
    mixed = np.log(np.mean(np.exp(race.log_wealth - peak), axis=2)) + peak[:, :, 0]
    count = len(race.variants)
    threshold = math.log(max(1, count * (count - 1)) / race.alpha)
    stops = []
    for name in race.running:
        against = mixed[race.variants.index(name)]
        strongest = int(np.argmax(np.round(against, 9)))  # of equals the first, however log and exp round
        if against[strongest] >= threshold:
            stops.append(BeatenVariant(name, race.variants[strongest], race.rows, float(np.exp(min(against[strongest], 700.0)))))
    return tuple(stops)
