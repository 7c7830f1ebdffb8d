"""Write the verdict. Each sentence claims no more than its numbers in `findings` support; inseparable variants are never ranked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from batch.evaluation.findings import Findings, FindOptions, Standing, corrected_together, find
from batch.evaluation.formatting import (
    about,
    corrected_chance,
    dollars,
    listed,
    percent,
    percent_interval,
    points,
    points_interval,
    ranging,
)
from batch.evaluation.grading.call_stats import CallStats
from batch.evaluation.reading import Evaluation
from batch.evaluation.sentences import MOST_ALIKE, Sentence, side_sentences
from batch.evaluation.statistics.effects import Levels, MainEffect, main_effects
from batch.evaluation.statistics.paired import Pair
from batch.evaluation.table import ScoreTable
from batch.records import BeatenVariant

MOST_NAMED = 4
"""With more at the top, the headline names the first and the last of them."""


@dataclass(frozen=True, slots=True)
class ScoreVerdict:
    """The findings and their meaning, the most important sentence first; `effects` are those of a sweep's factors."""

    findings: Findings
    sentences: tuple[Sentence, ...]
    effects: tuple[MainEffect, ...] = ()

    @property
    def headline(self) -> str:
        """Return the first sentence: the winner, or the variants that tie at the top."""
        return self.sentences[0].text

    @property
    def winner(self) -> str | None:
        """The variant that is separably better than every other compared one; None when there is none."""
        top, compared = self.findings.top, [one for one in self.findings.standings if one.rank_best is not None]
        alone = len(top) == 1 and len(compared) > 1 and top[0].rank_worst == 1
        return top[0].variant if alone else None


@dataclass(frozen=True, slots=True)
class ScoreFamily:
    """The comparisons of all scores: their number, and whether p is corrected over all of them `together` or for each score alone."""

    scores: int
    tests: int
    together: bool


def reach_verdicts(tables: Sequence[tuple[ScoreTable, Mapping[str, Any]]], *, together: bool = False) -> list[ScoreVerdict]:
    """Reach the verdicts on several tables, each with the keywords of `reach_verdict`. Holm's family is one score, or all `together`."""
    found = [find(table, _find_options(options)) for table, options in tables]
    family = ScoreFamily(len(found), sum(len(findings.pairs) for findings in found), together)
    if together and len(found) > 1:
        found = corrected_together(found)
    return [_verdict(findings, table, options, family) for findings, (table, options) in zip(found, tables, strict=True)]


def verdicts_of(
    evaluation: Evaluation, *, stops: Sequence[BeatenVariant] = (), levels: Sequence[Levels] = (), together: bool = False
) -> list[ScoreVerdict]:
    """Reach the verdicts on all scores of an evaluation. `stops` are those of a race, `levels` those of a sweep by variant."""
    more = {"stops": stops, "levels": levels}
    options = [(judged.table, {"asked": judged.asked, **evaluation.find_options(judged), **more}) for judged in evaluation.scores]
    return reach_verdicts(options, together=together)


def _find_options(options: Mapping[str, Any]) -> FindOptions:
    return FindOptions(**{key: value for key, value in options.items() if key not in {"asked", "levels"}})


def reach_verdict(table: ScoreTable, *, asked: CallStats | None = None, **options: Any) -> ScoreVerdict:
    """Reach the verdict on one scorer's table. `asked` is the grading model's statistics; the options are those of `FindOptions`."""
    return _verdict(find(table, FindOptions(**options)), table, {"asked": asked}, None)


