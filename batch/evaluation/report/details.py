"""Show the details behind the verdict: rows won and lost, cost and latency against quality, slices, and the outcomes of the calls."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from batch.evaluation.findings import Findings
from batch.evaluation.formatting import dollars, percent, points
from batch.evaluation.reading import VariantStats
from batch.evaluation.report.charts import Point, positive_ticks, scatter
from batch.evaluation.report.formatting import column_help, known_columns, p_value, seconds, table, typeset, with_help
from batch.evaluation.report.markup import Content, Markup, joined, tag
from batch.evaluation.report.names import VariantLetters
from batch.evaluation.report.tally import Calls, Failure
from batch.evaluation.statistics.paired import Pair
from batch.evaluation.statistics.slices import Slice

MOST_FAILURES = 30


def pairs_html(findings: Findings, keys: VariantLetters) -> Markup:
    """Show how many rows each variant won against each other: row of the table against column."""
    if not findings.pairs:
        return Markup()
    ranked = [one.variant for one in findings.standings if one.rank_best is not None]
    known = {(pair.first, pair.second): pair for pair in findings.pairs}
    # Of graded scores and of repeats the page does not know which were higher.
    linked = findings.binary and findings.repeats == 1
    rows = [[keys.named(one), *(_pair_cell(known, one, other, linked=linked) for other in ranked)] for one in ranked]
    explained = (
        "Rows won, tied and lost by the variant on the left against the one above, the difference in points, and p by Holm over "
        f"{findings.tests:,} {'pair' if findings.tests == 1 else 'pairs'}. Coloured where the two are separable."
        f"{' Rows won and lost lead to their samples.' if linked else ''}"
    )
    made = table("Pairs of variants", ["Variant", *(keys.badge(name) for name in ranked)], rows, class_="figures pairs")
    return joined(tag("h3", "Won, tied, lost"), tag("p", explained, class_="note"), made)


def _pair_cell(known: Mapping[tuple[str, str], Pair], one: str, other: str, *, linked: bool) -> Content:
    if one == other:
        return None
    pair = known.get((one, other)) or known[other, one]
    won, lost = (pair.wins, pair.losses) if pair.first == one else (pair.losses, pair.wins)
    estimate = pair.difference.estimate if pair.first == one else -pair.difference.estimate
    if not pair.difference.rows:
        return tag("span", "no row in common", class_="quiet")
    class_ = None if not pair.separable else "ahead" if estimate > 0 else "behind"
    tied = pair.difference.rows - pair.wins - pair.losses
    counts = tag("span", f"{won:,} · {tied:,} · {lost:,}", title=f"won {won:,}, tied {tied:,}, lost {lost:,}")
    if linked:
        counts = tag("span", _rows_won(won, one, other), f" · {tied:,} · ", _rows_won(lost, other, one))
    return tag(
        "span",
        counts,
        tag("span", typeset(f"{points(estimate)} pt, p {_equals(p_value(pair.p_holm))}"), class_="quiet"),
        class_=f"pair {class_ or ''}".strip(),
    )


def _rows_won(count: int, winner: str, loser: str) -> Content:
    """Show how many rows one variant won over another, linked to those rows."""
    if not count:
        return "0"
    return _show(
        f"{count:,}", f"show the rows that {winner} has right and {loser} has not", "", variant=loser, state="lost", rightBy=winner
    )


def _equals(p: str) -> str:
    return p if p.startswith("<") else f"= {p}"


def charts_html(findings: Findings, stats: Mapping[str, VariantStats], keys: VariantLetters) -> Markup:
    """Plot score against cost and against latency, for the variants where they are known."""
    scored = [(one, one.summary.strict) for one in findings.standings if one.summary.strict is not None]
    costs, times = [], []
    for one, interval in scored:
        key, cost, time = keys.of(one.variant), one.cost.per_1000_rows, stats[one.variant].latency_p50_s
        if cost is not None:
            costs.append(Point(key, one.variant, cost, interval, f"{dollars(cost)} per 1,000 rows"))
        if time is not None:
            times.append(Point(key, one.variant, time, interval, f"{seconds(time)} at the median"))
    figures = []
    if costs:
        ticks = [f"${tick:g}" for tick in positive_ticks([point.x for point in costs])]
        figures.append(_figure("Score against cost", scatter("Score against cost", "US dollars per 1,000 rows", costs, ticks)))
    if times:
        ticks = [seconds(tick) if tick else "0" for tick in positive_ticks([point.x for point in times])]
        figures.append(_figure("Score against latency", scatter("Score against latency", "median latency", times, ticks)))
    if not figures:
        return Markup()
    note = "Score in percent, with its interval. Further left and higher up is better; the line joins those that no other beats in both."
    missing = None if costs else tag("p", "What the answers cost is unknown: no prices are known for these models.", class_="note")
    return joined(
        tag("h3", "Cost and latency against quality"), tag("p", note, class_="note"), missing, tag("div", figures, class_="charts")
    )


def _figure(caption: str, chart: Markup) -> Markup:
    return tag("figure", tag("figcaption", caption), chart)


def slices_html(findings: Findings, keys: VariantLetters) -> Markup:
    """Show scores by the values of the grouping columns; significantly weaker slices are coloured and linked to their rows."""
    if not findings.slices:
        return Markup()
    names = [one.variant for one in findings.standings]
    coloured = any(one.p_adjusted <= findings.alpha for one in findings.slices)
    tables = []
    for column in dict.fromkeys(sorted(one.column for one in findings.slices)):
        inside = {(one.value, one.variant): one for one in findings.slices if one.column == column}
        values = sorted({value for value, _ in inside})
        rows = []
        for value in values:
            sizes = [one.rows for (its_value, _), one in inside.items() if its_value == value]
            cells = [_slice_cell(inside.get((value, name)), findings.alpha) for name in names]
            rows.append([value, f"{max(sizes):,}", *cells])
        head = [column, "Rows", *(keys.badge(name) for name in names)]
        tables.append(table(f"Scores by {column}", head, rows, class_="figures slices"))
    note = (
        f"Strict scores in percent. Coloured: weaker than on the other rows (Benjamini-Hochberg over {len(findings.slices):,} slices). "
        f"{'A coloured score leads to the rows that it lost.' if coloured else 'None is.'}"
    )
    return joined(tag("h3", "Slices"), tag("p", note, class_="note"), tag("div", tables, class_="side"))


def _slice_cell(one: Slice | None, alpha: float) -> Content:
    if one is None:
        return "–"
    said = f"{percent(one.score)} of {one.rows:,} rows, {percent(one.elsewhere)} elsewhere, p {_equals(p_value(one.p_adjusted))}"
    if one.p_adjusted > alpha:
        return tag("span", f"{100 * one.score:z.1f}", title=said)
    return _show(f"{100 * one.score:z.1f}", said, "behind", variant=one.variant, state="lost", column=one.column, value=one.value)


def calls_html(calls: Sequence[Calls], stats: Mapping[str, VariantStats], keys: VariantLetters) -> Markup:
    """Show the outcomes of every variant's calls, with tokens, time and cost."""
    head = [
        "Variant",
        "Calls",
        "Answered",
        "Failed",
        "Not done",
        with_help("Cut off", "Answers that end with finish_reason length: the token limit cut them off."),
        with_help("Retried", "Calls that took more than one attempt."),
        "p50",
        "p95",
        with_help("First token", "Half of the answers began within this time; known for streamed answers."),
        "Tokens in",
        "Tokens out",
        "Cost",
    ]
    rows = [[keys.named(one.variant), *_counts(one), *_taken(stats[one.variant])] for one in calls]
    return joined(tag("h2", "Calls"), table("Calls by variant", *known_columns(head, rows), class_="figures sortable"), column_help(head))


