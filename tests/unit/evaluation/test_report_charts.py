"""The report's charts: everything is where its value says, and each says in words what it shows."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch.evaluation.report.charts import (
    HEIGHT,
    WIDTH,
    Point,
    interval_strip,
    linear,
    positive,
    positive_ticks,
    scatter,
    strip_axis,
    strip_scale,
)
from batch.evaluation.statistics.intervals import Interval


def interval(estimate: float, low: float, high: float) -> Interval:
    return Interval(estimate, low, high, 100, 100.0)


def test_a_strip_shows_estimate_and_limits_on_one_scale() -> None:
    """The point stands at the estimate, the line goes from limit to limit, and a higher score is further right on the same scale."""
    good, bad = interval(0.8, 0.7, 0.9), interval(0.3, 0.2, 0.4)
    scale = strip_scale([good, bad])
    high, low = (ET.fromstring(interval_strip(one, scale, "m")) for one in (good, bad))
    for drawn, one in ((high, good), (low, bad)):
        point, line = drawn.find("circle"), drawn.findall("line[@class='range']")[0]
        assert point is not None
        assert [float(line.attrib["x1"]), float(point.attrib["cx"]), float(line.attrib["x2"])] == [
            scale.at(one.low),
            scale.at(one.estimate),
            scale.at(one.high),
        ]
    assert float(high.find("circle").attrib["cx"]) > float(low.find("circle").attrib["cx"])  # type: ignore[union-attr]
    assert high.findtext("title") == "m: 80.0 %, between 70.0 % and 90.0 %"


@given(low=st.floats(0, 1), width=st.floats(0, 1))
def test_scales_hold_their_values(low: float, width: float) -> None:
    """Every value from the lowest to the highest is on the scale, whose ends are named and whose names are few."""
    high = min(1.0, low + width)
    scale = linear(low, high, 0, 100)
    assert scale.low <= low + 1e-9
    assert scale.high >= high - 1e-9
    assert scale.ticks[0] == pytest.approx(scale.low, abs=1e-9)
    assert 2 <= len(scale.ticks) <= 9
    assert 0 <= scale.at(low) <= scale.at(high) <= 100


def test_amounts_far_apart_get_a_logarithmic_scale() -> None:
    """From a ratio of 20 on the axis is logarithmic, below it begins at zero; free models (cost 0) have a scale too."""
    assert positive([0.01, 10.0], 0, 100).log
    assert positive([0.01, 10.0], 0, 100).at(0.1) == pytest.approx(100 / 3, abs=0.1)
    near = positive([1.0, 4.0], 0, 100)
    assert (near.log, near.low) == (False, 0)
    assert positive([0.0, 0.0], 0, 100).at(0.0) == 0


def test_a_scatter_chart_is_well_formed_and_told_in_words() -> None:
    """Names are escaped, all points are inside, each has its letter, and the line joins only those that no other beats in both."""
    points = [
        Point("A", "<cheap & good>", 0.1, interval(0.7, 0.6, 0.8), "$0.10"),
        Point("B", "dear and better", 2.0, interval(0.9, 0.8, 0.95), "$2.00"),
        Point("C", "dear and worse", 3.0, interval(0.5, 0.4, 0.6), "$3.00"),
    ]
    drawn = ET.fromstring(scatter("Score against cost", "dollars", points, [f"${tick:g}" for tick in positive_ticks([0.1, 2.0, 3.0])]))
    assert drawn.attrib["role"] == "img"
    assert "<cheap & good>: 70.0 % at $0.10" in (drawn.findtext("title") or "")
    circles = drawn.findall(".//circle")
    assert len(circles) == 3
    assert all(0 <= float(one.attrib["cx"]) <= WIDTH and 0 <= float(one.attrib["cy"]) <= HEIGHT for one in circles)
    assert [one.text for one in drawn.findall("text[@class='letter']")] == ["A", "B", "C"]
    line = drawn.find("polyline")
    assert line is not None
    assert len(line.attrib["points"].split()) == 2


def test_letters_of_equal_points_do_not_lie_on_each_other() -> None:
    """Variants at one place have their letters beside each other."""
    same = [Point(letter, letter, 1.0, interval(0.5, 0.4, 0.6), "1 s") for letter in "ABCD"]
    letters = ET.fromstring(scatter("t", "x", same)).findall("text[@class='letter']")
    places = [(float(one.attrib["x"]), float(one.attrib["y"])) for one in letters]
    apart = [abs(a[0] - b[0]) > 9 or abs(a[1] - b[1]) > 9 for at, a in enumerate(places) for b in places[at + 1 :]]
    assert all(apart)


def test_an_axis_names_its_lines() -> None:
    """The head of the strips names values of the scale, in percent."""
    scale = strip_scale([interval(0.5, 0.2, 0.8)])
    named = [one.text for one in ET.fromstring(strip_axis(scale)).findall("text")]
    assert named == ["20", "40", "60", "80"]


def test_costs_that_differ_in_their_last_digits_are_equal() -> None:
    """Of two variants of one cost only the better one is on the line of those that no other beats: sums of floats differ by a hair."""
    points = [
        Point("A", "better", 1.0000000000000002, interval(0.9, 0.8, 0.95), "$1"),
        Point("B", "worse", 1.0, interval(0.6, 0.5, 0.7), "$1"),
    ]
    assert ET.fromstring(scatter("t", "x", points)).find("polyline") is None