def _verdict(findings: Findings, table: ScoreTable, options: Mapping[str, Any], family: ScoreFamily | None) -> ScoreVerdict:
    asked: CallStats | None = options.get("asked")
    # A test of fixed size after an early stop would be too sure.
    stopped = {stop.variant for stop in options.get("stops", ())}
    effects = main_effects(table, options.get("levels") or (), without=stopped, alpha=findings.alpha, gap=findings.gap)
    judged = asked is not None and asked.kind != "embedder"
    sentences = (
        _headline(findings),
        *_pairs(findings),
        *_effects(effects),
        *side_sentences(findings, judged=judged),
        *_family(findings, family),
    )
    if asked is None:
        return ScoreVerdict(findings, sentences, effects)
    said = [Sentence(asked.kind, *each) for each in asked.sentences(table.variants, dollars(asked.cost_usd))]
    return ScoreVerdict(findings, (*sentences, *said), effects)


def factor_name(effect: MainEffect) -> str:
    """Return the factor, with those whose effects cannot be separated from its own."""
    return f"{effect.factor} (with {listed(effect.also)})" if effect.also else effect.factor


def _effects(effects: Sequence[MainEffect]) -> Iterator[Sentence]:
    """Describe what each factor of a sweep changes, all else being equal: its clear effects, or that there are none."""
    for factor in dict.fromkeys(effect.factor for effect in effects):
        own = [effect for effect in effects if effect.factor == factor]
        named = factor_name(own[0])
        clear = [effect for effect in own if effect.pair.separable]
        for effect in clear[:MOST_ALIKE]:
            pair = effect.pair
            over = f"over {effect.matched:,} matched {'pair' if effect.matched == 1 else 'pairs'} of variants"
            certainty = corrected_chance(pair.p_holm, len(own))
            # A prompt without a name of its own is called "prompt 2 (of …)".
            subject = pair.first if pair.first.startswith(f"{named} ") else f"{named} {pair.first}"
            yield Sentence("effect", f"{subject} against {pair.second}: {_difference(pair, pair.first)} {over} ({certainty}).")
        if len(clear) > MOST_ALIKE:
            yield Sentence("effect", f"{len(clear) - MOST_ALIKE:,} more differences between values of {named} are clear: --json has all.")
        if not clear:
            widest = max(own, key=lambda effect: abs(effect.pair.difference.estimate)).pair
            largest = f"{widest.first} against {widest.second}: {_difference(widest, widest.first)}"
            yield Sentence("effect", f"No effect of {named} is shown (the largest: {largest}).")


def _family(findings: Findings, family: ScoreFamily | None) -> Iterator[Sentence]:
    """Say over which comparisons p is corrected, where several scores leave a choice."""
    if family is None or family.scores < 2 or not findings.pairs:
        return
    every = f"all {family.tests:,} comparisons of the {family.scores} scores"
    if family.together:
        yield Sentence("rows", f"p is corrected over {every} (Holm).")
    else:
        own = len(findings.pairs)
        yield Sentence("rows", f"p is corrected over {own:,} of {every}: those of this score; --family all corrects over all of them.")


def _headline(findings: Findings) -> Sentence:
    top = findings.top
    if not top:
        return Sentence("tie", "No variant has a finished task: there is nothing to compare.")
    compared = sum(one.rank_best is not None for one in findings.standings)
    if len(top) > 1:
        return _tie(top, compared)
    (best,) = top
    if compared == 1:
        return Sentence("winner", f"{best.variant} scores {_score(best)}; there is nothing to compare it with.", (best.variant,))
    beaten = [pair for pair in findings.pairs if best.variant in (pair.first, pair.second)]
    unsure = [_other(pair, best.variant) for pair in beaten if not pair.separable]
    if unsure:
        text = (
            f"{best.variant} is the only variant that no other beats, with {_score(best)}, but it is not separable from {listed(unsure)}."
        )
        return Sentence("tie", text, (best.variant, *unsure))
    next_best = beaten[0]
    resampled = "" if best.probability_best is None else f"; best in {percent(best.probability_best)} of resamples"
    lead = f"{_difference(next_best, best.variant)} ahead of {_other(next_best, best.variant)}"
    text = f"{best.variant} wins with {_score(best)}: {lead} ({corrected_chance(next_best.p_holm, findings.tests)}{resampled})."
    return Sentence("winner", text, (best.variant, _other(next_best, best.variant)))


