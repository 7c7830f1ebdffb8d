"""Show the main effects of a sweep."""

from __future__ import annotations

from collections.abc import Sequence

from batch.evaluation.formatting import points, points_limits
from batch.evaluation.report.formatting import column_help, p_value, table, typeset, with_help
from batch.evaluation.report.markup import Markup, joined, tag
from batch.evaluation.report.names import breakable
from batch.evaluation.statistics.effects import MainEffect
from batch.evaluation.verdict import factor_name

MOST_EFFECTS = 60


def effects_html(effects: Sequence[MainEffect]) -> Markup:
    """Show what each setting of a sweep changes, the better value first; empty without effects."""
    if not effects:
        return Markup()
    head = [
        "Setting",
        "Better",
        "Against",
        "Difference",
        "95 % interval",
        with_help("p", "Corrected (Holm) over all pairs of values of the setting."),
        with_help("Matched pairs", "Pairs of variants that differ in this setting only. A row's difference is the mean over them."),
    ]
    rows = [_row(effect) for effect in effects[:MOST_EFFECTS]]
    rest = len(effects) - len(rows)
    more = tag("p", f"{rest:,} more are in the output of promptmill compare --json.", class_="note") if rest else None
    note = "The change by one setting, row by row over all variants that differ in nothing else. Coloured where it is clear."
    made = table("Main effects", head, rows, class_="figures effects sortable")
    return joined(tag("h3", "What each setting changes"), tag("p", note, class_="note"), made, more, column_help(head))


def _row(effect: MainEffect) -> list[str | Markup]:
    pair = effect.pair
    difference = typeset(points(pair.difference.estimate))
    limits = typeset(points_limits(pair.difference.low, pair.difference.high))
    shown = tag("span", difference, class_="pair ahead") if pair.separable else difference
    return [factor_name(effect), breakable(pair.first), breakable(pair.second), shown, limits, p_value(pair.p_holm), f"{effect.matched:,}"]
