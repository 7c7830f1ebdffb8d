"""Compute the main effects of a sweep: the change by one factor, all else being equal, per row and over all matched variants."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from batch.evaluation.statistics.paired import Pair, PairedTest, compare_pairs
from batch.evaluation.statistics.scores import cluster_codes, row_scores
from batch.evaluation.table import ScoreTable

Levels = Mapping[str, str]
"""The level of each factor that a variant has, such as {"model": "p/m", "temperature": "0.7"}."""

FEWEST_VARIANTS = 4


@dataclass(frozen=True, slots=True)
class MainEffect:
    """Two levels of a factor compared over `matched` pairs of variants that differ in nothing else; `pair.first` is the better level.

    p is corrected over all pairs of levels of this factor.
    """

    factor: str
    matched: int
    pair: Pair


def main_effects(table: ScoreTable, levels: Sequence[Levels], *, alpha: float = 0.05, gap: float = 0.02) -> tuple[MainEffect, ...]:
    """Compute the main effects of all factors with two or more levels; none for fewer than four variants or a single factor.

    `levels` are those of each variant, in the table's order. A row's difference is the mean over the matched pairs of variants, so that
    what makes a row hard, and all other factors, cancel; the test is that of pairs (`paired`).
    """
    factors = [name for name in dict.fromkeys(name for one in levels for name in one) if len({one.get(name) for one in levels}) > 1]
    if len(levels) < FEWEST_VARIANTS or len(factors) < 2:
        return ()
    strict, clusters = row_scores(table).strict, cluster_codes(table)
    rng = np.random.default_rng(0)
    found: list[MainEffect] = []
    for factor in factors:
        matched = _matched(levels, factor)
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
        found += [MainEffect(factor, len(pairs), pair) for pairs, pair in zip(matched.values(), tested, strict=True)]
    return tuple(found)


def _matched(levels: Sequence[Levels], factor: str) -> dict[tuple[str, str], list[tuple[int, int]]]:
    """Match, for each two levels of a factor, the pairs of variants that have them and are otherwise equal."""
    groups: dict[frozenset[tuple[str, str]], dict[str, int]] = defaultdict(dict)
    for at, one in enumerate(levels):
        groups[frozenset((name, level) for name, level in one.items() if name != factor)][one.get(factor, "default")] = at
    matched: dict[tuple[str, str], list[tuple[int, int]]] = defaultdict(list)
    order = list(dict.fromkeys(one.get(factor, "default") for one in levels))
    for group in groups.values():
        for first, second in itertools.combinations([level for level in order if level in group], 2):
            matched[first, second].append((group[first], group[second]))
    return matched
