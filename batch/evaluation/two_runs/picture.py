"""Draw a history of scores as SVG: a panel for each score, a line with intervals for each variant. It has no script and no font."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

from batch.evaluation.formatting import percent_interval
from batch.evaluation.statistics.intervals import Interval

_WIDTH, _PANEL, _LEFT, _RIGHT, _TOP, _BOTTOM = 760, 260, 56, 190, 34, 44
_LONGEST = 26
# Dashes distinguish them too, for those who do not see the colours. On white and on black, each has a contrast of 3 and more.
_COLOURS = ("#0b7285", "#c2410c", "#6d57c9", "#2f8a3e", "#b8336a", "#8a6d00")
_DASHES = ("", "7 3", "2 3", "10 3 2 3", "5 5", "1 5")


@dataclass(frozen=True, slots=True)
class Line:
    """One variant's scores: (index of the run, interval), in order."""

    variant: str
    points: tuple[tuple[int, Interval], ...]


@dataclass(frozen=True, slots=True)
class Panel:
    """One score with its lines."""

    score: str
    lines: tuple[Line, ...]


def history_svg(runs: Sequence[str], panels: Sequence[Panel]) -> str:
    """Draw `panels` over `runs`, which are the labels of the x axis, oldest first."""
    height = _PANEL * max(1, len(panels))
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" height="{height}" role="img" '
        'font-family="sans-serif" font-size="12"><title>Scores over time</title>'
        "<style>svg{color:#1c1c1c;background:#fff}@media(prefers-color-scheme:dark){svg{color:#eee;background:#161616}}</style>"
    )
    body = "".join(part for at, panel in enumerate(panels) for part in _panel(panel, runs, at * _PANEL))
    return f"{head}{body}</svg>\n"


def _panel(panel: Panel, runs: Sequence[str], top: int) -> Iterator[str]:
    ends = [limit for line in panel.lines for _, one in line.points for limit in (one.low, one.high)]
    low, high = _range(min(ends, default=0.0), max(ends, default=1.0))
    yield f'<g transform="translate(0 {top})"><text x="{_LEFT}" y="20" fill="currentColor" font-weight="bold">{escape(panel.score)}</text>'
    for step in range(5):
        value = low + (high - low) * step / 4
        y = _y(value, low, high)
        yield f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:z.1f}" y2="{y:z.1f}" stroke="currentColor" stroke-opacity="0.15"/>'
        yield f'<text x="{_LEFT - 6}" y="{y + 4:z.1f}" text-anchor="end" fill="currentColor">{100 * value:z.0f} %</text>'
    # Labels that would run into each other are thinned out; the last run keeps its own.
    every = max(1, -(-len(runs) * 105 // (_WIDTH - _LEFT - _RIGHT)))
    for at, run in enumerate(runs):
        if (len(runs) - 1 - at) % every == 0:
            yield f'<text x="{_x(at, runs):z.1f}" y="{_PANEL - 20}" text-anchor="middle" fill="currentColor">{escape(_cut(run, 14))}</text>'
    heights = _label_heights([_y(line.points[-1][1].estimate, low, high) for line in panel.lines if line.points])
    for at, (line, label) in enumerate(zip([line for line in panel.lines if line.points], heights, strict=True)):
        yield from _line(line, runs, (low, high), at, label)
    yield "</g>"


def _line(line: Line, runs: Sequence[str], limits: tuple[float, float], at: int, label: float) -> Iterator[str]:
    colour, dash = _COLOURS[at % len(_COLOURS)], _DASHES[at // len(_COLOURS) % len(_DASHES)] or _DASHES[at % len(_DASHES)]
    places = [(_x(run, runs), _y(one.estimate, *limits)) for run, one in line.points]
    path = " ".join(f"{x:z.1f},{y:z.1f}" for x, y in places)
    yield f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2" stroke-dasharray="{dash}"/>'
    for run, one in line.points:
        x = _x(run, runs)
        said = f"{line.variant}, {runs[run]}: {percent_interval(one)}"
        ends = f'y1="{_y(one.low, *limits):z.1f}" y2="{_y(one.high, *limits):z.1f}"'
        yield f'<line x1="{x:z.1f}" x2="{x:z.1f}" {ends} stroke="{colour}" stroke-opacity="0.6"/>'
        yield f'<circle cx="{x:z.1f}" cy="{_y(one.estimate, *limits):z.1f}" r="3.5" fill="{colour}"><title>{escape(said)}</title></circle>'
    yield f'<text x="{_WIDTH - _RIGHT + 10}" y="{label + 4:z.1f}" fill="{colour}">{escape(_cut(line.variant, _LONGEST))}</text>'


def _label_heights(wanted: Sequence[float]) -> list[float]:
    """Return heights near the wanted ones at which labels do not overlap."""
    heights = list(wanted)
    order = sorted(range(len(heights)), key=lambda at: heights[at])
    for above, below in itertools.pairwise(order):
        # 14 px is the height of a line at font size 12.
        heights[below] = max(heights[below], heights[above] + 14)
    return heights


def _range(low: float, high: float) -> tuple[float, float]:
    """Return a range of whole multiples of 5 % around the values, at least 5 % high."""
    low, high = max(0.0, int(low * 20) / 20), min(1.0, -int(-high * 20 // 1) / 20)
    return (low, high) if high - low >= 0.05 else (max(0.0, high - 0.05), max(high, 0.05))


def _x(at: int, runs: Sequence[str]) -> float:
    inner = _WIDTH - _LEFT - _RIGHT - 40
    return _LEFT + 20 + (inner / 2 if len(runs) == 1 else inner * at / (len(runs) - 1))


def _y(value: float, low: float, high: float) -> float:
    return _TOP + (_PANEL - _TOP - _BOTTOM) * (high - value) / (high - low)


def _cut(text: str, longest: int) -> str:
    # What tells runs and models apart is mostly at the end of their names.
    return text if len(text) <= longest else f"…{text[-longest + 1 :]}"
