"""Compute the main effects of a sweep: the change by one factor, all else being equal, per row and over all matched variants."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from batch.evaluation.statistics.paired import Pair, PairedTest, compare_pairs
from batch.evaluation.statistics.scores import cluster_codes, row_scores
from batch.evaluation.table import ScoreTable

Levels = Mapping[str, str]
"""The level of each factor that a variant has, such as {"model": "p/m", "temperature": "0.7"}."""

FEWEST_VARIANTS = 4
UNSET = "unset"
"""The level of a variant that does not set the parameter."""


@dataclass(frozen=True, slots=True)
class MainEffect:
    """Two levels of a factor compared over `matched` pairs of variants that differ in nothing else; `pair.first` is the better level.

    p is corrected over all pairs of levels of this factor. `also` names the factors that each level of this one decides, such as a
    parameter that only one of the models has: their effects cannot be separated from this one's.
    """

    factor: str
    matched: int
    pair: Pair
    also: tuple[str, ...] = ()


def main_effects(
    table: ScoreTable, levels: Sequence[Levels], *, without: Collection[str] = (), alpha: float = 0.05, gap: float = 0.02
) -> tuple[MainEffect, ...]:
    """Compute the main effects of all factors with two or more levels; none for fewer than four variants or a single factor.

    `levels` are those of each variant, in the table's order; variants in `without` are not used. A row's difference is the mean over the
    matched pairs of variants, so that what makes a row hard, and all other factors, cancel; the test is that of pairs (`paired`).
    """
    used = [at for at, name in enumerate(table.variants) if levels and name not in without]
    levels = [levels[at] for at in used]
    factors = _factors(levels)
    if len(levels) < FEWEST_VARIANTS or len(factors) < 2:
        return ()
    strict, clusters = row_scores(table).strict[used], cluster_codes(table)
    rng = np.random.default_rng(0)
    found: list[MainEffect] = []
    for factor, also in factors.items():
        matched = _matched(levels, factor, {factor, *also})
        if not matched:
            continue
        names, differences = [], []
        for (one, other), pairs in matched.items():
            mean = np.mean([strict[left] - strict[right] for left, right in pairs], axis=0)
            # The better level first, as everywhere.
            turned = bool(np.nansum(mean) < 0)
            names.append((other, one) if turned else (one, other))
            differences.append(-mean if turned else mean)
        # Means of several differences are no single right/wrong answers.
        plain = table.binary and table.repeats == 1 and all(len(pairs) == 1 for pairs in matched.values())
        tested = compare_pairs(names, np.array(differences), clusters, PairedTest(alpha, gap, plain), rng)
        found += [MainEffect(factor, len(pairs), pair, also) for pairs, pair in zip(matched.values(), tested, strict=True)]
    return tuple(found)


def _factors(levels: Sequence[Levels]) -> dict[str, tuple[str, ...]]:
    """Return the factors with several levels, each with the later factors that it decides.

    A factor that another one decides has no effect of its own: no two variants differ in it alone.
    """
    varied = [name for name in dict.fromkeys(name for one in levels for name in one) if len({_level(one, name) for one in levels}) > 1]
    found: dict[str, list[str]] = {}
    for name in varied:
        decided = (factor for factor in found if _decides(levels, factor, name))
        if (by := next(decided, None)) is not None:
            found[by].append(name)
        else:
            found[name] = []
    return {factor: tuple(also) for factor, also in found.items()}


def _decides(levels: Sequence[Levels], factor: str, other: str) -> bool:
    return len({(_level(one, factor), _level(one, other)) for one in levels}) == len({_level(one, factor) for one in levels})


def _level(levels: Levels, factor: str) -> str:
    return levels.get(factor, UNSET)


def _matched(levels: Sequence[Levels], factor: str, tied: Collection[str]) -> dict[tuple[str, str], list[tuple[int, int]]]:
    """Match, for each two levels of a factor, the pairs of variants that have them and differ in `tied` factors only."""
    groups: dict[frozenset[tuple[str, str]], dict[str, int]] = defaultdict(dict)
    for at, one in enumerate(levels):
        groups[frozenset((name, level) for name, level in one.items() if name not in tied)][_level(one, factor)] = at
    matched: dict[tuple[str, str], list[tuple[int, int]]] = defaultdict(list)
    order = list(dict.fromkeys(_level(one, factor) for one in levels))
    for group in groups.values():
        for first, second in itertools.combinations([level for level in order if level in group], 2):
            matched[first, second].append((group[first], group[second]))
    return matched
