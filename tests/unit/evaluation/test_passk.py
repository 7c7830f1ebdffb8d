"""pass@k and pass^k against counting all choices of k tries."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from batch.evaluation.statistics.scores import pass_at_k, pass_hat_k
from tests.support.evaluation import table_of


@pytest.mark.parametrize("k", [1, 2, 3, 5])
def test_both_equal_the_count_over_all_choices(k: int) -> None:
    """Choosing k of the 5 tries in every way: the share with any right, and with all right, averaged over rows."""
    values = (np.random.default_rng(0).random((2, 40, 5)) < 0.4).astype(float)
    choices = [values[:, :, list(chosen)] for chosen in itertools.combinations(range(5), k)]
    table = table_of(values)
    assert pass_at_k(table, k) == pytest.approx(np.mean([one.max(axis=2) for one in choices], axis=(0, 2)))
    assert pass_hat_k(table, k) == pytest.approx(np.mean([one.min(axis=2) for one in choices], axis=(0, 2)))


def test_failed_tries_are_wrong_ones() -> None:
    """A failed try counts as a wrong try, so failing never raises either figure."""
    table = table_of(np.array([[[1.0, np.nan, 0.0]]]))
    assert pass_at_k(table, 1) == pytest.approx((1 / 3,))
    assert pass_hat_k(table, 2) == (0.0,)


def test_too_few_tries_give_none_and_graded_scores_are_refused() -> None:
    """A k above the repeats is None, not a guess; graded scores and k = 0 are errors."""
    table = table_of(np.ones((1, 3, 2)))
    assert pass_at_k(table, 3) == (None,)
    assert pass_hat_k(table, 3) == (None,)
    with pytest.raises(ValueError, match="right/wrong"):
        pass_at_k(table_of(np.full((1, 3, 2), 0.5), binary=False), 1)
    with pytest.raises(ValueError, match="at least 1"):
        pass_hat_k(table, 0)
