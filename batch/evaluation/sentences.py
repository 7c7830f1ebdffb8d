"""Write the sentences below the headline: coverage, failures, noise and cost of the variants, weak slices, and what the rows can show.

A sentence that is true of many variants is written once: people read only a few lines, and the tables have the rest.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from batch.evaluation.findings import Findings, Standing
from batch.evaluation.formatting import chance, dollars, listed, percent, percent_interval, ranging
from batch.evaluation.statistics.scores import ANSWERED_FROM
from batch.evaluation.statistics.slices import Slice

SentenceKind = Literal[
    "winner",
    "tie",
    "pair",
    "behind",
    "race",
    "coverage",
    "failure",
    "cost",
    "slice",
    "noise",
    "rows",
    "judge",
    "embedder",
    "panel",
    "effect",
    "tries",
]

MOST_SLICES = 5
MOST_ALIKE = 3
"""More sentences that differ in a name and a figure only become one."""


@dataclass(frozen=True, slots=True)
class Sentence:
    """One sentence for people, its topic, and the variants that it names."""

    kind: SentenceKind
    text: str
    variants: tuple[str, ...] = ()


def side_sentences(findings: Findings, *, judged: bool = False) -> Iterator[Sentence]:
    """Yield all sentences besides the headline and the pairs, the most important first. `judged`: unscored tasks lack a verdict."""
    for one in findings.standings:
        if one.stop is not None:
            text = f"{one.variant} was stopped by the race after {one.stop.after_rows:,} rows, beaten by {one.stop.beaten_by}"
            yield Sentence("race", f"{text}; it is not ranked.", (one.variant, one.stop.beaten_by))
    lost = [one for one in findings.standings if one.summary.counts.failed or one.summary.counts.unscored]
    # Two groups, since only the second one may show the score on the answered rows.
    yield from _coverage([one for one in lost if one.summary.coverage < ANSWERED_FROM])
    yield from _coverage([one for one in lost if one.summary.coverage >= ANSWERED_FROM])
    open_ones = [one for one in findings.standings if one.summary.counts.missing]
    yield from map(_without_verdict, open_ones) if judged else _missing(open_ones)
    yield from _failures([one for one in findings.standings if one.failures])
    yield from _noise([(one.summary.flips, one.variant) for one in findings.standings if one.summary.flips is not None])
    yield from _tries([one for one in findings.standings if one.passes])
    yield from _costs(findings)
    yield from _slices(findings)
    yield from _rows(findings)


def _names(standings: Sequence[Standing]) -> tuple[str, ...]:
    return tuple(one.variant for one in standings)


def _coverage(standings: Sequence[Standing]) -> Iterator[Sentence]:
    """Yield the counts of failed and unscored calls: a sentence per variant, or one for all when there are many."""
    if len(standings) <= MOST_ALIKE:
        for one in standings:
            yield Sentence("coverage", _coverage_of_one(one), (one.variant,))
        return
    counts = [one.summary.counts.failed + one.summary.counts.unscored for one in standings]
    least = min(one.summary.coverage for one in standings)
    calls = f"{ranging(f'{min(counts):,}', f'{max(counts):,}')} calls of each"
    text = f"{listed(_names(standings))}: {calls} failed or could not be scored; they count as wrong"
    text += f" (coverage {percent(least)} or more, they hide {100 * (1 - least):z.1f} pt at most)"
    few = f"; that is too many for a score on the answered ones (shown from {100 * ANSWERED_FROM:g} % coverage)"
    yield Sentence("coverage", f"{text}{few if least < ANSWERED_FROM else ''}.", _names(standings))


def _coverage_of_one(one: Standing) -> str:
    counts, coverage = one.summary.counts, one.summary.coverage
    lost = f"{counts.failed:,} of {counts.finished:,} calls failed and {counts.unscored:,} answers could not be scored"
    text = f"{one.variant}: {lost}; they count as wrong (coverage {percent(coverage)}, they hide {100 * (1 - coverage):z.1f} pt at most)"
    if coverage < ANSWERED_FROM:
        return f"{text}; that is too many for a score on the answered ones (shown from {100 * ANSWERED_FROM:g} % coverage)."
    return f"{text}; {percent(one.summary.answered)} on the answered ones." if one.summary.answered is not None else f"{text}."


def _missing(standings: Sequence[Standing]) -> Iterator[Sentence]:
    if len(standings) <= MOST_ALIKE:
        for one in standings:
            text = f"{one.variant}: {one.summary.counts.missing:,} tasks are not done and in no figure."
            yield Sentence("coverage", text, (one.variant,))
        return
    counts = [one.summary.counts.missing for one in standings]
    tasks = f"{ranging(f'{min(counts):,}', f'{max(counts):,}')} tasks of each are not done and in no figure"
    yield Sentence("coverage", f"{listed(_names(standings))}: {tasks}.", _names(standings))


def _without_verdict(one: Standing) -> Sentence:
    """Say how much of a variant the judge's mean covers: tasks without a verdict are not counted as wrong, but they are reported."""
    counts = one.summary.counts
    tasks = counts.finished + counts.missing
    share = f"{percent(counts.finished / tasks)} ({counts.finished:,} of {tasks:,})"
    return Sentence(
        "coverage", f"{one.variant}: its score is the mean over {share} of its tasks; the others have no verdict.", (one.variant,)
    )


