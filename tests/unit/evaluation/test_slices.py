"""Worst slices: exact tests against SciPy, and how often nothing is found where there is nothing."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import fisher_exact

from batch.evaluation.statistics.slices import find_slices


def test_plain_marks_are_tested_by_fisher() -> None:
    """The one-sided p is SciPy's."""
    rng = np.random.default_rng(0)
    marks = (rng.random(300) < 0.9).astype(float)
    inside = np.arange(300) < 60
    labels = ["in" if one else "out" for one in inside]
    found = {one.value: one for one in find_slices("A", marks[np.newaxis], {"part": labels}, None, plain=True)}
    right, other = marks[inside].sum(), marks[~inside].sum()
    expected = fisher_exact([[right, 60 - right], [other, 240 - other]], alternative="less").pvalue
    assert found["in"].p == pytest.approx(expected)
    assert (found["in"].rows, found["in"].score) == (60, pytest.approx(marks[inside].mean()))
    assert found["in"].elsewhere == pytest.approx(marks[~inside].mean())


@pytest.mark.parametrize("kind", ["plain", "graded", "clustered"])
@pytest.mark.parametrize("runs", [100, pytest.param(1000, marks=pytest.mark.long)])
def test_where_no_slice_is_worse_few_are_called_so(kind: str, runs: int) -> None:
    """With two columns of noise and three models, at most 5 % of the runs (and the runs' own error) name any slice."""
    alarms = 0
    for seed in range(runs):
        rng = np.random.default_rng(seed)
        clusters = np.repeat(np.arange(100), 4) if kind == "clustered" else None
        chance = np.repeat(rng.beta(4, 1, 100), 4) if kind == "clustered" else np.full(400, 0.9)
        strict = rng.beta(8, 1, (3, 400)) if kind == "graded" else (rng.random((3, 400)) < chance).astype(float)
        columns = {
            "lang": [str(one) for one in rng.integers(0, 8, 400)],
            "size": [str(one) for one in np.repeat(rng.integers(0, 4, 100), 4)],
        }
        alarms += any(one.p_adjusted <= 0.05 for one in find_slices("ABC", strict, columns, clusters, plain=kind != "graded"))
    assert alarms / runs <= 0.05 + 1.96 * np.sqrt(0.05 * 0.95 / runs)


@pytest.mark.parametrize("clusters", [None, np.repeat(np.arange(100), 4)])
def test_a_weak_slice_is_found_first(clusters: np.ndarray | None) -> None:
    """A slice at 60 % where the rest has 90 % comes out first, for the variant that has it, significant after correction."""
    rng = np.random.default_rng(1)
    weak = np.arange(400) % 8 == 0
    strict = (rng.random((2, 400)) < 0.9).astype(float)
    strict[1, weak] = rng.random(weak.sum()) < 0.6
    labels = ["de" if one else "en" for one in weak]
    worst = find_slices("AB", strict, {"lang": labels}, clusters, plain=True)[0]
    assert (worst.variant, worst.column, worst.value, worst.rows) == ("B", "lang", "de", 50)
    assert worst.p_adjusted < 0.01


def test_what_is_no_slice_is_not_looked_at() -> None:
    """Ids, constants, slices of a few rows, and rows without a value make no slice."""
    strict = np.ones((1, 100))
    columns = {
        "id": [str(row) for row in range(100)],
        "constant": ["x"] * 100,
        "rare": ["few" if row < 5 else "many" for row in range(100)],
        "none": [None] * 100,
    }
    assert find_slices("A", strict, columns, None, plain=True) == ()
