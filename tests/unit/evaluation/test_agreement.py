"""Cohen's kappa against statsmodels."""

from __future__ import annotations

import numpy as np
import pytest
from statsmodels.stats.inter_rater import cohens_kappa

from batch.evaluation.statistics.agreement import Weights, cohen_kappa


@pytest.mark.parametrize(("weights", "oracle"), [("none", None), ("linear", "linear"), ("quadratic", "quadratic")])
def test_kappa_and_its_interval_equal_statsmodels(weights: Weights, oracle: str | None) -> None:
    """Kappa, weighted and not, with its Fleiss-Cohen-Everitt interval."""
    rng = np.random.default_rng(0)
    first = rng.integers(0, 5, 200)
    second = np.where(rng.random(200) < 0.6, first, rng.integers(0, 5, 200))
    table = np.zeros((5, 5))
    np.add.at(table, (first, second), 1)
    expected = cohens_kappa(table, wt=oracle)
    found = cohen_kappa(first.tolist(), second.tolist(), scale=range(5), weights=weights)
    assert found.kappa == pytest.approx(expected.kappa)
    assert (found.low, found.high) == pytest.approx((expected.kappa_low, expected.kappa_upp))
    assert found.agreed == pytest.approx(np.mean(first == second))


def test_the_ends() -> None:
    """Full agreement is 1, full opposition negative; one label only says nothing beyond chance."""
    assert cohen_kappa(["a", "b", "a"], ["a", "b", "a"]).kappa == 1.0
    assert cohen_kappa(["a", "b"], ["b", "a"]).kappa == -1.0
    same = cohen_kappa(["a", "a"], ["a", "a"])
    assert (same.kappa, same.low, same.high, same.agreed) == (None, -1.0, 1.0, 1.0)


@pytest.mark.parametrize("weights", ["none", "linear", "quadratic"])
@pytest.mark.parametrize("steps", [2, 3, 5, 7])
def test_agreement_by_chance_alone_is_exactly_0_on_every_machine(weights: Weights, steps: int) -> None:
    """Where the labels of one rater say nothing about the other's, kappa is 0 itself: no rounding of linear algebra shows through."""
    first = [one for one in range(steps) for other in range(steps)]
    second = [other for one in range(steps) for other in range(steps)]
    kappa = cohen_kappa(first, second, scale=range(steps), weights=weights).kappa
    assert kappa == 0
    assert f"{kappa:.2f}" == "0.00"
    assert cohen_kappa(first, [steps - 1] * len(first), scale=range(steps), weights=weights).kappa == 0


def test_what_makes_no_sense_is_refused() -> None:
    """Lists of different length, none at all, and labels off the scale are errors."""
    for first, second in ((["a"], ["a", "b"]), ([], [])):
        with pytest.raises(ValueError, match="one length"):
            cohen_kappa(first, second)
    with pytest.raises(ValueError, match="not on the scale: 6"):
        cohen_kappa([1, 6], [1, 2], scale=[1, 2, 3])
