"""The verdict in words. Each sentence says no more than its numbers in `findings` allow; equals are never ranked apart."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from batch.evaluation.call_facts import CallFacts
from batch.evaluation.findings import Findings, Standing, find
from batch.evaluation.statistics.marks import ANSWERED_FROM
from batch.evaluation.statistics.paired import Pair
from batch.evaluation.statistics.slices import Slice
from batch.evaluation.table import ScoreTable

Kind = Literal["winner", "tie", "pair", "behind", "race", "coverage", "failure", "cost", "slice", "noise", "rows", "judge", "embedder"]

MOST_SLICES = 5


@dataclass(frozen=True, slots=True)
class Sentence:
    """One statement for people, what it is about, and which variants it names."""

    kind: Kind
    text: str
    variants: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Verdict:
    """The findings and what they mean, the most important sentence first."""

    findings: Findings
    sentences: tuple[Sentence, ...]

    @property
    def headline(self) -> str:
        """The first sentence: the winner, or who ties at the top."""
        return self.sentences[0].text

    @property
    def winner(self) -> str | None:
        """The one variant that is separably better than each other one that was compared; None when there is no such one."""
        top, compared = self.findings.top, [one for one in self.findings.standings if one.rank_best is not None]
        alone = len(top) == 1 and len(compared) > 1 and top[0].rank_worst == 1
        return top[0].variant if alone else None


def reach_verdict(table: ScoreTable, *, asked: CallFacts | None = None, **options: Any) -> Verdict:
    """The verdict on one scorer's table, with what is to be known of the model `asked` for marks; the options are `findings.find`'s."""
    findings = find(table, **options)
    if asked is None:
        return Verdict(findings, tuple(_sentences(findings)))
    told = asked.sentences(table.variants, dollars(asked.cost_usd))
    return Verdict(findings, (*_sentences(findings), *(Sentence(asked.kind, *each) for each in told)))


def percent(share: float) -> str:
    """A score or share for people: 0.8734 → "87.3 %"."""
    return f"{100 * share:.1f} %"


def points(difference: float) -> str:
    """A difference of scores in percentage points, signed: 0.004 → "+0.4"; never "-0.0"."""
    return f"{round(100 * difference, 1) + 0.0:+.1f}"


def about(count: int) -> str:
    """A count that is an estimate, to two digits: 3874 → "about 3,900"."""
    digits = max(0, len(str(count)) - 2)
    return f"about {round(count, -digits):,}"


def dollars(amount: float | None) -> str:
    """US dollars with at least two significant digits; "unknown" when not known."""
    if amount is None:
        return "unknown"
    return f"${amount:,.2f}" if amount >= 0.995 or amount == 0 else f"${amount:.{1 - math.floor(math.log10(amount))}f}"


def listed(names: Sequence[str]) -> str:
    """Names for people: "A, B and C"."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _sentences(findings: Findings) -> Iterator[Sentence]:
    yield _headline(findings)
    yield from _pairs(findings)
    for one in findings.standings:
        yield from _of_variant(one)
    yield from _costs(findings)
    yield from _slices(findings)
    yield from _rows(findings)


def _headline(findings: Findings) -> Sentence:
    top = findings.top
    if not top:
        return Sentence("tie", "No variant has a finished task: there is nothing to compare.")
    names = tuple(one.variant for one in top)
    compared = sum(one.rank_best is not None for one in findings.standings)
    if len(top) > 1:
        which = f"All {compared} variants" if len(top) == compared > 2 else listed(names)
        scores = "; ".join(f"{one.variant} {_score(one)}" for one in top)
        return Sentence("tie", f"{which} cannot be separated at the top: {scores}.", names)
    (best,) = top
    if compared == 1:
        return Sentence("winner", f"{best.variant} scores {_score(best)}; there is nothing to compare it with.", names)
    beaten = [pair for pair in findings.pairs if best.variant in (pair.first, pair.second)]
    unsure = [_other(pair, best.variant) for pair in beaten if not pair.separable]
    if unsure:
        text = f"{best.variant} is the only one that nobody beats, with {_score(best)}, but it is not separable from {listed(unsure)}."
        return Sentence("tie", text, (*names, *unsure))
    next_best = beaten[0]
    chance = "" if best.probability_best is None else f"; best in {percent(best.probability_best)} of resamples"
    lead = f"{_difference(next_best, best.variant)} ahead of {_other(next_best, best.variant)}"
    return Sentence("winner", f"{best.variant} wins with {_score(best)}: {lead} ({_certainty(next_best, findings)}{chance}).", names)


def _score(standing: Standing) -> str:
    interval = standing.summary.strict
    if interval is None:
        return "no score"
    return f"{percent(interval.estimate)} [{100 * interval.low:.1f}, {100 * interval.high:.1f}]"


def _other(pair: Pair, name: str) -> str:
    return pair.second if pair.first == name else pair.first


def _difference(pair: Pair, name: str) -> str:
    """The difference from `name`'s side: "+0.4 pt [-0.6, +1.4]"."""
    one = pair.difference
    estimate, low, high = (one.estimate, one.low, one.high) if pair.first == name else (-one.estimate, -one.high, -one.low)
    return f"{points(estimate)} pt [{points(low)}, {points(high)}]"


