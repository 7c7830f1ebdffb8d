"""Strict and answered scores, coverage, and that failing never pays."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from batch.evaluation.statistics.scores import ANSWERED_FROM, cluster_codes, pass_at_k, pass_hat_k, row_scores, summarise
from batch.evaluation.table import ScoreTable, ScoreValue, State
from tests.support.evaluation import TableBuilder, benchmark, table_of


def test_what_counts_in_which_score() -> None:
    """Failed and unscored count as wrong in strict and not in answered; missing counts nowhere; all four are counted."""
    build = TableBuilder("exact", binary=True, variants=["a"], row_ids=["1", "2", "3", "4", "5"])
    for row, cell in enumerate(
        (
            ScoreValue(1, "scored", None, ""),
            ScoreValue(0, "scored", None, ""),
            ScoreValue(None, "failed", None, ""),
            ScoreValue(None, "unscored", None, ""),
        )
    ):
        build.put(0, row, 0, cell)
    marks = row_scores(build.build())
    assert np.array_equal(marks.strict[0], [1, 0, 0, 0, np.nan], equal_nan=True)
    assert np.array_equal(marks.answered[0], [1, 0, np.nan, np.nan, np.nan], equal_nan=True)
    (summary,) = summarise(build.build())
    assert summary.strict is not None
    assert (summary.strict.estimate, summary.strict.rows, summary.coverage, summary.answered) == (0.25, 4, 0.5, None)
    counts = summary.counts
    assert (counts.scored, counts.unscored, counts.failed, counts.missing, counts.finished) == (2, 1, 1, 1, 4)


def test_repeats_are_averaged_within_a_row_first() -> None:
    """A row asked four times weighs as much as a row asked once; flips are the re-asked rows with more than one mark."""
    values = np.array([[[1.0, 1.0, 1.0, 0.0], [0.0, np.nan, np.nan, np.nan]]])
    states = np.where(np.isnan(values), State.MISSING, State.SCORED).astype(np.uint8)
    (summary,) = summarise(ScoreTable("exact", True, ("a",), ("1", "2"), None, values, states))
    assert summary.strict is not None
    assert summary.strict.estimate == pytest.approx(0.375)
    assert summary.answered == pytest.approx(0.375)
    assert (summary.coverage, summary.flips) == (1.0, 1.0)


def test_a_variant_without_a_finished_task_has_no_score() -> None:
    """Nothing done is None, not 0; no re-asked row gives no flip rate."""
    build = TableBuilder("exact", binary=True, variants=["a"], row_ids=["1"])
    (summary,) = summarise(build.build())
    assert (summary.strict, summary.answered, summary.coverage, summary.flips) == (None, None, 0.0, None)


def test_clusters_become_numbers() -> None:
    """Rows of one name share a number; without names each row stands for itself."""
    codes = cluster_codes(table_of(np.ones((1, 4)), clusters=["x", "y", "x", "z"]))
    assert codes is not None
    assert codes.tolist() == [0, 1, 0, 2]
    assert cluster_codes(table_of(np.ones((1, 4)))) is None


def failing(table: ScoreTable, variant: int, calls: np.ndarray) -> ScoreTable:
    """The table with these (row, repeat) calls of one variant failed."""
    values, states = table.values.copy(), table.states.copy()
    values[variant][calls], states[variant][calls] = np.nan, State.FAILED
    return ScoreTable(table.scorer, table.binary, table.variants, table.row_ids, table.clusters, values, states)


@pytest.mark.parametrize("chosen", ["random", "the wrong ones"])
@pytest.mark.parametrize("seed", range(5))
def test_failing_ten_percent_lowers_strict_and_coverage_and_raises_no_score_shown(chosen: str, seed: int) -> None:
    """Issue 6, whichever calls fail: strict does not rise (it falls if any was right), coverage falls, answered is not shown any more."""
    table = benchmark(seed, [0.8, 0.75], rows=500, repeats=2, failing=0.0)
    rng = np.random.default_rng(seed)
    order = rng.permutation(1000) if chosen == "random" else np.argsort(table.values[0].ravel(), kind="stable")
    calls = np.isin(np.arange(1000), order[:100]).reshape(500, 2)
    before, after = summarise(table), summarise(failing(table, 0, calls))
    assert before[0].strict is not None
    assert after[0].strict is not None
    lost = table.values[0][calls].sum() / 1000
    assert after[0].strict.estimate == pytest.approx(before[0].strict.estimate - lost)
    assert (lost > 0) == (chosen == "random")
    assert after[0].coverage == pytest.approx(0.9)
    assert before[0].answered is not None
    assert after[0].answered is None
    assert after[1] == before[1]
    for figure in (pass_at_k, pass_hat_k):
        assert (figure(failing(table, 0, calls), 2)[0] or 0) <= (figure(table, 2)[0] or 0)


@given(
    arrays(np.float64, (1, 30, 2), elements=st.sampled_from([0.0, 0.25, 1.0])),
    arrays(np.bool_, (30, 2)),
    arrays(np.bool_, (30, 2)),
)
def test_strict_never_rises_and_answered_exceeds_it_by_the_coverage_lost(values: np.ndarray, first: np.ndarray, second: np.ndarray) -> None:
    """For any marks and any calls failed: strict only falls, and what is shown as answered is within 1 - coverage of strict."""
    base = failing(table_of(values, binary=False), 0, first)
    more = failing(base, 0, second & ~first)
    (before,), (after,) = summarise(base), summarise(more)
    assert before.strict is not None
    assert after.strict is not None
    assert after.strict.estimate <= before.strict.estimate + 1e-12
    assert after.coverage <= before.coverage + 1e-12
    for one in (before, after):
        assert one.strict is not None
        assert (one.answered is not None) == (one.coverage >= ANSWERED_FROM)
        if one.answered is not None:
            assert one.strict.estimate - 1e-12 <= one.answered <= one.strict.estimate + 1 - one.coverage + 1e-12
