"""Format the main effects of a sweep for the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from batch.cli.columns import Column, table

if TYPE_CHECKING:
    from batch.evaluation.statistics.effects import MainEffect
    from batch.evaluation.verdict import ScoreVerdict

MOST_EFFECTS = 12


def effect_lines(verdict: ScoreVerdict, width: int) -> list[str]:
    """Format what each setting changes as a table, the clear and large effects of each first; empty for a job without a sweep of two."""
    from batch.evaluation.formatting import points

    if not verdict.effects:
        return []
    shown = sorted(verdict.effects, key=_order)[:MOST_EFFECTS]
    pairs = [effect.pair for effect in shown]
    columns = [
        Column("difference", tuple(points(pair.difference.estimate) for pair in pairs)),
        Column("95 % interval", tuple(f"[{points(pair.difference.low)}, {points(pair.difference.high)}]" for pair in pairs), left=True),
        Column("p (Holm)", tuple("< 0.001" if pair.p_holm < 0.001 else f"{pair.p_holm:z.3f}" for pair in pairs)),
        Column("clear", tuple("yes" if pair.separable else "no" for pair in pairs), left=True),
        Column("matched pairs", tuple(f"{effect.matched:,}" for effect in shown), spare=1),
        Column("rows", tuple(f"{pair.difference.rows:,}" for pair in pairs), spare=2),
    ]
    lines = table("effect, all else equal", [_name(effect) for effect in shown], columns, width)
    rest = len(verdict.effects) - len(shown)
    return [*lines, f"and {rest:,} more effects: --json has all of them"] if rest else lines


def _order(effect: MainEffect) -> tuple[bool, float]:
    return not effect.pair.separable, -abs(effect.pair.difference.estimate)


def _name(effect: MainEffect) -> str:
    from batch.evaluation.verdict import factor_name

    return f"{factor_name(effect)}: {effect.pair.first} vs {effect.pair.second}"