def _certainty(pair: Pair, findings: Findings) -> str:
    shown = "p < 0.001" if pair.p_holm < 0.001 else f"p = {pair.p_holm:.3f}"
    count = len(findings.pairs)
    return shown if count == 1 else f"{shown}, corrected for {count} comparisons"


def _pairs(findings: Findings) -> Iterator[Sentence]:
    """The first of the top against all others; variants below are told against it as well."""
    if not findings.top:
        return
    leader = findings.top[0].variant
    against = [pair for pair in findings.pairs if leader in (pair.first, pair.second)]
    for pair in against:
        other = _other(pair, leader)
        if not pair.separable:
            yield Sentence("pair", f"{leader} and {other} are not separable: {_undecided(pair, leader, findings)}.", (leader, other))
        elif not (pair is against[0] and findings.top[0].rank_worst == 1):  # the headline has told that one
            yield Sentence(
                "behind", f"{other} is behind {leader}: {_difference(pair, other)} ({_certainty(pair, findings)}).", (other, leader)
            )


def _undecided(pair: Pair, leader: str, findings: Findings) -> str:
    if pair.difference.rows == 0:
        return "they have no row in common"
    text = _difference(pair, leader)
    if pair.difference.rows < findings.rows:
        text += f" on the {pair.difference.rows:,} rows that both have"
    if not pair.difference.low <= 0 <= pair.difference.high and len(findings.pairs) > 1:
        text += f", which is not enough when {len(findings.pairs)} pairs are compared"
    if pair.difference.rows < pair.rows_for_gap:
        return f"{text}; a {100 * findings.gap:g}-pt gap needs {about(pair.rows_for_gap)} rows"
    return f"{text}; a gap of {100 * findings.gap:g} pt would most likely have been seen in these rows"


def _of_variant(one: Standing) -> Iterator[Sentence]:
    name, counts = one.variant, one.summary.counts
    if one.stop is not None:
        stop = one.stop
        text = f"{name} was stopped by the race after {stop.after_rows:,} rows, beaten by {stop.beaten_by}; it is not ranked"
        yield Sentence("race", f"{text}.", (name, stop.beaten_by))
    if counts.failed or counts.unscored or counts.missing:
        yield Sentence("coverage", _coverage(one), (name,))
    if one.failures:
        causes = ", ".join(f"{code} {count:,}" for code, count in one.failures)
        yield Sentence("failure", f"{name}'s calls failed by: {causes}.", (name,))
    if one.summary.flips is not None:
        yield Sentence("noise", f"{name} got different marks for {percent(one.summary.flips)} of the rows it was asked again.", (name,))


def _coverage(one: Standing) -> str:
    counts, coverage = one.summary.counts, one.summary.coverage
    parts = []
    if counts.failed or counts.unscored:
        lost = f"{counts.failed:,} of {counts.finished:,} calls failed and {counts.unscored:,} answers could not be scored"
        parts.append(f"{lost}; they count as wrong (coverage {percent(coverage)}, they hide {100 * (1 - coverage):.1f} pt at most)")
        if coverage < ANSWERED_FROM:
            parts.append(f"that is too many for a score on the answered ones (shown from {100 * ANSWERED_FROM:g} % coverage)")
        elif one.summary.answered is not None:
            parts.append(f"{percent(one.summary.answered)} on the answered ones")
    if counts.missing:
        parts.append(f"{counts.missing:,} tasks are not done and in no figure")
    return f"{one.variant}: {'; '.join(parts)}."


def _costs(findings: Findings) -> Iterator[Sentence]:
    unit = "correct answer" if findings.binary else "full mark"
    unknown = []
    for one in findings.standings:
        if one.cost.per_1000_rows is None:
            unknown.append(one.variant)
            continue
        each = f"{dollars(one.cost.per_correct)} per {unit}" if one.cost.per_correct is not None else f"without a {unit}"
        yield Sentence("cost", f"{one.variant} costs {dollars(one.cost.per_1000_rows)} per 1,000 rows, {each}.", (one.variant,))
    if 0 < len(unknown) < len(findings.standings):  # where none is known, cost is no matter of this run
        yield Sentence("cost", f"The cost of {listed(unknown)} is unknown.", tuple(unknown))


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
    shown = "p < 0.001" if one.p_adjusted < 0.001 else f"p = {one.p_adjusted:.3f}"
    return f"{one.variant} is weaker where {where}: {scores} ({shown}, Benjamini-Hochberg over {looked_at:,} slices)."


def _rows(findings: Findings) -> Iterator[Sentence]:
    """What this many rows can show at all, from the undecided pair that they show worst."""
    undecided = [pair.smallest_gap for pair in findings.pairs if not pair.separable]
    if undecided:
        text = f"With these {findings.rows:,} rows a true gap of {100 * max(undecided):.1f} pt is found in four runs of five"
        yield Sentence("rows", f"{text}; smaller ones are missed more often.")