def _failures(standings: Sequence[Standing]) -> Iterator[Sentence]:
    if len(standings) <= MOST_ALIKE:
        for one in standings:
            yield Sentence("failure", f"{one.variant}'s calls failed by: {_causes(Counter(dict(one.failures)))}.", (one.variant,))
        return
    causes = sum((Counter(dict(one.failures)) for one in standings), Counter[str]())
    yield Sentence("failure", f"Calls of {len(standings)} variants failed by: {_causes(causes)}.")


def _causes(counts: Counter[str]) -> str:
    return ", ".join(f"{code} {count:,}" for code, count in sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _noise(flips: Sequence[tuple[float, str]]) -> Iterator[Sentence]:
    if len(flips) <= MOST_ALIKE:
        for share, name in flips:
            yield Sentence("noise", f"{name} got different scores for {percent(share)} of the rows it was asked again.", (name,))
        return
    (least, steady), (most, noisy) = min(flips), max(flips)
    text = f"Asked again, {noisy} got different scores for {percent(most)} of the rows, the most of all, and {steady} for {percent(least)}"
    yield Sentence("noise", f"{text}, the least.", (noisy, steady))


def _tries(standings: Sequence[Standing]) -> Iterator[Sentence]:
    """Say how much more tries at a row improve the result, for variants few enough to be named."""
    for one in standings if len(standings) <= MOST_ALIKE else ():
        rates = [rate for rate in one.passes if rate.k in {1, one.passes[-1].k}]
        shown = [f"pass@{rate.k} {percent_interval(rate.any_right)}" for rate in rates]
        last = rates[-1]
        shown.append(f"pass^{last.k} {percent_interval(last.all_right)}")
        if last.majority is not None:
            shown.append(f"maj@{last.k} {percent_interval(last.majority)}")
        yield Sentence("tries", f"{one.variant}, of several tries at a row: {listed(shown)}.", (one.variant,))


def _costs(findings: Findings) -> Iterator[Sentence]:
    unit = "correct answer" if findings.binary else "full score"
    known = [one for one in findings.standings if one.cost.per_1000_rows is not None]
    if len(known) <= MOST_ALIKE:
        for one in known:
            each = f"{dollars(one.cost.per_correct)} per {unit}" if one.cost.per_correct is not None else f"without a {unit}"
            yield Sentence("cost", f"{one.variant} costs {dollars(one.cost.per_1000_rows)} per 1,000 rows, {each}.", (one.variant,))
    else:
        yield _cost_range("1,000 rows cost", [(one.cost.per_1000_rows or 0.0, one.variant) for one in known])
        paid = [(one.cost.per_correct, one.variant) for one in known if one.cost.per_correct is not None]
        if paid:
            yield _cost_range(f"A {unit} costs", paid)
    unknown = tuple(one.variant for one in findings.standings if one.cost.per_1000_rows is None and one.summary.counts.finished)
    if unknown and known:  # where none is known, cost is no matter of this run
        yield Sentence("cost", f"The cost of {listed(unknown)} is unknown.", unknown)


def _cost_range(what: str, costs: Sequence[tuple[float, str]]) -> Sentence:
    (least, cheap), (most, dear) = min(costs), max(costs)
    # Compared as printed: "$0.10 to $0.10" would be no range.
    if dollars(least) == dollars(most):
        return Sentence("cost", f"{what} {dollars(least)}.")
    return Sentence("cost", f"{what} {dollars(least)} ({cheap}) to {dollars(most)} ({dear}).", (cheap, dear))


def _slices(findings: Findings) -> Iterator[Sentence]:
    worse = [one for one in findings.slices if one.p_adjusted <= findings.alpha]
    for one in worse[:MOST_SLICES]:
        yield Sentence("slice", _slice(one, len(findings.slices)), (one.variant,))
    if len(worse) > MOST_SLICES:
        yield Sentence("slice", f"{len(worse) - MOST_SLICES} more slices are worse than the rest.")
    if findings.slices and not worse:
        yield Sentence("slice", f"No slice stands out as worse, of {len(findings.slices):,} looked at.")


def _slice(one: Slice, looked_at: int) -> str:
    where = f"{one.column} = {one.value}"
    scores = f"{percent(one.score)} of {one.rows:,} rows, {percent(one.elsewhere)} elsewhere"
    return f"{one.variant} is weaker where {where}: {scores} ({chance(one.p_adjusted)}, Benjamini-Hochberg over {looked_at:,} slices)."


def _rows(findings: Findings) -> Iterator[Sentence]:
    """Say what difference this number of rows can show at all, for the undecided pair that needs the most rows."""
    undecided = [pair.smallest_gap for pair in findings.pairs if not pair.separable]
    if undecided:
        text = f"With these {findings.rows:,} rows a true gap of {100 * max(undecided):z.1f} pt is found in four runs of five"
        yield Sentence("rows", f"{text}; smaller ones are missed more often.")
