"""The arithmetic of the tables: medians, ratios of runs that stood side by side, and what of an ideal was reached."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median


def middle(values: Sequence[float]) -> float | None:
    """The median; None where nothing was measured."""
    return median(values) if values else None


def paired_ratio(ours: Mapping[int, float], theirs: Mapping[int, float]) -> float | None:
    """The median over the rounds that both have of ours ÷ theirs; None without such a round.

    What slowed the machine in a round slowed both.
    """
    return middle([ours[number] / theirs[number] for number in ours.keys() & theirs.keys() if theirs[number]])


def ratio_of_medians(ours: Mapping[int, float], theirs: Mapping[int, float]) -> float | None:
    """As `paired_ratio` where rounds are shared, else of the medians; None where theirs is nothing."""
    paired = paired_ratio(ours, theirs)
    over, under = middle(list(ours.values())), middle(list(theirs.values()))
    return over / under if paired is None and over is not None and under else paired


def ideal_seconds(rows: int, connections: int, delay_s: float) -> float:
    """How long an endpoint that answers after `delay_s` needs for `rows`, `connections` at a time: whole rounds."""
    return -(-rows // connections) * delay_s


def quantile(values: Sequence[float], share: float) -> float:
    """The smallest value that `share` of all do not exceed (nearest rank).

    Raises:
        ValueError: there are none.
    """
    if not values:
        raise ValueError("no values")
    ordered = sorted(values)
    return ordered[max(0, -(-round(share * len(ordered) * 1e6) // 1_000_000) - 1)]


def number(value: float | None, digits: int = 0) -> str:
    """A figure for people: 12,345 or 0.71; a dash where there is none."""
    return "–" if value is None else f"{value:,.{digits}f}"


def table(head: Sequence[str], lines: Sequence[Sequence[str]], texts: int = 1) -> str:
    """A Markdown table: the first `texts` columns left, the others right; a | within a cell is escaped."""
    rule = ["---" if place < texts else "---:" for place in range(len(head))]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in [head, rule, *lines])