def _tie(top: Sequence[Standing], compared: int) -> Sentence:
    if len(top) <= MOST_NAMED:
        text = f"{listed([f'{one.variant} with {_score(one)}' for one in top])} cannot be separated at the top."
        return Sentence("tie", text, tuple(one.variant for one in top))
    which = f"All {compared} variants" if len(top) == compared else f"{len(top)} of {compared} variants"
    first, last = top[0], top[-1]
    text = f"{which} cannot be separated at the top, from {first.variant} with {_score(first)} to {last.variant} with {_score(last)}."
    return Sentence("tie", text, (first.variant, last.variant))


def _score(standing: Standing) -> str:
    interval = standing.summary.strict
    return "no score" if interval is None else percent_interval(interval)


def _other(pair: Pair, name: str) -> str:
    return pair.second if pair.first == name else pair.first


def _difference(pair: Pair, name: str) -> str:
    """Format the difference from `name`'s side: "+0.4 pt [-0.6, +1.4]"."""
    one = pair.difference
    estimate, low, high = (one.estimate, one.low, one.high) if pair.first == name else (-one.estimate, -one.high, -one.low)
    return points_interval(estimate, low, high)


def _pairs(findings: Findings) -> Iterator[Sentence]:
    """Describe the first of the top against all others; lower variants are compared with it as well."""
    if not findings.top:
        return
    leader = findings.top[0].variant
    against = [pair for pair in findings.pairs if leader in (pair.first, pair.second)]
    undecided = [pair for pair in against if not pair.separable]
    for pair in undecided[:MOST_ALIKE]:
        other = _other(pair, leader)
        yield Sentence("pair", f"{leader} and {other} are not separable: {_undecided(pair, leader, findings)}.", (leader, other))
    if rest := tuple(_other(pair, leader) for pair in undecided[MOST_ALIKE:]):
        yield Sentence("pair", f"Nor is {leader} separable from {listed(rest)}.", (leader, *rest))
    # The headline already states the winner's lead over the next.
    skipped = 1 if findings.top[0].rank_worst == 1 else 0
    yield from _behind([pair for pair in against if pair.separable][skipped:], leader, findings)


def _behind(pairs: Sequence[Pair], leader: str, findings: Findings) -> Iterator[Sentence]:
    if len(pairs) <= MOST_ALIKE:
        for pair in pairs:
            other = _other(pair, leader)
            text = f"{other} is behind {leader}: {_difference(pair, other)} ({corrected_chance(pair.p_holm, findings.tests)})."
            yield Sentence("behind", text, (other, leader))
        return
    others = tuple(_other(pair, leader) for pair in pairs)
    gaps = sorted(abs(pair.difference.estimate) for pair in pairs)
    by = ranging(points(gaps[0]).lstrip("+"), points(gaps[-1]).lstrip("+"))
    worst = max(pair.p_holm for pair in pairs)
    at_most = "each p < 0.001" if worst < 0.001 else f"p up to {worst:z.3f}"
    text = f"{listed(others)} are behind {leader}, by {by} pt ({at_most}, corrected for {findings.tests} comparisons)."
    yield Sentence("behind", text, (*others, leader))


def _undecided(pair: Pair, leader: str, findings: Findings) -> str:
    if pair.difference.rows == 0:
        return "they have no row in common"
    text = _difference(pair, leader)
    if pair.difference.rows < findings.rows:
        text += f" on the {pair.difference.rows:,} rows that both have"
    if not pair.difference.low <= 0 <= pair.difference.high and findings.tests > 1:
        text += f", which is not enough when {findings.tests} pairs are compared"
    if pair.difference.rows < pair.rows_for_gap:
        return f"{text}; a {100 * findings.gap:g}-pt gap needs {about(pair.rows_for_gap)} rows"
    return f"{text}; a gap of {100 * findings.gap:g} pt would most likely have been seen in these rows"
