"""Tests of a judge's biases, against scipy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from batch.evaluation.grading.judge_bias import BiasCounter, JudgeBias, spearman
from batch.evaluation.grading.pairs import both_orders


def test_spearman_equals_scipy() -> None:
    """Rank correlation with ties, and its p; nothing is said of constant or few values."""
    rng = np.random.default_rng(0)
    first = rng.integers(0, 6, 80)
    second = first + rng.integers(0, 6, 80)
    expected = stats.spearmanr(first, second)
    assert spearman(first.tolist(), second.tolist()) == pytest.approx((expected.statistic, expected.pvalue))
    assert spearman([1] * 20, list(range(20))) == (None, 1.0)
    assert spearman([1, 2], [1, 2]) == (None, 1.0)
    assert spearman(list(range(20)), list(range(20))) == (1.0, 0.0)


def test_a_judge_that_likes_length_is_said_to() -> None:
    """Ratings that rise with length give a sentence, unrelated ones another."""
    rng = np.random.default_rng(1)
    for slope, said in ((1.0, "Longer answers got higher ratings"), (0.0, "Ratings do not go with the length")):
        counter = BiasCounter()
        for length in rng.integers(1, 100, 100):
            counter.add_rating("x" * int(length), float(np.clip(slope * length / 100 + rng.random() * 0.3, 0, 1)))
        assert any(said in sentence for sentence in counter.found().sentences())


def test_a_judge_that_likes_a_place_is_said_to() -> None:
    """Pairs whose orders disagree show which place both preferred; decided pairs show whether the longer answer won."""
    counter = BiasCounter()
    for at in range(30):
        judgement = both_orders("first", "first") if at < 27 else both_orders("second", "second")
        counter.add_pair(("a", "bb"), None, judgement.place)
    for at in range(20):
        counter.add_pair(("long one", "short"), 0 if at < 11 else 1, None)
    bias = counter.found()
    assert (bias.shown_first, bias.flips, bias.longer, bias.unequal) == (27, 30, 11, 20)
    sentences = " ".join(bias.sentences())
    assert "27 of 30 of the pairs whose orders disagree went to the answer shown first (p < 0.001): the judge favours a place." in sentences
    assert f"11 of 20 of the decided pairs went to the longer answer (p = {stats.binomtest(11, 20).pvalue:.3f}): no preference" in sentences
    assert both_orders("first", "tie").place is None
    assert JudgeBias.from_document(None) == JudgeBias()


def test_self_preference_is_measured_on_labels() -> None:
    """How much more generous the judge is to its own family than to others, with Welch's t test; too few labels say nothing."""
    rng = np.random.default_rng(2)
    own, other = rng.normal(0.2, 0.1, 30), rng.normal(0.0, 0.2, 40)
    bias = BiasCounter(["a"]).found({"a": own.tolist(), "b": other.tolist()})
    expected = stats.ttest_ind(own, other, equal_var=False)
    assert (bias.own, bias.own_p) == pytest.approx((own.mean() - other.mean(), expected.pvalue))
    assert any("more generous to its own family" in sentence for sentence in bias.sentences())
    assert BiasCounter(["a"]).found({"a": own[:5].tolist(), "b": other.tolist()}).own is None
