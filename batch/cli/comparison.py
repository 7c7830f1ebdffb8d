"""Format scores for the terminal, in a given width: the verdict, the leaderboard, the pairs, the gates."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from batch.cli.columns import Column, table, total_width, wrapped
from batch.cli.console import styled
from batch.cli.effects import MOST_EFFECTS, effect_lines
from batch.cli.figures import figure_lines
from batch.policy.terminal import one_line

if TYPE_CHECKING:
    from batch.app.evaluate import Comparison, EvaluationReport
    from batch.evaluation.findings import Standing
    from batch.evaluation.reading import VariantStats
    from batch.evaluation.sentences import Sentence
    from batch.evaluation.statistics.intervals import Interval
    from batch.evaluation.statistics.paired import Pair

MOST_PAIRS = 10
MOST_NAMES = 4
"""A sentence about more variants has their letters only."""
_BAR_CELLS = 25
_DASH = "-"


def leaderboards(report: EvaluationReport, width: int) -> str:
    """Format the output of `score`: each score's leaderboard, and the gates."""
    parts = [
        [
            *_score_head(comparison, report),
            *_leaderboard(comparison, report, width),
            *_figures(comparison, width, whole=False),
            *_spaced(effect_lines(comparison.verdict, width)),
        ]
        for comparison in report.comparisons
    ]
    return "\n\n".join([*("\n".join(part) for part in parts), *_gates(report)])


def comparisons(report: EvaluationReport, width: int) -> str:
    """Format the output of `compare`: each score's verdict, leaderboard, pairs and other sentences; then the gates."""
    blocks = []
    for comparison in report.comparisons:
        first, *others = comparison.verdict.sentences
        headline = styled(wrapped(first.text, width), "bold")
        block = ["\n".join([*_score_head(comparison, report), headline]), "\n".join(_leaderboard(comparison, report, width))]
        if figures := _figures(comparison, width, whole=True):
            block.append("\n".join(figures[1:]))
        if pairs := _pairs(comparison, width):
            block.append("\n".join(pairs))
        if effects := effect_lines(comparison.verdict, width):
            block.append("\n".join(effects))
        in_tables = _in_tables(comparison)
        sentences = [sentence for sentence in others if sentence.kind not in in_tables]
        if sentences:
            letters = _letters(comparison)
            block.append("\n".join(wrapped(_briefly(sentence, letters), width, bullet="- ") for sentence in sentences))
        blocks.append("\n\n".join(block))
    return "\n\n".join([*blocks, *_gates(report)])


def _spaced(lines: list[str]) -> list[str]:
    return ["", *lines] if lines else []


def _in_tables(comparison: Comparison) -> set[str]:
    """Return the kinds of sentences whose content the tables of pairs and effects show in full."""
    few = {"behind": len(comparison.verdict.findings.pairs) <= MOST_PAIRS, "effect": len(comparison.verdict.effects) <= MOST_EFFECTS}
    return {kind for kind, whole in few.items() if whole}


def _score_head(comparison: Comparison, report: EvaluationReport) -> list[str]:
    judged = comparison.judged
    settings, scores = judged.settings, judged.table
    by = f" by {judged.asked.model}" if judged.asked is not None else ""
    of = f" against {settings.expected}" if settings.expected is not None else ""
    repeats = f", each asked {scores.repeats} times" if scores.repeats > 1 else ""
    note = f"; {judged.asked.note}" if judged.asked is not None and judged.asked.note is not None else ""
    title = styled(one_line(f"{report.name}: {settings.name}"), "underline")
    lines = [f"{title} ({settings.kind}{one_line(by + of)}; {len(scores.row_ids):,} rows{repeats}{note})"]
    if judged.left_out:
        lines.append(f"{judged.left_out:,} rows cannot be judged and are excluded: {one_line(str(judged.left_out_example))}")
    return lines


def _leaderboard(comparison: Comparison, report: EvaluationReport, width: int) -> list[str]:
    repeats, standings = comparison.judged.table.repeats, comparison.verdict.findings.standings
    stats = {each.variant: each for each in report.variants}
    counts = [standing.summary.counts for standing in standings]
    columns = [
        Column("place", tuple(_place(standing) for standing in standings)),
        Column("score", tuple(_percent(s.summary.strict.estimate if s.summary.strict else None) for s in standings)),
        Column("95 % interval", tuple(_limits(standing.summary.strict) for standing in standings), left=True),
        Column(
            "0 %" + " " * (_BAR_CELLS - 8) + "100 %",
            tuple(_bar(standing.summary.strict) for standing in standings),
            spare=4,
            left=True,
            drawn=True,
        ),
        Column("scored", tuple(f"{each.scored:,}" for each in counts)),
        Column("failed", tuple(f"{each.failed:,}" for each in counts)),
        Column("unscored", tuple(f"{each.unscored:,}" for each in counts)),
    ]
    if any(each.missing for each in counts):
        columns += _missing_columns(comparison)
    columns += [
        Column("answered", tuple(_percent(standing.summary.answered) for standing in standings), spare=3),
        Column("coverage", tuple(_percent(s.summary.coverage if s.summary.strict else None) for s in standings), spare=2),
        *_pass_columns(standings, repeats),
        *_cost_columns(standings),
        *_time_columns([stats[standing.variant] for standing in standings]),
    ]
    return table("model", [standing.variant for standing in standings], columns, width, _letters(comparison))


def _figures(comparison: Comparison, width: int, *, whole: bool) -> list[str]:
    return figure_lines(comparison.judged, width, _letters(comparison), whole=whole)


