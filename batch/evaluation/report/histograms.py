"""Draw histograms of scores and latencies: one small chart for each variant, all on one scale."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from batch.evaluation.parquet import Columns
from batch.evaluation.report.formatting import seconds
from batch.evaluation.report.markup import Markup, joined, tag
from batch.evaluation.report.names import VariantLetters
from batch.evaluation.scoring import TASKS_FILE
from batch.evaluation.statistics.intervals import Floats
from batch.evaluation.table import ScoreTable

WIDTH, HEIGHT = 196, 84
_LEFT, _FLOOR, _TOP = 6, 66, 6
BINS = 20
_LOG_FROM = 10
"""From this ratio of the 99th to the 1st percentile of latencies on, their axis is logarithmic."""


def score_histograms(table: ScoreTable, keys: VariantLetters) -> Markup:
    """Show the distribution of a graded score; empty for right/wrong scores."""
    values = [of_variant[~np.isnan(of_variant)] for of_variant in table.values]
    if table.binary or not any(len(each) for each in values):
        return Markup()
    edges = np.linspace(0, 1, BINS + 1)
    return _histograms("How the scores are spread", table.variants, values, edges, ("0", "1"), lambda value: f"{value:z.2f}", keys)


def latency_histograms(folder: Path, keys: VariantLetters) -> Markup:
    """Show the distribution of latency; empty where it is unknown."""
    tasks = Columns(folder / TASKS_FILE, ["variant", "failure", "latency_s"])
    codes = tasks.codes("variant", keys.variants)
    latency = tasks.array("latency_s").astype(np.float64)
    answered = ~np.isnan(latency) & np.array([code is None for code in tasks.values("failure")], dtype=bool) & (latency > 0)
    if not answered.any():
        return Markup()
    # Without the extremes: a single answer after minutes would press all others into one bar.
    low, high = np.quantile(latency[answered], [0.01, 0.99])
    log = high / low >= _LOG_FROM
    edges = np.geomspace(low, high, BINS + 1) if log else np.linspace(0, high or 1.0, BINS + 1)
    values = [np.clip(latency[answered & (codes == at)], edges[0], edges[-1]) for at in range(len(keys.variants))]
    ends = (seconds(float(edges[0])) if log else "0", f"≥ {seconds(float(edges[-1]))}")
    title = "How long the answers took" + (" (logarithmic scale)" if log else "")
    return _histograms(title, keys.variants, values, edges, ends, lambda value: seconds(float(value)), keys)


def _histograms(
    title: str,
    variants: Sequence[str],
    values: Sequence[Floats],
    edges: Floats,
    ends: tuple[str, str],
    named: Callable[[float], str],
    keys: VariantLetters,
) -> Markup:
    counts = [np.histogram(each, bins=edges)[0] for each in values]
    figures = [
        tag(
            "figure",
            tag("figcaption", keys.named(name)),
            _chart(f"{title}: {name}", of_variant, edges, ends, named),
            data_variant=keys.variants.index(name),
        )
        for name, of_variant in zip(variants, counts, strict=True)
        if of_variant.sum()
    ]
    return joined(tag("h3", title), tag("div", figures, class_="histograms"))


def _chart(label: str, counts: NDArray[Any], edges: Floats, ends: tuple[str, str], named: Callable[[float], str]) -> Markup:
    step, most = (WIDTH - 2 * _LEFT) / len(counts), int(counts.max())
    total, middle = int(counts.sum()), _median(counts, edges)
    bars = []
    for at, count in enumerate(counts):
        height = round((_FLOOR - _TOP) * float(count) / most, 1)
        if count:
            hint = tag("title", f"{named(edges[at])} to {named(edges[at + 1])}: {count:,} of {total:,}")
            bars.append(
                tag(
                    "rect",
                    hint,
                    x=round(_LEFT + at * step, 1),
                    y=round(_FLOOR - height, 1),
                    width=round(step - 1, 1),
                    height=height,
                    class_="bar",
                )
            )
    said = f"{label}: {total:,} answers, half of them up to {named(middle)}"
    return tag(
        "svg",
        tag("title", said),
        bars,
        tag("line", x1=_LEFT, x2=WIDTH - _LEFT, y1=_FLOOR, y2=_FLOOR, class_="floor"),
        tag("text", ends[0], x=_LEFT, y=_FLOOR + 14, text_anchor="start"),
        tag("text", ends[1], x=WIDTH - _LEFT, y=_FLOOR + 14, text_anchor="end"),
        class_="histogram",
        width=WIDTH,
        height=HEIGHT,
        viewBox=f"0 0 {WIDTH} {HEIGHT}",
        role="img",
        aria_label=said,
    )


def _median(counts: NDArray[Any], edges: Floats) -> float:
    """Return the upper edge of the bin that holds the median."""
    at = int(np.searchsorted(np.cumsum(counts), math.ceil(float(counts.sum()) / 2)))
    return float(edges[at + 1])