def _counts(one: Calls) -> list[Content]:
    return [f"{count:,}" for count in (one.tasks, one.answered, one.failed, one.missing, one.cut_off, one.retried)]


def _taken(stats: VariantStats) -> list[Content]:
    times = (stats.latency_p50_s, stats.latency_p95_s, stats.first_token_p50_s)
    tokens = (stats.prompt_tokens, stats.completion_tokens)
    return [*map(seconds, times), *(f"{count:,}" if count else "unknown" for count in tokens), dollars(stats.cost_usd)]


def failures_html(failures: Sequence[Failure], keys: VariantLetters) -> Markup:
    """Show errors by code: the count per variant, and one error's message."""
    if not failures:
        return tag("p", "No call failed.", class_="note")
    rows = [
        [
            _show(failure.code, f"show the rows with {failure.code}", "", state="failed", search=failure.code),
            failure.kind,
            *(f"{count:,}" if count else "–" for count in failure.counts),
            joined(failure.message, " ", tag("span", f"(row {failure.row_id})", class_="quiet")),
        ]
        for failure in failures[:MOST_FAILURES]
    ]
    more = f"{len(failures) - MOST_FAILURES} rarer codes are not shown." if len(failures) > MOST_FAILURES else None
    head = ["Error", "Kind", *(keys.badge(name) for name in keys.variants), "One of them"]
    made = table("Errors by code", head, rows, class_="figures errors")
    return joined(tag("h3", "Errors by code"), made, tag("p", more, class_="note") if more else None)


def _show(text: str, title: str, class_: str, **filters: str) -> Markup:
    """Make a button that filters the samples."""
    return tag("button", text, type="button", class_=f"show {class_}".strip(), title=title, data_filter=json.dumps(filters))
