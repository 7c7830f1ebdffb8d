"""Compute the numbers of a score table: standings, pairs, slices. The verdict puts them into words, the report into charts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from batch.evaluation.statistics.intervals import Codes, Floats
from batch.evaluation.statistics.paired import Pair, compare_all, holm, with_correction
from batch.evaluation.statistics.passes import PassRate, pass_rates
from batch.evaluation.statistics.scores import Summary, cluster_codes, pass_at_k, pass_hat_k, probability_best, row_scores, summarise
from batch.evaluation.statistics.slices import Slice, find_slices
from batch.evaluation.table import ScoreTable
from batch.records import BeatenVariant

ALPHA = 0.05
"""The chance of any false finding among all pairs."""

GAP = 0.02
"""The gap that sentences on needed rows speak of, unless another is asked for."""


@dataclass(frozen=True, slots=True)
class Cost:
    """US dollars; None where a price is unknown (or, per correct answer, where there is none).

    `per_1000_rows` is for asking each row once, `per_correct` divides by the strict sum of scores.
    """

    total: float | None
    per_1000_rows: float | None
    per_correct: float | None


@dataclass(frozen=True, slots=True)
class Standing:
    """One variant's place in the leaderboard.

    Its true rank is from `rank_best` (1 + the number of separably better variants) to `rank_worst` (all less the separably worse),
    so that inseparable variants share ranks. Both are None for a variant that was not compared (stopped by the race, or without a
    finished task).
    `top` says that no other is separably better. `probability_best` is by bootstrap over the compared variants.
    `failures` are counts by code, most first. With k = the number of repeats, `pass_at_k` is the chance that any of k tries is right,
    and `pass_hat_k` that all are; None for rows asked once and for graded scores. `passes` has smaller k too, with intervals.
    """

    summary: Summary
    rank_best: int | None
    rank_worst: int | None
    top: bool
    probability_best: float | None
    cost: Cost
    failures: tuple[tuple[str, int], ...]
    stop: BeatenVariant | None
    pass_at_k: float | None
    pass_hat_k: float | None
    passes: tuple[PassRate, ...] = ()

    @property
    def variant(self) -> str:
        """The variant's name."""
        return self.summary.variant


@dataclass(frozen=True, slots=True)
class Findings:
    """All numbers of one scorer. `standings` have the highest strict score first, `pairs` the higher one first; `slices` the worst first.

    `tests` is how many comparisons p is corrected for: the pairs, or those of several scores together.
    `rows` and `clusters` (None: not clustered) are the table's counts; `gap` is the true difference that the pairs' `rows_for_gap` assumes.
    """

    scorer: str
    binary: bool
    rows: int
    repeats: int
    clusters: int | None
    alpha: float
    gap: float
    standings: tuple[Standing, ...]
    pairs: tuple[Pair, ...]
    slices: tuple[Slice, ...]
    tests: int = 0

    @property
    def top(self) -> tuple[Standing, ...]:
        """The winner, or the variants that tie at the top: none is separably better than any of them."""
        return tuple(standing for standing in self.standings if standing.top)


@dataclass(frozen=True, slots=True)
class FindOptions:
    """The inputs of findings besides a table.

    `costs` are US dollars for all of a variant's finished tasks; `failures` counts by error code; `columns` are the input's columns to
    slice by, one value per row. Variants in `stops` are not compared: a fixed-size test after an early stop would be too sure.
    """

    costs: Mapping[str, float | None] = field(default_factory=dict)
    failures: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    columns: Mapping[str, Sequence[str | None]] = field(default_factory=dict)
    stops: Sequence[BeatenVariant] = ()
    gap: float = GAP
    seed: int = 0


