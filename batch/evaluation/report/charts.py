"""Draw charts as SVG. Colours and fonts come from the page's style sheet; each chart has a description in words."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from batch.evaluation.report.markup import Markup, joined, tag
from batch.evaluation.statistics.intervals import Interval

STRIP_WIDTH, STRIP_HEIGHT = 130, 22
_MARGIN = 10
WIDTH, HEIGHT = 420, 290
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 26, 24, 40
_LOG_FROM = 20
"""From this ratio of largest to smallest on, an axis is logarithmic."""


_NARROWEST = 1e-6


@dataclass(frozen=True, slots=True)
class Scale:
    """Maps values from `low` to `high` to lengths from `start` to `end`; `ticks` are the labelled values."""

    low: float
    high: float
    start: float
    end: float
    ticks: tuple[float, ...]
    log: bool = False

    def at(self, value: float) -> float:
        """Return a value's coordinate, rounded to a tenth of a pixel."""
        low, high, inner = (math.log(one) for one in (self.low, self.high, value)) if self.log else (self.low, self.high, value)
        share = (inner - low) / (high - low)
        return round(self.start + min(1.0, max(0.0, share)) * (self.end - self.start), 1)


def linear(low: float, high: float, start: float, end: float, ticks: int = 5) -> Scale:
    """Make a linear scale around `low` and `high` whose ends are round values."""
    step = _step(max(high - low, abs(high) * _NARROWEST) / ticks)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    last = max(last, first + 1)
    return Scale(first * step, last * step, start, end, tuple(at * step for at in range(first, last + 1)))


def positive(values: Sequence[float], start: float, end: float) -> Scale:
    """Make a scale for amounts, from zero; logarithmic where the amounts are far apart."""
    low, high = min(values), max(values)
    if low <= 0 or high / low < _LOG_FROM:
        return linear(0.0, high or 1.0, start, end, ticks=4)
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    return Scale(10.0**first, 10.0**last, start, end, tuple(10.0**power for power in range(first, last + 1)), log=True)


def _step(rough: float) -> float:
    if rough < sys.float_info.min:
        return 0.1
    power = 10.0 ** math.floor(math.log10(rough))
    return next(power * factor for factor in (1, 2, 2.5, 5, 10, 20) if power * factor >= rough * (1 - 1e-9))


def score_scale(intervals: Sequence[Interval], start: float, end: float, ticks: int = 4) -> Scale:
    """Make a scale for scores that all the intervals fit on."""
    low = min((one.low for one in intervals), default=0.0)
    high = max((one.high for one in intervals), default=1.0)
    # The axis labels could not distinguish closer values.
    return linear(min(low, max(0.0, high - 0.02)), max(high, low + 0.02), start, end, ticks)


def strip_scale(intervals: Sequence[Interval]) -> Scale:
    """Make the scale of interval strips, the same for all variants, so that they can be compared by eye."""
    return score_scale(intervals, _MARGIN, STRIP_WIDTH - _MARGIN)


def interval_strip(interval: Interval, scale: Scale, name: str) -> Markup:
    """Draw a point with its interval, for a table's cell."""
    middle = STRIP_HEIGHT / 2
    low, at, high = scale.at(interval.low), scale.at(interval.estimate), scale.at(interval.high)
    label = f"{name}: {_percent(interval.estimate)}, between {_percent(interval.low)} and {_percent(interval.high)}"
    return _svg(
        "strip",
        STRIP_WIDTH,
        STRIP_HEIGHT,
        label,
        [tag("line", x1=scale.at(tick), x2=scale.at(tick), y1=0, y2=STRIP_HEIGHT, class_="grid") for tick in scale.ticks],
        tag("line", x1=low, x2=high, y1=middle, y2=middle, class_="range"),
        [tag("line", x1=end, x2=end, y1=middle - 4, y2=middle + 4, class_="range") for end in (low, high)],
        tag("circle", cx=at, cy=middle, r=4, class_="point"),
    )


def strip_axis(scale: Scale) -> Markup:
    """Write the tick labels of a strip for the column's head; every other one where there are many."""
    shown = scale.ticks[:: 2 if len(scale.ticks) > 5 else 1]
    texts = [tag("text", _plain_percent(tick), x=scale.at(tick), y=14, text_anchor="middle") for tick in shown]
    return _svg("strip axis", STRIP_WIDTH, 18, "scale of the intervals, in percent", texts)


