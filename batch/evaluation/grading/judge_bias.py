"""Test whether a judge favours long answers, a place in the pair, or its own model family, from counts gathered row by row."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from batch.evaluation.formatting import chance, points
from batch.evaluation.statistics.distributions import fair_coin_tail, t_tail

ALPHA = 0.05
FEWEST = 10
"""With fewer observations nothing is said of a bias."""


@dataclass(frozen=True, slots=True)
class JudgeBias:
    """Evidence of a judge's biases; None or 0 where there is none.

    `length` is Spearman's correlation of ratings with the lengths of answers, with its `length_p`. Of decided pairs whose answers differ in
    length, `longer` of `unequal` went to the longer one. Of pairs whose orders disagree, `shown_first` of `flips` went twice to the answer
    that was shown first. `own` is by how much more the judge's ratings exceed people's labels for its own family than for others, with
    its `own_p`.
    """

    length: float | None = None
    length_p: float = 1.0
    longer: int = 0
    unequal: int = 0
    shown_first: int = 0
    flips: int = 0
    own: float | None = None
    own_p: float = 1.0

    @classmethod
    def from_document(cls, document: Mapping[str, Any] | None) -> JudgeBias:
        """Read the stored document; None gives an empty one."""
        return cls(**document) if document else cls()

    def sentences(self) -> Iterator[str]:
        """Say which biases the data show, and which of those that could be seen they do not."""
        if self.length is not None:
            if self.length_p > ALPHA:
                yield f"Ratings do not go with the length of answers (Spearman {self.length:+z.2f}, {chance(self.length_p)})."
            else:
                which = "Longer" if self.length > 0 else "Shorter"
                text = f"{which} answers got higher ratings (Spearman {self.length:+z.2f}, {chance(self.length_p)})"
                yield f"{text}: they may be better, or the judge may favour them; look at samples."
        if self.unequal >= FEWEST:
            yield from _of_pairs(self.longer, self.unequal, "of the decided pairs went to the longer answer", "length")
        if self.flips >= FEWEST:
            yield from _of_pairs(self.shown_first, self.flips, "of the pairs whose orders disagree went to the answer shown first", "place")
        if self.own is not None:
            shown = f"{points(self.own)} pt more generous to its own family than to others, measured on labels ({chance(self.own_p)})"
            yield f"The judge is {shown}{'.' if self.own_p <= ALPHA else ': no self-preference is shown.'}"


def _of_pairs(count: int, total: int, what: str, about: str) -> Iterator[str]:
    p = min(1.0, 2 * fair_coin_tail(min(count, total - count), total))
    verdict = f"the judge favours one by its {about}, or {about} goes with quality" if p <= ALPHA else f"no preference by {about} is shown"
    if about == "place" and p <= ALPHA:
        verdict = "the judge favours a place"
    yield f"{count:,} of {total:,} {what} ({chance(p)}): {verdict}."


@dataclass(slots=True)
class BiasCounter:
    """Gathers the evidence for `JudgeBias`, with two numbers a rating in memory. `own` are the variants of the judge's family."""

    own: Sequence[str] = ()
    lengths: list[int] = field(default_factory=list)
    ratings: list[float] = field(default_factory=list)
    longer: int = 0
    unequal: int = 0
    shown_first: int = 0
    flips: int = 0

    def add_rating(self, text: str, rating: float) -> None:
        """Count one rated answer."""
        self.lengths.append(len(text))
        self.ratings.append(rating)

    def add_pair(self, texts: Sequence[str], winner: int | None, flipped_to: int | None) -> None:
        """Count one pair that needed calls: the place of the winner, or the place that both orders preferred."""
        if flipped_to is not None:
            self.flips += 1
            self.shown_first += flipped_to == 0
        # Only decided pairs: a flip shows a preference for a place, and a tie none.
        elif winner is not None and len(texts[0]) != len(texts[1]):
            self.unequal += 1
            self.longer += len(texts[winner]) > len(texts[1 - winner])

    def found(self, generosity: Mapping[str, Sequence[float]] | None = None) -> JudgeBias:
        """Return the statistics; `generosity` is the judge's ratings minus people's labels, by variant."""
        length, length_p = spearman(self.lengths, self.ratings)
        own, own_p = _self_preference(generosity or {}, self.own)
        return JudgeBias(length, length_p, self.longer, self.unequal, self.shown_first, self.flips, own, own_p)


def spearman(first: Sequence[float], second: Sequence[float]) -> tuple[float | None, float]:
    """Compute Spearman's rank correlation with its two-sided p by Student's t (Zar 1972, JASA 67:578); None for few or constant values."""
    if len(first) < FEWEST:
        return None, 1.0
    ranks = [_ranks(np.asarray(values, dtype=np.float64)) for values in (first, second)]
    # The correlation with a constant is undefined.
    if any(np.ptp(each) == 0 for each in ranks):
        return None, 1.0
    rho = float(np.corrcoef(np.stack(ranks))[0, 1])
    # The formula of t below would divide by zero.
    if abs(rho) >= 1 - 1e-12:
        return math.copysign(1.0, rho), 0.0
    freedom = len(first) - 2
    return rho, min(1.0, 2 * t_tail(abs(rho) * math.sqrt(freedom / (1 - rho * rho)), freedom))


def _ranks(values: np.ndarray[Any, np.dtype[np.float64]]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Rank values from 1; equal values share their mean rank."""
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    ranks: np.ndarray[Any, np.dtype[np.float64]] = (ends - (counts - 1) / 2)[places]
    return ranks


def _self_preference(generosity: Mapping[str, Sequence[float]], own: Sequence[str]) -> tuple[float | None, float]:
    """Compute the difference of mean generosity, own family minus others, with Welch's t test (1947, Biometrika 34:28)."""
    groups = [np.array([each for name, values in generosity.items() if (name in own) is mine for each in values]) for mine in (True, False)]
    if any(len(group) < FEWEST for group in groups):
        return None, 1.0
    difference = float(groups[0].mean() - groups[1].mean())
    shares = [float(np.var(group, ddof=1)) / len(group) for group in groups]
    error = sum(shares)
    # Both groups are constant, and t is undefined.
    if error == 0:
        return difference, 1.0 if difference == 0 else 0.0
    freedom = error**2 / sum(share**2 / (len(group) - 1) for share, group in zip(shares, groups, strict=True))
    return difference, min(1.0, 2 * t_tail(abs(difference) / math.sqrt(error), freedom))
