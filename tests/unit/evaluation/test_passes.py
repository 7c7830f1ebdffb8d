"""pass@k, pass^k and maj@k for every k: against enumeration, and their intervals by simulation."""

from __future__ import annotations

import itertools
from collections import Counter

import numpy as np
import pytest

from batch.evaluation.statistics.passes import chosen_ks, majority_right, pass_rates
from batch.evaluation.statistics.scores import pass_at_k, pass_hat_k
from batch.evaluation.table import ScoreTable, State


def table(values: np.ndarray, answers: np.ndarray | None = None, *, missing: np.ndarray | None = None) -> ScoreTable:
    """A table of one variant with these right (1) and wrong (0) tries of shape (rows, tries)."""
    scores = values.astype(float)[None]
    states = np.full(scores.shape, State.SCORED, dtype=np.uint8)
    if missing is not None:
        states[0][missing], scores[0][missing] = State.MISSING, np.nan
    ids = tuple(map(str, range(len(values))))
    return ScoreTable("s", True, ("m",), ids, None, scores, states, None if answers is None else answers[None])


def test_every_k_equals_enumeration() -> None:
    """Over all choices of k of the tries: that one, that all, and that the most frequent answer is right."""
    rng = np.random.default_rng(0)
    answers = rng.integers(0, 3, (40, 5))
    values = answers == 0
    for rate in pass_rates(table(values, answers))[0]:
        chosen = [(row, list(subset)) for row in range(40) for subset in itertools.combinations(range(5), rate.k)]
        assert rate.any_right.estimate == pytest.approx(np.mean([values[row, at].any() for row, at in chosen]))
        assert rate.all_right.estimate == pytest.approx(np.mean([values[row, at].all() for row, at in chosen]))
        majority = []
        for row, at in chosen:
            counts = Counter(answers[row, at].tolist())
            modes = [answer for answer, count in counts.items() if count == max(counts.values())]
            majority.append(modes.count(0) / len(modes))
        assert rate.majority is not None
        assert rate.majority.estimate == pytest.approx(np.mean(majority))
    last = pass_rates(table(values))[0][-1]
    assert (last.any_right.estimate, last.all_right.estimate) == pytest.approx(
        (pass_at_k(table(values), 5)[0], pass_hat_k(table(values), 5)[0])
    )
    assert last.majority is None


def test_which_ks_are_shown() -> None:
    """All of a few tries, doubling ones of many; none of rows that were asked once, or of graded scores."""
    assert chosen_ks(4) == [1, 2, 3, 4]
    assert chosen_ks(20) == [1, 2, 4, 8, 16, 20]
    assert chosen_ks(16) == [1, 2, 4, 8, 16]
    assert pass_rates(table(np.ones((3, 1), dtype=bool))) == ((),)


def test_missing_tries_are_no_tries() -> None:
    """Rows with fewer than k finished tries are in no rate for k; an answer that could not be read gets no vote."""
    values = np.array([[1, 0, 1], [0, 0, 0]], dtype=bool)
    missing = np.array([[False, False, False], [False, False, True]])
    rates = pass_rates(table(values, np.zeros((2, 3), dtype=np.int64), missing=missing))[0]
    assert [rate.any_right.rows for rate in rates] == [2, 2, 1]
    assert majority_right(np.array([[-1, -1, 7]]), np.array([[False, False, True]]), 3).tolist() == [1.0]
    assert majority_right(np.array([[-1, -1, -1]]), np.array([[False, False, False]]), 3).tolist() == [0.0]


def test_the_intervals_cover_the_truth() -> None:
    """Of rows of different difficulty, pass@2 of four tries: 95 % of the simulated intervals have the true rate."""
    rng = np.random.default_rng(1)
    difficulty = rng.beta(1, 1, 200_000)
    truth = float(np.mean(1 - (1 - difficulty) ** 2))
    hits = 0
    for _ in range(200):
        chances = rng.beta(1, 1, 100)
        rate = pass_rates(table(rng.random((100, 4)) < chances[:, None]))[0][1]
        hits += rate.any_right.low <= truth <= rate.any_right.high
    assert hits >= 184