@dataclass(frozen=True, slots=True)
class Point:
    """A variant in a scatter chart. `x_text` is its x in words."""

    key: str
    name: str
    x: float
    interval: Interval
    x_text: str


def scatter(title: str, x_label: str, points: Sequence[Point], tick_text: Sequence[str] | None = None) -> Markup:
    """Plot scores with intervals against an amount of which less is better; a line joins the Pareto front.

    `tick_text` is made by `positive_ticks`.
    """
    xs = positive([point.x for point in points], _LEFT, WIDTH - _RIGHT)
    ys = score_scale([point.interval for point in points], HEIGHT - _BOTTOM, _TOP)
    described = "; ".join(f"{point.name}: {_percent(point.interval.estimate)} at {point.x_text}" for point in points)
    return _svg(
        "scatter",
        WIDTH,
        HEIGHT,
        f"{title}. {described}.",
        _axes(xs, ys, x_label, tick_text or [f"{tick:g}" for tick in xs.ticks]),
        _front(points, xs, ys),
        [_score_maker(point, xs, ys) for point in points],
        list(_labels(points, xs, ys)),
    )


def positive_ticks(values: Sequence[float]) -> tuple[float, ...]:
    """Choose the tick values of a scatter chart's x axis."""
    return positive(values, _LEFT, WIDTH - _RIGHT).ticks


def _axes(xs: Scale, ys: Scale, x_label: str, tick_text: Sequence[str]) -> Markup:
    floor = HEIGHT - _BOTTOM
    across = [
        joined(
            tag("line", x1=_LEFT, x2=WIDTH - _RIGHT, y1=ys.at(tick), y2=ys.at(tick), class_="grid"),
            tag("text", _plain_percent(tick), x=_LEFT - 6, y=ys.at(tick) + 4, text_anchor="end"),
        )
        for tick in ys.ticks
    ]
    below = [tag("text", text, x=xs.at(tick), y=floor + 16, text_anchor="middle") for tick, text in zip(xs.ticks, tick_text, strict=True)]
    name = tag("text", x_label, x=(_LEFT + WIDTH - _RIGHT) / 2, y=HEIGHT - 6, text_anchor="middle", class_="label")
    return joined(across, below, name)


def _score_maker(point: Point, xs: Scale, ys: Scale) -> Markup:
    x, one = xs.at(point.x), point.interval
    return joined(
        tag("line", x1=x, x2=x, y1=ys.at(one.low), y2=ys.at(one.high), class_="range"),
        tag("circle", tag("title", point.name), cx=x, cy=ys.at(one.estimate), r=4.5, class_="point"),
    )


def _front(points: Sequence[Point], xs: Scale, ys: Scale) -> Markup:
    best: list[Point] = []
    # Sums of equal costs differ in their last digits.
    for point in sorted(points, key=lambda one: (float(f"{one.x:.9g}"), -one.interval.estimate)):
        if not best or point.interval.estimate > best[-1].interval.estimate:
            best.append(point)
    places = " ".join(f"{xs.at(point.x)},{ys.at(point.interval.estimate)}" for point in best)
    return tag("polyline", points=places, class_="front") if len(best) > 1 else Markup()


def _labels(points: Sequence[Point], xs: Scale, ys: Scale) -> Iterator[Markup]:
    """Place each variant's letter beside its point, where it covers no other letter or point."""
    taken = [(xs.at(point.x), ys.at(point.interval.estimate)) for point in points]
    for point in points:
        x, y = xs.at(point.x), ys.at(point.interval.estimate)
        places = [(x + side, y + up) for up in (-8, 12, -22, 26, -36, 40) for side in (11, -11)]
        free = (place for place in places if all(abs(place[0] - a) > 10 or abs(place[1] - 4 - b) > 9 for a, b in taken))
        spot = next(free, places[0])
        taken.append((spot[0], spot[1] - 4))
        yield tag("text", point.key, x=round(spot[0], 1), y=round(spot[1], 1), text_anchor="middle", class_="letter", aria_hidden="true")


def _svg(class_: str, width: int, height: int, label: str, *content: Markup | Sequence[Markup]) -> Markup:
    view = f"0 0 {width} {height}"
    return tag("svg", tag("title", label), *content, class_=class_, width=width, height=height, viewBox=view, role="img", aria_label=label)


def _percent(share: float) -> str:
    return f"{100 * share:z.1f} %"


def _plain_percent(share: float) -> str:
    return f"{round(100 * share, 1):zg}"
