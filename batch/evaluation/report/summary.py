"""Show the summary: the gates, the verdict in words, and the leaderboard."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby

from batch.evaluation.findings import Findings, Standing
from batch.evaluation.formatting import dollars, percent, percent_limits
from batch.evaluation.gates import GateResult
from batch.evaluation.reading import ScoreResult, VariantStats
from batch.evaluation.report.charts import Scale, interval_strip, strip_axis, strip_scale
from batch.evaluation.report.formatting import UNKNOWN, column_help, known_columns, seconds, table, typeset, with_help
from batch.evaluation.report.markup import Content, Markup, joined, tag
from batch.evaluation.report.names import VariantLetters
from batch.evaluation.sentences import Sentence
from batch.evaluation.statistics.scores import ANSWERED_FROM
from batch.evaluation.verdict import ScoreVerdict

MOST_NAMES = 4
"""A sentence about more variants has their letters only."""

_IN_COLUMNS = frozenset({"coverage", "failure", "cost"})
"""What the leaderboard says in columns of its own, and the table of errors: sentences of it would be a wall."""

_GROUPS = {
    "pair": "Against the top",
    "behind": "Against the top",
    "effect": "What each setting changes",
    "race": "The race",
    "coverage": "Coverage",
    "failure": "Failures",
    "noise": "Asked again",
    "tries": "Asked again",
    "judge": "The judge",
    "panel": "The panel",
    "embedder": "The embeddings",
    "cost": "Cost",
    "slice": "Slices",
    "rows": "What the rows can show",
    "tie": "Verdict",
    "winner": "Verdict",
}


def headline_html(verdict: ScoreVerdict, gates: Sequence[GateResult], keys: VariantLetters) -> Markup:
    """Show the headline, and whether the score passes its gates."""
    headline = _keyed(verdict.sentences[0], lambda name: tag("b", keys.named(name)), class_="headline")
    return joined(headline, [_gate(gate) for gate in gates])


def sentences_html(verdict: ScoreVerdict, judged: ScoreResult, keys: VariantLetters) -> Markup:
    """Show the other sentences under their topics; empty when there are none."""
    rest = sorted(
        (one for one in verdict.sentences[1:] if one.kind not in _IN_COLUMNS),
        key=lambda sentence: list(_GROUPS.values()).index(_GROUPS[sentence.kind]),
    )
    groups = [
        (name, [_sentence(one, keys) for one in sentences]) for name, sentences in groupby(rest, lambda sentence: _GROUPS[sentence.kind])
    ]
    if judged.left_out:
        reason = f" (for example: {judged.left_out_example})" if judged.left_out_example else ""
        groups.append(("Excluded rows", [tag("p", f"{judged.left_out:,} rows have no right value{reason}.")]))
    if not groups:
        return Markup()
    groups_html = tag("dl", [joined(tag("dt", name), tag("dd", said)) for name, said in groups], class_="sentences")
    return joined(tag("h3", "What can be said"), groups_html)


def _sentence(sentence: Sentence, keys: VariantLetters) -> Markup:
    """Write a sentence in which letters mark the variants, since names may contain ordinary words; of many variants only letters appear."""
    if len(sentence.variants) > MOST_NAMES:
        return _keyed(sentence, keys.badge)
    return _keyed(sentence, lambda name: tag("b", keys.named(name)))


def _keyed(sentence: Sentence, shown: Callable[[str], Markup], class_: str | None = None) -> Markup:
    names = sorted(sentence.variants, key=len, reverse=True)
    if not names:
        return tag("p", typeset(sentence.text), class_=class_)
    pieces = re.split(rf"(?<!\w)({'|'.join(map(re.escape, names))})(?!\w)", sentence.text)
    return tag("p", [shown(piece) if at % 2 else typeset(piece) for at, piece in enumerate(pieces)], class_=class_)


def _gate(gate: GateResult) -> Markup:
    word = tag("strong", "Passed", class_="passed") if gate.passed else tag("strong", "Failed", class_="refused")
    return tag("p", tag("span", "Gate ", class_="quiet"), word, ": ", typeset(gate.text), class_="gate")


def leaderboard_html(findings: Findings, stats: Mapping[str, VariantStats], keys: VariantLetters) -> Markup:
    """Show the variants, the highest strict score first, with their time and cost."""
    intervals = [one.summary.strict for one in findings.standings if one.summary.strict is not None]
    scale = strip_scale(intervals)
    level = f"{100 * (1 - findings.alpha):g} %"
    head = [
        "Variant",
        with_help("Rank", "The places it may have: variants that are not separable share theirs."),
        with_help("Score", f"Strict: failed calls and answers that could not be scored count as wrong. In brackets the {level} interval."),
        strip_axis(scale) if intervals else None,
        with_help("Answered", f"The score on scored answers alone; shown from {100 * ANSWERED_FROM:g} % coverage."),
        with_help("Coverage", "The share of finished calls whose answer could be scored."),
        with_help("Failed", "Calls that ended in an error; they count as wrong."),
        with_help("Unscored", "Answers that could not be read; they count as wrong."),
        with_help("Not done", "Calls without an outcome yet; they are in no figure."),
        *_pass_heads(findings),
        with_help("P(best)", "The share of resamples of the rows in which it comes out best."),
        with_help("$ / 1,000", "US dollars for asking 1,000 rows once."),
        with_help("$ / correct", f"US dollars per {'correct answer' if findings.binary else 'full score'}."),
        with_help("p50 / p95", "Half of the answers came within the first time, 19 of 20 within the second."),
    ]
    tried = bool(_pass_heads(findings))
    rows = [list(_standing(one, stats[one.variant], scale, keys, tried=tried)) for one in findings.standings]
    shown, known = known_columns(head, rows)
    return joined(table("Leaderboard", shown, known, class_="figures board sortable"), column_help(shown))


def _pass_heads(findings: Findings) -> list[Content]:
    """Make the heads of the two columns for repeated rows; none without repeats."""
    tries = findings.repeats
    if tries == 1 or not findings.binary:
        return []
    return [
        with_help(f"pass@{tries}", f"The share of rows that at least one of {tries} tries gets right."),
        with_help(f"pass^{tries}", f"The share of rows that all of {tries} tries get right."),
    ]


def _standing(one: Standing, stats: VariantStats, scale: Scale, keys: VariantLetters, *, tried: bool) -> Iterator[Content]:
    interval, answered = one.summary.strict, one.summary.answered
    yield keys.named(one.variant)
    yield _rank(one)
    if interval is None:
        yield "not known"
    else:
        limits = percent_limits(interval.low, interval.high)
        yield joined(tag("strong", percent(interval.estimate)), " ", tag("span", limits, class_="quiet"))
    yield None if interval is None else interval_strip(interval, scale, one.variant)
    yield "–" if answered is None else percent(answered)
    yield percent(one.summary.coverage) if interval is not None else "–"
    counts = one.summary.counts
    yield _led(counts.failed, one.variant, "failed")
    yield _led(counts.unscored, one.variant, "unscored")
    yield _led(counts.missing, one.variant, "missing") if counts.missing else "–"
    if tried:
        yield from ("–" if share is None else percent(share) for share in (one.pass_at_k, one.pass_hat_k))
    yield "–" if one.probability_best is None else percent(one.probability_best)
    yield dollars(one.cost.per_1000_rows)
    yield dollars(one.cost.per_correct) if one.cost.total is None or one.cost.per_correct is not None else "–"
    known = stats.latency_p50_s is not None
    yield f"{seconds(stats.latency_p50_s)} / {seconds(stats.latency_p95_s)}" if known else UNKNOWN


def _led(count: int, variant: str, state: str) -> Content:
    """Show a count that is linked to its samples."""
    if not count:
        return "0"
    filters = json.dumps({"variant": variant, "state": state})
    title = f"show the rows of {variant} that are {'not done' if state == 'missing' else state}"
    return tag("button", f"{count:,}", type="button", class_="show", title=title, data_filter=filters)


def _rank(one: Standing) -> str:
    if one.rank_best is None:
        return "stopped" if one.stop is not None else "–"
    return str(one.rank_best) if one.rank_best == one.rank_worst else f"{one.rank_best}–{one.rank_worst}"