def _missing_columns(comparison: Comparison) -> Iterator[Column]:
    """Make columns for tasks without a score. Where a judge gave no verdict, also show the share of tasks that its mean covers."""
    counts = [standing.summary.counts for standing in comparison.verdict.findings.standings]
    asked = comparison.judged.asked
    yield Column("not asked" if asked is None else "no verdict", tuple(f"{each.missing:,}" for each in counts))
    if asked is not None:
        yield Column("judged", tuple(_percent(each.finished / max(1, each.finished + each.missing)) for each in counts))


def _letters(comparison: Comparison) -> dict[str, str]:
    """Return the variants' letters, the same as in the report; none for a single variant."""
    from batch.evaluation.formatting import letter

    variants = comparison.judged.table.variants
    return {name: letter(at) for at, name in enumerate(variants)} if len(variants) > 1 else {}


def _briefly(sentence: Sentence, letters: Mapping[str, str]) -> str:
    """Use letters in place of names in a sentence about many variants."""
    from batch.evaluation.formatting import with_letters

    named = {name: letters[name] for name in sentence.variants if name in letters}
    return with_letters(sentence.text, named) if len(named) > MOST_NAMES else sentence.text


def _pass_columns(standings: Sequence[Standing], tries: int) -> Iterator[Column]:
    if any(standing.pass_at_k is not None for standing in standings):
        yield Column(f"pass@{tries}", tuple(_percent(standing.pass_at_k) for standing in standings), spare=1)
        yield Column(f"pass^{tries}", tuple(_percent(standing.pass_hat_k) for standing in standings), spare=1)


def _cost_columns(standings: Sequence[Standing]) -> Iterator[Column]:
    from batch.evaluation.formatting import dollars

    if any(standing.cost.total is not None for standing in standings):
        yield Column("per 1,000", tuple(dollars(standing.cost.per_1000_rows) for standing in standings), spare=1)
        yield Column("per right", tuple(dollars(standing.cost.per_correct) for standing in standings), spare=5)


def _time_columns(stats: Sequence[VariantStats]) -> Iterator[Column]:
    for head, times, spare in (
        ("p50", [each.latency_p50_s for each in stats], 1),
        ("p95", [each.latency_p95_s for each in stats], 6),
        ("first token", [each.first_token_p50_s for each in stats], 7),
    ):
        if any(time is not None for time in times):
            yield Column(head, tuple(_DASH if time is None else f"{time:z.2f} s" for time in times), spare=spare)


def _pairs(comparison: Comparison, width: int) -> list[str]:
    pairs = comparison.verdict.findings.pairs
    if not pairs:
        return []
    shown = pairs[:MOST_PAIRS]
    columns = [
        Column("difference", tuple(_points(pair.difference.estimate) for pair in shown)),
        Column("95 % interval", tuple(f"[{_points(pair.difference.low)}, {_points(pair.difference.high)}]" for pair in shown), left=True),
        Column("won", tuple(f"{pair.wins:,}" for pair in shown)),
        Column("lost", tuple(f"{pair.losses:,}" for pair in shown)),
        Column("p (Holm)", tuple(_p(pair.p_holm) for pair in shown)),
        Column("separable", tuple("yes" if pair.separable else "no" for pair in shown), left=True),
        Column("rows for 2 pt", tuple(_rows(pair) for pair in shown), spare=1),
    ]
    letters, label = _letters(comparison), "pair, by row"
    names = [f"{pair.first} vs {pair.second}" for pair in shown]
    if max(map(len, names)) + total_width([column for column in columns if not column.spare]) > width:
        names = [f"{letters[pair.first]} vs {letters[pair.second]}" for pair in shown]
    lines = table(label, names, columns, width)
    rest = len(pairs) - len(shown)
    return [*lines, f"and {rest:,} more pairs: --json has all of them"] if rest else lines


def _gates(report: EvaluationReport) -> list[str]:
    lines = [
        f"{styled('pass', 'green')}  {one_line(gate.text)}" if gate.passed else f"{styled('FAIL', 'red')}  {one_line(gate.text)}"
        for gate in report.gates
    ]
    return ["\n".join(["gates", *lines])] if lines else []


def _place(standing: Standing) -> str:
    if standing.rank_best is None:
        return _DASH
    return f"{standing.rank_best}" if standing.rank_best == standing.rank_worst else f"{standing.rank_best}-{standing.rank_worst}"


def _percent(share: float | None) -> str:
    from batch.evaluation.formatting import percent

    return _DASH if share is None else percent(share)


def _limits(interval: Interval | None) -> str:
    from batch.evaluation.formatting import percent_limits

    return _DASH if interval is None else percent_limits(interval.low, interval.high)


def _bar(interval: Interval | None) -> str:
    """Draw the interval on a line from 0 to 100 %, in ASCII for every terminal: |--o--|."""
    if interval is None:
        return ""
    low, middle, high = (round(share * (_BAR_CELLS - 1)) for share in (interval.low, interval.estimate, interval.high))
    cells = ["." if low > at or at > high else "-" for at in range(_BAR_CELLS)]
    cells[low] = cells[high] = "|"
    cells[middle] = "o"
    return "".join(cells)


def _points(difference: float) -> str:
    from batch.evaluation.formatting import points

    return points(difference)


def _p(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"{p:z.3f}"


def _rows(pair: Pair) -> str:
    return f"{pair.rows_for_gap:,}"