def find(table: ScoreTable, options: FindOptions) -> Findings:
    """Compute all findings of the table; the same table and seed give the same findings."""
    clusters = cluster_codes(table)
    plain = table.binary and table.repeats == 1
    strict = row_scores(table).strict
    stopped = {stop.variant for stop in options.stops}
    summaries = summarise(table, level=1 - ALPHA)
    # Rounded, so that equal scores keep the job's order on every machine.
    order = sorted(range(len(summaries)), key=lambda at: round(-_score(summaries[at]), 12))
    compared = [at for at in order if summaries[at].strict is not None and summaries[at].variant not in stopped]
    rng = np.random.default_rng(options.seed)
    names = [table.variants[at] for at in compared]
    pairs = compare_all(names, strict[compared], clusters, plain=plain, alpha=ALPHA, gap=options.gap, rng=rng)
    best = _probabilities(names, strict[compared], clusters, rng)
    ranks = {name: _ranks(name, pairs, len(names)) for name in names}
    standings = _standings(table, [*compared, *(at for at in order if at not in compared)], summaries, ranks, best, options)
    return Findings(
        scorer=table.scorer,
        binary=table.binary,
        rows=len(table.row_ids),
        repeats=table.repeats,
        clusters=None if clusters is None else int(clusters.max(initial=-1)) + 1,
        alpha=ALPHA,
        gap=options.gap,
        standings=tuple(standings),
        pairs=pairs,
        slices=find_slices(table.variants, strict, options.columns, clusters, plain=plain),
        tests=len(pairs),
    )


def corrected_together(found: Sequence[Findings]) -> list[Findings]:
    """Correct p over the pairs of all findings as one family (Holm), and rank the variants by it."""
    corrected = iter(holm(np.array([pair.p for findings in found for pair in findings.pairs])).tolist())
    tests = sum(len(findings.pairs) for findings in found)
    return [_with_pairs(one, tuple(with_correction(pair, next(corrected), one.alpha) for pair in one.pairs), tests) for one in found]


def _with_pairs(findings: Findings, pairs: tuple[Pair, ...], tests: int) -> Findings:
    compared = [one.variant for one in findings.standings if one.rank_best is not None]
    ranks = {name: _ranks(name, pairs, len(compared)) for name in compared}
    standings = []
    for one in findings.standings:
        best, worst = ranks.get(one.variant, (None, None))
        standings.append(replace(one, rank_best=best, rank_worst=worst, top=best == 1))
    return replace(findings, pairs=pairs, standings=tuple(standings), tests=tests)


def _standings(
    table: ScoreTable,
    order: Sequence[int],
    summaries: Sequence[Summary],
    ranks: Mapping[str, tuple[int, int]],
    best: Mapping[str, float],
    options: FindOptions,
) -> Iterator[Standing]:
    any_right, all_right = _passes(table)
    rates = pass_rates(table, 1 - ALPHA)
    stopped = {stop.variant: stop for stop in options.stops}
    for at in order:
        name = table.variants[at]
        cost = _cost(summaries[at], options.costs.get(name), float(np.nansum(table.values[at])))
        codes = tuple(sorted(options.failures.get(name, {}).items(), key=lambda item: (-item[1], item[0])))
        first, last = ranks.get(name, (None, None))
        passes = any_right[at], all_right[at], rates[at]
        yield Standing(summaries[at], first, last, first == 1, best.get(name), cost, codes, stopped.get(name), *passes)


def _passes(table: ScoreTable) -> tuple[Sequence[float | None], Sequence[float | None]]:
    if not table.binary or table.repeats == 1:
        none = [None] * len(table.variants)
        return none, none
    return pass_at_k(table, table.repeats), pass_hat_k(table, table.repeats)


def _score(summary: Summary) -> float:
    return -1.0 if summary.strict is None else summary.strict.estimate


def _probabilities(names: Sequence[str], strict: Floats, clusters: Codes | None, rng: np.random.Generator) -> dict[str, float]:
    if len(names) < 2:
        return {}
    shares = probability_best(strict, clusters, rng)
    return {name: float(share) for name, share in zip(names, shares, strict=True) if not np.isnan(share)}


def _ranks(name: str, pairs: Sequence[Pair], compared: int) -> tuple[int, int]:
    better = worse = 0
    for pair in pairs:
        if pair.separable and name in (pair.first, pair.second):
            won = (pair.difference.estimate > 0) == (pair.first == name)
            worse, better = (worse + 1, better) if won else (worse, better + 1)
    return 1 + better, compared - worse


def _cost(summary: Summary, usd: float | None, right: float) -> Cost:
    finished = summary.counts.finished
    if usd is None or not finished:
        return Cost(usd, None, None)
    return Cost(usd, usd / finished * 1000, usd / right if right else None)
